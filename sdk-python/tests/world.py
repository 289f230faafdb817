"""A small world to test the client against: an exchange in memory, three workers, a consumer; honest unless told otherwise."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import httpx2

import entrepot
from entrepot import _native
from entrepot._async.transport import TransportOptions as AsyncTransportOptions
from entrepot._retry import RetryPolicy
from entrepot._sync.transport import TransportOptions
from entrepot.models import Envelope, Record
from tests import hpke

Json: TypeAlias = dict[str, Any]
Tamper: TypeAlias = Callable[[Json], None]

SQL = (
    "SELECT l.addr_state, COUNT(*), AVG(l.int_rate), SUM(b.annual_inc) FROM lender.loans l "
    "JOIN bureau.credit b ON l.customer = b.customer WHERE l.term = 'term_36' GROUP BY l.addr_state"
)
NOW = 1_700_000_000_000
FAR = 4_000_000_000_000
# AL: 20 rows, rates sum to 270.00, incomes to 1,000,000.01; CA withheld; NY: 12 rows.
CELLS = [20, 0, 12, 27_000, 0, 12_001, 100_000_001, 0, 7, 1]


TEXT, DECIMAL = {"kind": "text"}, {"kind": "decimal", "scale": 2}
COLUMNS: list[list[list[Any]]] = [
    [["customer", TEXT], ["term", TEXT], ["int_rate", DECIMAL], ["addr_state", TEXT]],
    [["customer", TEXT], ["annual_inc", DECIMAL]],
]


def vkey(name: str, kind: int, did: str) -> str:
    """A note verifier key (C2SP signed-note) of a did:key."""
    number = 0
    for digit in did.removeprefix("did:key:z"):
        number = number * 58 + "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".index(digit)
    public = bytes([kind]) + number.to_bytes(34, "big")[2:]
    key_id = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
    return f"{name}+{key_id.hex()}+{base64.b64encode(public).decode()}"


def key() -> _native.Key:
    """A new key."""
    return _native.Key.parse(_native.keygen())


def signed(kind: str, statement: Json | Record, *signers: _native.Key) -> Envelope:
    """A statement under these signatures."""
    text = statement.to_json() if isinstance(statement, Record) else json.dumps(statement)
    envelope = signers[0].sign(kind, text)
    for signer in signers[1:]:
        envelope = signer.countersign(envelope.encode())
    value: Envelope = json.loads(envelope)
    return value


def hash_of(envelope: Envelope) -> str:
    """The statement hash."""
    return _native.envelope_hash(json.dumps(envelope).encode())


def payload(envelope: Envelope) -> Json:
    """The statement, unchecked."""
    value: Json = json.loads(base64.b64decode(str(envelope["payload"])))
    return value


def _refusal(status: int, code: str, detail: str) -> httpx2.Response:
    return httpx2.Response(status, json={"code": code, "detail": detail})


def money(amount_minor: int) -> Json:
    """Euro."""
    return {"amount_minor": str(amount_minor), "currency": "EUR"}


@dataclass
class World:
    """Everybody's keys, and an exchange that answers as `handle`. `tamper` changes a named statement before it is signed, or a named
    answer before it is sent; `signer` signs a named statement with another key than the right one."""

    tamper: dict[str, Tamper] = field(default_factory=dict)
    signer: dict[str, _native.Key] = field(default_factory=dict)
    refund: bool = False
    events_broken: bool = False
    withhold: bool = False
    undelivered: bool = False
    # So many requests to place or read an order fail: those before they arrive, these after.
    orders_unheard: int = 0
    orders_unanswered: int = 0
    # Every order is refused with this code.
    refuse_orders: str | None = None
    # Answers about any job with the first order's papers; with `swap_order` also says that this is the job's order.
    swap_result: bool = False
    swap_order: bool = False
    requests: list[httpx2.Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.exchange, self.consumer = key(), key()
        self.participants = [key(), key(), key()]
        self.workers = [key(), key(), key()]
        self.grants = [self._grant(party) for party in range(3)]
        self.rights = [self._rights(party) for party in range(2)]
        self.product = signed("data-product", self._changed("product", self._product()), *self.participants)
        self.agreements: list[Envelope] = []
        self.orders: list[Envelope] = []
        # Agreements that have expired by the exchange's clock.
        self.ended: set[str] = set()
        # What was answered to orders, by idempotency key.
        self.kept: dict[str, Json] = {}
        self.trust = entrepot.Trust.parse(json.dumps(self._trust()))

    def _trust(self) -> Json:
        log = key()
        return {
            "format": "entrepot.trust.v1",
            "log": {"origin": "entrepot/main", "key": vkey("entrepot/main", 1, log.did)},
            "validators": [],
            "witnesses": [
                {"vkey": vkey(worker.witness, 4, worker.witness), "participant": participant.did}
                for worker, participant in zip(self.workers, self.participants, strict=True)
            ],
            "quorum": 2,
            "exchange": self.exchange.did,
            "participants": sorted(each.did for each in (*self.participants, self.consumer)),
        }

    # --- Statements -----------------------------------------------------------------------------------------------------------------

    def _changed(self, name: str, statement: Json) -> Json:
        changed = copy.deepcopy(statement)
        if name in self.tamper:
            self.tamper[name](changed)
        return changed

    def _by(self, name: str, right: _native.Key) -> _native.Key:
        return self.signer.get(name, right)

    def _grant(self, party: int) -> Envelope:
        grant = {
            "grant_id": _native.new_id("grant", NOW),
            "participant": self.participants[party].did,
            "worker": self.workers[party].did,
            "witness": self.workers[party].witness,
            "role": "compute" if party == 2 else "data",
            "not_before": str(NOW),
            "expires_at": str(FAR),
        }
        return signed("worker-grant", self._changed(f"grant-{party}", grant), self._by(f"grant-{party}", self.participants[party]))

    def _table(self, party: int, name: str, columns: Json) -> Json:
        return {
            "table": name,
            "dataset_id": "dataset_" + str(party) * 26,
            "provider": self.participants[party].did,
            "rights": hash_of(self.rights[party]),
            "commitment": str(party + 5) * 64,
            "columns": COLUMNS[party],
            "policy": {
                "columns": columns,
                "minimum_group": 10,
                "rows_max": 10_000,
                "compute_parties": [self.participants[2].did],
            },
        }

    def _rights(self, party: int) -> Envelope:
        columns = [{"name": name, "column": kind, "profile": {"distinct": "9"}} for name, kind in COLUMNS[party]]
        rights = {
            "dataset_id": "dataset_" + str(party) * 26,
            "name": ("loans", "credit")[party],
            "holder": self.participants[party].did,
            "right": "hold",
            "record": "initial",
            "worker": self.workers[party].did,
            "description": {"rows": "9800", "columns": columns, "commitment": str(party + 5) * 64},
            "issued_at": str(NOW),
        }
        return signed("rights-registration", rights, self.participants[party])

    def _product(self) -> Json:
        loans = {
            "customer": {"uses": ["join"]},
            "term": {"uses": ["filter"], "domain": ["term_36", "term_60"]},
            "int_rate": {"uses": ["aggregate"], "bounds": {"minimum": "0", "maximum": "10000"}},
            "addr_state": {"uses": ["group"], "domain": ["AL", "CA", "NY"]},
        }
        credit = {
            "customer": {"uses": ["join"]},
            "annual_inc": {"uses": ["aggregate"], "bounds": {"minimum": "0", "maximum": "1000000000"}},
        }
        return {
            "product_id": "product_" + "0" * 26,
            "title": "loans-with-credit",
            "tables": [
                self._table(0, "lender.loans", loans),
                self._table(1, "bureau.credit", credit),
            ],
            "compute_party": self.participants[2].did,
            "exchange": self.exchange.did,
            "consumers": [],
            "price_per_query": money(500),
            "split": [{"participant": self.participants[party].did, "share": share} for party, share in enumerate((4_500, 4_500, 1_000))],
            "quota_queries": 3,
            "issued_at": str(NOW),
            "expires_at": str(FAR),
        }

    def plan(self) -> _native.Plan:
        """What everybody derives."""
        return _native.plan(SQL, json.dumps(payload(self.product)))

    def quote(self, sql: str) -> Envelope:
        """The exchange's quote."""
        statement = {
            "quote_id": "quote_" + "0" * 26,
            "product_id": payload(self.product)["product_id"],
            "product": hash_of(self.product),
            "consumer": self.consumer.did,
            "sql": sql,
            "plan": self.plan().hash,
            "parties": [
                {"participant": self.participants[party].did, "worker": self.workers[party].did, "grant": hash_of(self.grants[party])}
                for party in range(3)
            ],
            "security": "semi-honest",
            "leakage": self.plan().leakage(),
            "price": money(500),
            "issued_at": str(NOW),
            "expires_at": str(FAR),
        }
        return signed("quote", self._changed("quote", statement), self._by("quote", self.exchange))

    # --- A job ----------------------------------------------------------------------------------------------------------------------

    def job_id(self, order: Envelope) -> str:
        """The job of an order."""
        return str(payload(order)["order_id"]).replace("order_", "job_")

    def sealed(self, order: Envelope, attempt: int = 1) -> list[bytes]:
        """The three sealed shares of the result."""
        mask = [[(place * 7 + share * 13 + 1) * 0x9E3779B97F4A7C15 % 2**64 for place in range(len(CELLS))] for share in range(2)]
        last = [(cell - mask[0][place] - mask[1][place]) % 2**64 for place, cell in enumerate(CELLS)]
        sealed = []
        for share, elements in enumerate([*mask, last]):
            aad = bytes.fromhex(hash_of(order)) + struct.pack(">IB", attempt, share)
            plaintext = struct.pack(f"<{len(elements)}Q", *elements)
            sealed.append(hpke.seal(self.consumer.sealing_key, bytes([share]) * 32, b"entrepot/result/v1", aad, plaintext))
        return sealed

    def bundle(self, order: Envelope) -> Json:
        """The receipt bundle of an order's job."""
        agreement = next(a for a in self.agreements if hash_of(a) == payload(order)["agreement"])
        job_id, order_hash, agreement_hash = self.job_id(order), hash_of(order), hash_of(agreement)
        digests = [hashlib.sha256(share).hexdigest() for share in self.sealed(order)]
        hold = self._hold(job_id, order_hash, agreement_hash)
        entries: dict[str, Envelope] = {"product": self.product, "agreement": agreement, "order": order, "hold": hold}
        entries |= {f"rights-{party}": rights for party, rights in enumerate(self.rights)}
        entries |= {f"grant-{party}": grant for party, grant in enumerate(self.grants)}
        if self.refund:
            reason = {"job_id": job_id, "order": order_hash, "hold": hash_of(hold), "amount": money(500), "reason": "worker_refused"}
            entries["refund"] = signed("refund", {**reason, "refunded_at": str(NOW)}, self._by("refund", self.exchange))
        else:
            receipts = [self._receipt(party, job_id, order, agreement_hash, digests) for party in range(3)]
            entries |= {f"receipt-{party}": receipt for party, receipt in enumerate(receipts)}
            entries["release"] = self._release(job_id, (agreement, order_hash), hold, receipts)
        bundle = {
            "format": "entrepot.receipt.v1",
            "job_id": job_id,
            "entries": [{"name": name, "envelope": envelope, "proof": None} for name, envelope in entries.items()],
        }
        return self._changed("bundle", bundle)

    def _hold(self, job_id: str, order: str, agreement: str) -> Envelope:
        hold = {"job_id": job_id, "order": order, "agreement": agreement, "consumer": self.consumer.did, "amount": money(500)}
        hold["held_at"] = str(NOW)
        return signed("hold", self._changed("hold", hold), self._by("hold", self.exchange))

    def _receipt(self, party: int, job_id: str, order: Envelope, agreement: str, digests: list[str]) -> Envelope:
        receipt = {
            "job_id": job_id,
            "attempt": 1,
            "agreement": agreement,
            "order": hash_of(order),
            "consumer": self.consumer.did,
            "plan": self.plan().hash,
            "party": party,
            "participant": self.participants[party].did,
            "worker": self.workers[party].did,
            "security": "semi-honest",
            "rows_input": "0" if party == 2 else "9800",
            "shares": [{"share": share, "ciphertext": digests[share]} for share in sorted((party, (party + 1) % 3))],
            "transcript": "ab" * 32,
            "finished_at": str(NOW),
        }
        if party < 2:
            receipt["input_commitment"] = payload(self.product)["tables"][party]["commitment"]
        name = f"receipt-{party}"
        return signed("usage-receipt", self._changed(name, receipt), self._by(name, self.workers[party]))

    def _release(self, job_id: str, agreed: tuple[Envelope, str], hold: Envelope, receipts: list[Envelope]) -> Envelope:
        agreement, order = agreed
        release = {
            "job_id": job_id,
            "order": order,
            "hold": hash_of(hold),
            "receipts": [hash_of(receipt) for receipt in receipts],
            "amount": money(500),
            "split": [{"participant": self.participants[party].did, "amount": money(part)} for party, part in enumerate((225, 225, 50))],
            "split_rule": _native.split_rule(hash_of(agreement), json.dumps(payload(agreement)["split"])),
            "released_at": str(NOW),
        }
        return signed("release", self._changed("release", release), self._by("release", self.exchange))

    # --- HTTP -----------------------------------------------------------------------------------------------------------------------

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        """Answers a request."""
        self.requests.append(request)
        path, method = request.url.path, request.method
        if path == "/v1/token":
            return httpx2.Response(200, json={"access_token": "token", "token_type": "Bearer", "expires_in": 900})
        body: Json = json.loads(request.content) if request.content else {}
        if (method, path) == ("GET", "/v1/products"):
            return httpx2.Response(200, json={"items": [self._product_view()]})
        if path.startswith("/v1/products/"):
            return httpx2.Response(200, json=self._product_view())
        if (method, path) == ("POST", "/v1/quotes"):
            return self._answer(
                "quote-answer", {"quote_id": "quote_" + "0" * 26, "envelope": self.quote(body["sql"]), "grants": self.grants}
            )
        if path.startswith("/v1/agreements"):
            return self._agreements(method, path, body)
        if path.startswith("/v1/orders"):
            return self._unreliably(lambda: self._orders(request, body))
        return self._jobs(path)

    def _answer(self, name: str, answer: Json, status: int = 200) -> httpx2.Response:
        return httpx2.Response(status, json=self._changed(name, answer))

    def _product_view(self) -> Json:
        return {
            "product_id": payload(self.product)["product_id"],
            "title": "loans-with-credit",
            "state": "active",
            "envelope": self.product,
        }

    def _agreements(self, method: str, path: str, body: Json) -> httpx2.Response:
        if method == "POST":
            self.agreements.append(body["envelope"])
            return httpx2.Response(201, json={})
        views = [self._agreement_view(agreement) for agreement in self.agreements]
        if path == "/v1/agreements":
            return httpx2.Response(200, json={"items": views})
        return httpx2.Response(200, json=next(view for view in views if path.endswith(view["agreement_id"])))

    def _agreement_view(self, agreement: Envelope) -> Json:
        used = sum(payload(order)["agreement"] == hash_of(agreement) for order in self.orders)
        return {"agreement_id": payload(agreement)["agreement_id"], "envelope": agreement, "next_sequence": str(used + 1)}

    def _unreliably(self, answer: Callable[[], httpx2.Response]) -> httpx2.Response:
        if self.orders_unheard > 0:
            self.orders_unheard -= 1
            raise httpx2.ConnectError("refused")
        given = answer()
        if self.orders_unanswered > 0:
            self.orders_unanswered -= 1
            raise httpx2.ReadError("reset")
        return given

    def _orders(self, request: httpx2.Request, body: Json) -> httpx2.Response:
        path = request.url.path
        if path.endswith("/cancel"):
            return httpx2.Response(200, json={})
        if request.method == "POST":
            return self._place(request.headers["idempotency-key"], body["envelope"])
        views = [self._order_view(order) for order in self.orders]
        if path == "/v1/orders":
            return httpx2.Response(200, json={"items": views})
        found = next((view for view in views if path.endswith(view["order_id"])), None)
        return httpx2.Response(200, json=found) if found else _refusal(404, "not_found", "there is no such order")

    def _place(self, key: str, order: Envelope) -> httpx2.Response:
        if key not in self.kept:
            agreement = next(payload(a) for a in self.agreements if hash_of(a) == payload(order)["agreement"])
            if self.refuse_orders:
                return _refusal(409, self.refuse_orders, "no")
            # Nothing in this world changes the product, so that all orders count.
            if len(self.orders) >= agreement["quota_queries"]:
                return _refusal(409, "quota_spent", "the product allows 3 queries and all of them are used")
            if agreement["agreement_id"] in self.ended:
                return _refusal(409, "agreement_expired", "the agreement has expired")
            self.orders.append(order)
            self.kept[key] = self._order_view(order)
        return httpx2.Response(201, json=self.kept[key])

    def _order_view(self, order: Envelope) -> Json:
        agreement = next(a for a in self.agreements if hash_of(a) == payload(order)["agreement"])
        return {
            "order_id": payload(order)["order_id"],
            "job_id": self.job_id(order),
            "agreement_id": payload(agreement)["agreement_id"],
            "state": "delivered",
            "envelope": order,
        }

    def _jobs(self, path: str) -> httpx2.Response:
        order = next((order for order in self.orders if path.split("/")[3] == self.job_id(order)), None)
        if order is None:
            return _refusal(404, "not_found", "there is no such job")
        named = order
        if self.swap_result:
            order = self.orders[0]
        if path.endswith("/events"):
            if self.events_broken:
                return _refusal(503, "unavailable", "no events today")
            return httpx2.Response(200, content=self._event_stream(), headers={"content-type": "text/event-stream"})
        if path.endswith("/receipt"):
            return httpx2.Response(200, json=self.bundle(order))
        if path.endswith("/result"):
            shares = [{"share": share, "ciphertext": base64.b64encode(sealed).decode()} for share, sealed in enumerate(self.sealed(order))]
            return self._answer("result", {"attempt": 1, "order_hash": hash_of(order), "shares": shares})
        state = "refunded" if self.refund else "released" if self.withhold else "undelivered" if self.undelivered else "delivered"
        order_id = payload(order if self.swap_order else named)["order_id"]
        return httpx2.Response(200, json={"job_id": self.job_id(named), "order_id": order_id, "state": state, "attempt": 1})

    def _event_stream(self) -> bytes:
        notes: list[Json] = [{"kind": "queued", "attempt": 1}, {"kind": "running", "attempt": 1}]
        notes += [{"kind": "progress", "attempt": 1, "party": 0, "step": "intersecting", "done": done, "total": 4} for done in range(5)]
        if self.refund:
            notes += [{"kind": "refused", "attempt": 1, "party": 1, "code": "policy", "detail": "not by my policy"}, {"kind": "refunded"}]
        else:
            notes += [
                {"kind": "released", "attempt": 1},
                *([] if self.withhold else [{"kind": "undelivered" if self.undelivered else "delivered"}]),
            ]
        return "".join(f"id: {at}\nevent: note\ndata: {json.dumps(note)}\n\n" for at, note in enumerate(notes, 1)).encode()

    # --- Clients --------------------------------------------------------------------------------------------------------------------

    def client(self) -> entrepot.Client:
        """The consumer, blocking."""
        options = TransportOptions(retry=RetryPolicy(pause_first_s=0.0), connector=httpx2.MockTransport(self.handle))
        return entrepot.Client("http://exchange.test", key=self.consumer, trust=self.trust, options=options)

    def async_client(self) -> entrepot.AsyncClient:
        """The consumer, asynchronous."""
        options = AsyncTransportOptions(retry=RetryPolicy(pause_first_s=0.0), connector=httpx2.MockTransport(self.handle))
        return entrepot.AsyncClient("http://exchange.test", key=self.consumer, trust=self.trust, options=options)

    def sent(self, method: str, path: str) -> Iterator[httpx2.Request]:
        """The requests of this kind so far."""
        return (request for request in self.requests if (request.method, request.url.path) == (method, path))
