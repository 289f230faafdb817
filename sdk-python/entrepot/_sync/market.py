# Made by generate_sync.py from _async/market.py; change that and run it again.
# fmt: off
"""Products, quotes and agreements."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from entrepot import _evidence as evidence
from entrepot import _native
from entrepot.errors import ConfigurationError, ConflictError, EvidenceError, NotFoundError, UnexpectedResponseError
from entrepot.models import (
    AgreementStatement,
    AgreementView,
    CertificateView,
    DataProduct,
    DatasetPolicy,
    Envelope,
    Money,
    OrderStatement,
    OrderView,
    PartyPin,
    ProductTable,
    ProductView,
    QuoteStatement,
    QuoteView,
    RightsRegistration,
    SplitShare,
)

from .jobs import Job

if TYPE_CHECKING:
    from .client import Client

_DAY_MS = 24 * 3_600_000
# No worker starts an order later than this: long enough for a queue, short enough to sign with an easy mind.
_ORDER_LIFETIME_MS = 3_600_000
_AGREEMENT_LIFETIME_MS = 30 * _DAY_MS
_PRODUCT_ID = re.compile(r"product_[0-9a-hjkmnp-tv-z]{26}")


def now_ms() -> int:
    """Now, in milliseconds."""
    return time.time_ns() // 1_000_000


class Quote:
    """What a query costs and what each party learns by it, signed by the exchange and checked against the query's own plan."""

    def __init__(self, client: Client, product: evidence.SignedProduct, statement: QuoteStatement, plan: _native.Plan) -> None:
        self._client = client
        self._product = product
        self._plan = plan
        self.statement = statement

    @property
    def id(self) -> str:
        """Its id."""
        return self.statement.quote_id

    @property
    def price(self) -> Money:
        """The price."""
        return self.statement.price

    @property
    def parties(self) -> list[PartyPin]:
        """Who computes: the two data workers and the compute party, each with its participant."""
        return list(self.statement.parties)

    @property
    def security(self) -> str:
        """What the computation withstands."""
        return self.statement.security

    @property
    def leakage(self) -> list[str]:
        """What each party learns, a sentence each, derived here and not taken from the exchange."""
        return self._plan.leakage()

    @property
    def plan_hash(self) -> str:
        """Hash of the plan that every worker derives."""
        return self._plan.hash

    def explain(self) -> str:
        """What is computed, for what price, and what each party learns."""
        roles = [*(f"provider of {table.table}" for table in self._product.statement.tables), "compute party"]
        parties = [f"  {role}: {pin.participant} (worker {pin.worker})" for role, pin in zip(roles, self.parties, strict=True)]
        return "\n".join(
            [
                f"{self._product.statement.title}: {self.price} a query, security {self.security}",
                "Computation:",
                *(f"  {line}" for line in self._plan.explain()),
                "What each party learns:",
                *(f"  {line}" for line in self.leakage),
                "Parties:",
                *parties,
            ]
        )

    def _repr_html_(self) -> str:
        steps = "".join(f"<li>{escape(line)}</li>" for line in self._plan.explain())
        leaks = "".join(f"<li>{escape(line)}</li>" for line in self.leakage)
        head = f"<b>{escape(self._product.statement.title)}</b>: {escape(str(self.price))}, {escape(self.security)}"
        return f"{head}<ol>{steps}</ol><p>What each party learns:</p><ul>{leaks}</ul>"

    def order(self) -> Job:
        """Signs the order, and an agreement if there is none on these terms, and pays from the balance.

        Raises `OrderUncertainError` if it stays unknown whether the order was taken.
        """
        client = self._client
        # One order at a time: orders of an agreement are numbered without gaps.
        with client.order_lock:
            try:
                return self._order(client.agreements.find(self._product, self.parties))
            except ConflictError as error:
                # By the exchange's clock, which is the one that counts. A spent quota is final: no agreement renews it.
                if error.code != "agreement_expired":
                    raise
            return self._order(None)

    def _order(self, agreement: Agreement | None) -> Job:
        client = self._client
        if agreement is None:
            agreement = client.agreements.sign(self._product, self.parties)
        now = now_ms()
        order = OrderStatement(
            order_id=_native.new_id("order", now),
            agreement=agreement.hash,
            sql=self.statement.sql,
            plan=self._plan.hash,
            sequence=agreement.next_sequence(),
            price=self.price,
            issued_at=now,
            expires_at=min(now + _ORDER_LIFETIME_MS, agreement.statement.expires_at),
        )
        return client.orders.place(client.sign_statement(order))


class Agreement:
    """An agreement that you signed."""

    def __init__(self, client: Client, view: AgreementView, statement: AgreementStatement) -> None:
        self._client = client
        self.view = view
        self.statement = statement
        self.hash = evidence.statement_hash(view.envelope)

    @property
    def id(self) -> str:
        """Its id."""
        return self.statement.agreement_id

    def next_sequence(self) -> int:
        """The number of the next order, from the exchange, which gains nothing by lying: it or the workers refuse a wrong one."""
        view = (self._client.transport.get(f"/v1/agreements/{self.id}")).view(AgreementView)
        if view.next_sequence is not None:
            return view.next_sequence
        highest = 0
        for order in self._client.transport.pages("/v1/orders", OrderView):
            if order.agreement_id == self.id:
                sequence = order.sequence
                if sequence is None and order.envelope is not None:
                    sequence = evidence.peek(order.envelope, OrderStatement).sequence
                highest = max(highest, sequence or 0)
        return highest + 1


class Agreements:
    """Your agreements."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> Iterator[Agreement]:
        """All that you signed yourself."""
        me = self._client.require_key().did
        for view in self._client.transport.pages("/v1/agreements", AgreementView):
            if evidence.peek(view.envelope, AgreementStatement).consumer == me:
                yield Agreement(self._client, view, evidence.open_signed(view.envelope, AgreementStatement, [me]))

    def find(self, product: evidence.SignedProduct, parties: Sequence[PartyPin]) -> Agreement | None:
        """One that still accepts exactly this product with these workers."""
        sealing_key = self._client.require_key().sealing_key
        # An order must fit before the end.
        latest = now_ms() + 60_000
        for agreement in self.list():
            if agreement.statement.expires_at > latest and evidence.same_terms(agreement.statement, product, parties, sealing_key):
                return agreement
        return None

    def sign(self, product: evidence.SignedProduct, parties: Sequence[PartyPin]) -> Agreement:
        """Accepts a product as it is, with these workers."""
        client = self._client
        key, offer, now = client.require_key(), product.statement, now_ms()
        statement = AgreementStatement(
            agreement_id=_native.new_id("agreement", now),
            product=product.hash,
            consumer=key.did,
            sealing_key=key.sealing_key,
            exchange=offer.exchange,
            parties=list(parties),
            security="semi-honest",
            price_per_query=offer.price_per_query,
            split=offer.split,
            quota_queries=offer.quota_queries,
            issued_at=now,
            expires_at=min(now + _AGREEMENT_LIFETIME_MS, offer.expires_at),
        )
        envelope = client.sign_statement(statement)
        client.transport.post("/v1/agreements", {"envelope": envelope})
        view = AgreementView(agreement_id=statement.agreement_id, envelope=envelope)
        return Agreement(client, view, statement)


class Product:
    """An offer on two datasets."""

    def __init__(self, client: Client, view: ProductView) -> None:
        self._client = client
        self.view = view
        self.statement = evidence.peek(view.envelope, DataProduct)
        if self.statement.product_id != view.product_id:
            raise UnexpectedResponseError("the exchange answered with another product")

    def __repr__(self) -> str:
        return f"Product({self.title!r}, {self.id}, {self.state})"

    @property
    def id(self) -> str:
        """Its id."""
        return self.statement.product_id

    @property
    def title(self) -> str:
        """Its title."""
        return self.statement.title

    @property
    def state(self) -> str:
        """proposed, active, paused, withdrawn or expired, when this was fetched."""
        return self.view.state

    @property
    def price(self) -> Money:
        """Price of one query."""
        return self.statement.price_per_query

    def verified(self) -> evidence.SignedProduct:
        """The product with all its signatures checked against the trust file; raises `EvidenceError`."""
        return evidence.open_product(self.view.envelope, self._client.require_trust())

    def plan(self, sql: str) -> _native.Plan:
        """The plan of a query, derived here; raises `PlanError` with the rule that the query breaks. Asks nobody."""
        return evidence.make_plan(sql, self.statement.to_json())

    def quote(self, sql: str) -> Quote:
        """Asks what a query costs."""
        client = self._client
        key, trust, product = client.require_key(), client.require_trust(), self.verified()
        plan = evidence.make_plan(sql, product.json)
        view = (client.transport.post("/v1/quotes", {"product_id": self.id, "sql": sql})).view(QuoteView)
        statement = evidence.check_quote(view.envelope, product, plan, sql, key.did, trust)
        evidence.check_grants(statement.parties, view.grants, now_ms())
        return Quote(client, product, statement, plan)

    def sign(self) -> Product:
        """Adds your signature: your standing consent to agreements on exactly these terms. Read `statement` first."""
        key = self._client.require_key()
        if key.did not in self.statement.participants:
            raise ConfigurationError("the product does not bind the participant of this key")
        envelope = evidence.envelope_of(key.countersign(evidence.envelope_bytes(self.view.envelope)))
        return self._post("signatures", {"envelope": envelope})

    def pause(self) -> Product:
        """Takes no new orders until resumed."""
        return self._post("pause", {})

    def resume(self) -> Product:
        """Takes orders again."""
        return self._post("resume", {})

    def withdraw(self) -> Product:
        """Ends it for good."""
        return self._post("withdraw", {})

    def _post(self, action: str, body: Mapping[str, Envelope]) -> Product:
        self._client.transport.post(f"/v1/products/{self.id}/{action}", dict(body))
        return self._client.products.get(self.id)


class Products:
    """What is offered."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> Iterator[Product]:
        """Every product that you may see."""
        for view in self._client.transport.pages("/v1/products", ProductView):
            yield Product(self._client, view)

    def get(self, id_or_title: str) -> Product:
        """A product by its id, or by its title if exactly one active product has it."""
        if _PRODUCT_ID.fullmatch(id_or_title):
            product = Product(self._client, (self._client.transport.get(f"/v1/products/{id_or_title}")).view(ProductView))
            if product.id != id_or_title:
                raise UnexpectedResponseError("the exchange answered with another product")
            return product
        found = [product for product in self.list() if product.title == id_or_title and product.state == "active"]
        if not found:
            raise NotFoundError(404, "not_found", f"no active product is called {id_or_title!r}", "list them with client.products.list()")
        if len(found) > 1:
            ids = ", ".join(product.id for product in found)
            raise ConfigurationError(f"several products are called {id_or_title!r}: name one by its id: {ids}")
        return found[0]

    def table(self, table: str, dataset_id: str, policy: DatasetPolicy) -> ProductTable:
        """A table of a product, under the name `schema.table`: a registered dataset under a policy."""
        found = (self._client.transport.get(f"/v1/datasets/{dataset_id}/certificate")).view(CertificateView)
        envelope = next((entry.envelope for entry in found.entries if entry.name == "rights"), None)
        if envelope is None:
            raise UnexpectedResponseError("the certificate has no rights registration")
        holder = evidence.peek(envelope, RightsRegistration).holder
        if holder not in self._client.require_trust().participants:
            raise EvidenceError("untrusted_participant", f"your trust file does not name {holder}, who holds the dataset")
        rights = evidence.open_signed(envelope, RightsRegistration, [holder])
        if rights.dataset_id != dataset_id:
            raise EvidenceError("rights_mismatch", "the exchange answered with the rights to another dataset")
        return ProductTable(
            table=table,
            dataset_id=dataset_id,
            provider=rights.holder,
            rights=evidence.statement_hash(envelope),
            commitment=rights.description.commitment,
            columns=[(column.name, column.column) for column in rights.description.columns],
            policy=policy,
        )

    def propose(
        self,
        title: str,
        tables: Sequence[ProductTable],
        *,
        compute_party: str,
        price_per_query: Money,
        split: Sequence[SplitShare],
        quota_queries: int,
        lifetime_days: int = 365,
        consumers: Sequence[str] = (),
    ) -> Product:
        """Proposes a product and signs it; it is active once every provider and the compute party signed."""
        client, now = self._client, now_ms()
        statement = DataProduct(
            product_id=_native.new_id("product", now),
            title=title,
            tables=list(tables),
            compute_party=compute_party,
            exchange=client.require_trust().exchange,
            consumers=sorted(consumers),
            price_per_query=price_per_query,
            split=list(split),
            quota_queries=quota_queries,
            issued_at=now,
            expires_at=now + lifetime_days * _DAY_MS,
        )
        client.transport.post("/v1/products", {"envelope": client.sign_statement(statement)})
        return self.get(statement.product_id)
