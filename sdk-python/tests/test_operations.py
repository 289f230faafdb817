"""What providers and operators do: enrol, grant, register, offer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

import entrepot
from entrepot import _native
from entrepot._retry import RetryPolicy
from entrepot._sync.transport import TransportOptions
from tests.world import Json, hash_of, key, payload, signed

COLUMNS = [
    {"name": "customer", "column": {"kind": "text"}, "profile": {"distinct": "9000"}},
    {"name": "rate", "column": {"kind": "decimal", "scale": 2}, "profile": {"distinct": "500", "low": "5", "high": "20"}},
]
DESCRIPTION: Json = {"rows": "9900", "columns": COLUMNS, "commitment": "ab" * 32}
DATASET = "dataset_" + "7" * 26


class Provider:
    """A provider's client at an exchange that keeps what it was sent."""

    def __init__(self) -> None:
        self.key, self.partner, self.exchange = key(), key(), key()
        self.posted: list[tuple[str, Json]] = []
        self.states = ["describing", "describing", "described"]
        self.rights: Any = None
        self.products: dict[str, Any] = {}
        trust = entrepot.Trust(exchange=self.exchange.did, participants=frozenset({self.key.did, self.partner.did}), text="{}")
        options = TransportOptions(retry=RetryPolicy(pause_first_s=0.0), connector=httpx2.MockTransport(self.handle))
        self.client = entrepot.Client("http://exchange.test", key=self.key, trust=trust, options=options)

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if path == "/v1/token":
            return httpx2.Response(200, json={"access_token": "t", "expires_in": 900})
        if request.method == "POST":
            body = json.loads(request.content)
            self.posted.append((path, body))
            if path.endswith("/rights"):
                self.rights = body["envelope"]
            if path == "/v1/products" or path.endswith("/signatures"):
                self.products[payload(body["envelope"])["product_id"]] = body["envelope"]
        if path == "/v1/participants":
            return httpx2.Response(202, json={"did": self.key.did, "name": "Lender", "roles": ["provider"], "state": "pending"})
        if path.endswith("/certificate"):
            entry = {"name": "rights", "envelope": self.rights, "proof": None}
            return httpx2.Response(200, json={"format": "entrepot.certificate.v1", "entries": [entry]})
        if path.startswith("/v1/datasets"):
            return httpx2.Response(200, json=self.dataset())
        if path.startswith("/v1/products/"):
            product_id = path.split("/")[3]
            view = {"product_id": product_id, "state": "proposed", "envelope": self.products[product_id]}
            return httpx2.Response(200, json=view)
        return httpx2.Response(200, json={})

    def dataset(self) -> Json:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        view: Json = {"dataset_id": DATASET, "provider": self.key.did, "name": "loans", "worker": key().did, "state": state}
        if state == "described":
            view["description"] = DESCRIPTION
        if state == "refused":
            view["refusal"] = {"code": "duplicate_keys", "detail": "the column customer has a value twice"}
        return view

    def sent(self, path: str) -> Json:
        return next(body for posted, body in self.posted if posted == path)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entrepot._sync.operations._POLL_S", 0.0)


def opened(envelope: Any, kind: str, *signers: _native.Key) -> Json:
    value: Json = json.loads(_native.envelope_open(json.dumps(envelope).encode(), kind, [signer.did for signer in signers]))
    return value


def test_an_enrolment_is_signed_and_sent_without_a_token() -> None:
    provider = Provider()
    view = provider.client.participants.enrol("Lender", ["validator", "provider", "provider"])
    statement = opened(provider.sent("/v1/participants")["envelope"], "participant-enrolment", provider.key)
    assert (statement["name"], statement["roles"]) == ("Lender", ["provider", "validator"])
    assert statement["sealing_key"] == provider.key.sealing_key
    assert view.state == "pending"


def test_a_grant_names_worker_witness_and_period() -> None:
    provider, worker = Provider(), key()
    grant = provider.client.worker_grants.create(worker.did, worker.witness, "data", lifetime_days=7)
    statement = opened(provider.sent("/v1/worker-grants")["envelope"], "worker-grant", provider.key)
    assert (statement["worker"], statement["witness"], statement["role"]) == (worker.did, worker.witness, "data")
    assert grant.expires_at - grant.not_before == 7 * 86_400_000


def test_a_dataset_is_described_approved_and_offered(fast: None) -> None:
    provider = Provider()
    dataset = provider.client.datasets.register("loans", key().did).wait_described()
    assert dataset.description is not None
    assert dataset.description.rows == 9900
    dataset.sign_rights()
    statement = opened(provider.rights, "rights-registration", provider.key)
    assert statement["description"] == DESCRIPTION
    assert (statement["dataset_id"], statement["right"]) == (DATASET, "hold")
    product = propose(provider)
    stated = opened(product.view.envelope, "data-product", provider.key)
    assert stated["tables"][0]["rights"] == hash_of(provider.rights)
    assert stated["tables"][0]["columns"] == [["customer", {"kind": "text"}], ["rate", {"kind": "decimal", "scale": 2}]]
    # Sets are sorted as the statement's own type sorts them, whatever order they were given in.
    assert stated["tables"][0]["policy"]["columns"]["rate"]["uses"] == ["aggregate", "filter"]


def propose(provider: Provider) -> entrepot.Product:
    rules = {"customer": entrepot.ColumnRule(uses=["join"])}
    rules["rate"] = entrepot.ColumnRule(uses=["filter", "aggregate"], bounds=entrepot.Bounds(minimum=0, maximum=10_000))
    policy = entrepot.DatasetPolicy(columns=rules, minimum_group=10, rows_max=10_000, compute_parties=[provider.partner.did])
    table = provider.client.products.table("lender.loans", DATASET, policy)
    return provider.client.products.propose(
        "Loans",
        [table, table.model_copy(update={"table": "bureau.credit", "provider": provider.partner.did})],
        compute_party=provider.partner.did,
        price_per_query=entrepot.Money(amount_minor=500, currency="EUR"),
        split=[entrepot.SplitShare(participant=provider.key.did, share=10_000)],
        quota_queries=5,
    )


def test_who_is_bound_signs_and_nobody_else(fast: None) -> None:
    provider = Provider()
    provider.client.datasets.register("loans", key().did).wait_described().sign_rights()
    product = propose(provider)
    stranger = entrepot.Client("http://exchange.test", key=key())
    product._client = stranger
    with pytest.raises(entrepot.ConfigurationError, match="does not bind"):
        product.sign()
    product._client = provider.client
    provider.client._key = provider.partner
    both = product.sign()
    opened(both.view.envelope, "data-product", provider.key, provider.partner)


def test_a_refused_dataset_says_why(fast: None) -> None:
    provider = Provider()
    provider.states = ["describing", "refused"]
    with pytest.raises(entrepot.EntrepotError, match="duplicate_keys"):
        provider.client.datasets.register("loans", key().did).wait_described()


def test_a_silent_worker_is_not_waited_for_for_ever(fast: None) -> None:
    provider = Provider()
    provider.states = ["describing"]
    with pytest.raises(entrepot.EntrepotError, match="is its worker connected"):
        provider.client.datasets.register("loans", key().did).wait_described(timeout_s=0.05)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda rights: rights.update(dataset_id="dataset_" + "8" * 26), "rights_mismatch"),
        (lambda rights: rights.update(holder=key().did), "untrusted_participant"),
    ],
)
def test_a_table_of_another_dataset_or_a_stranger_is_refused(fast: None, change: Callable[[Json], None], code: str) -> None:
    provider = Provider()
    provider.client.datasets.register("loans", key().did).wait_described().sign_rights()
    statement = payload(provider.rights)
    change(statement)
    provider.rights = signed("rights-registration", statement, provider.key)
    policy = entrepot.DatasetPolicy(columns={}, minimum_group=10, rows_max=10, compute_parties=[])
    with pytest.raises(entrepot.EvidenceError) as caught:
        provider.client.products.table("lender.loans", DATASET, policy)
    assert caught.value.code == code


def test_what_cannot_be_a_statement_is_not_signed() -> None:
    with pytest.raises(entrepot.ConfigurationError, match="cannot be signed"):
        Provider().client.worker_grants.create("did:key:nonsense", "did:key:nonsense", "data")


def test_balances_and_entries_are_whole_minor_units() -> None:
    answers = {
        "/v1/account": {"balances": [{"account_id": "a", "kind": "available", "owner": "o", "currency": "EUR", "balance_minor": "99500"}]},
        "/v1/journal": {
            "items": [
                {
                    "entry_id": "e",
                    "kind": "hold",
                    "currency": "EUR",
                    "job_id": "j",
                    "postings": [{"account": "escrow", "amount_minor": "500"}, {"account": "available:o", "amount_minor": "-500"}],
                    "at": "1700000000000",
                }
            ]
        },
        "/v1/token": {"access_token": "t", "expires_in": 900},
        "/v1/credits": {"entry_id": "e"},
    }
    sent: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return httpx2.Response(200, json=answers[request.url.path])

    client = Provider().client
    client.transport._http = httpx2.Client(base_url="http://exchange.test", transport=httpx2.MockTransport(handle))
    assert client.account.balances()[0].balance_minor == 99_500
    entry = next(iter(client.account.journal("j")))
    assert [posting.amount_minor for posting in entry.postings] == [500, -500]
    assert sent[-1].url.params["job"] == "j"
    client.account.credit("did", entrepot.Money(amount_minor=2**60, currency="EUR"))
    money = {"amount_minor": str(2**60), "currency": "EUR"}
    assert json.loads(sent[-1].content) == {"participant": "did", "money": money}
