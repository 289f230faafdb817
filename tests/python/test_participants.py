"""What consumers, providers, regulators and operators do with the SDK, on a real exchange with real workers."""

import hashlib
import json
import os
import signal
from base64 import b64decode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import entrepot
import httpx2
import pytest
from entrepot._sync.transport import TransportOptions
from entrepot.models import LogCheckpoint, SplitShare

SQL = (
    "SELECT l.class, COUNT(*), AVG(l.int_rate), SUM(b.annual_inc) FROM lender.loans l "
    "JOIN bureau.credit b ON l.customer = b.customer GROUP BY l.class"
)


class Floor:
    """A market, and clients of it that are closed with the test."""

    def __init__(self, market: dict[str, Any], opened: ExitStack) -> None:
        self.market = market
        self._opened = opened

    def client(self, who: str | Path, options: TransportOptions | None = None) -> entrepot.Client:
        """A new client of a participant, or of a key file's owner."""
        key = self.market["keys"][who] if isinstance(who, str) else who
        return self._opened.enter_context(entrepot.Client(self.market["url"], key=key, trust=self.market["trust"], options=options))


@pytest.fixture
def floor(market: dict[str, Any]) -> Iterator[Floor]:
    with ExitStack() as opened:
        yield Floor(market, opened)


def quote(floor: Floor) -> entrepot.Quote:
    return floor.client("consumer").products.get(floor.market["product_id"]).quote(SQL)


@contextmanager
def asleep(process: int) -> Iterator[None]:
    """A process that is there and does nothing."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def available(floor: Floor, who: str) -> int:
    balances = floor.client(who).account.balances()
    return next(balance.balance_minor for balance in balances if balance.kind == "available")


def propose(floor: Floor, title: str, quota_queries: int = 10) -> entrepot.Product:
    """Another offer on the same data, signed by everyone whom it binds."""
    lender = floor.client("lender")
    model = lender.products.get(floor.market["product_id"]).statement
    product = lender.products.propose(
        title,
        model.tables,
        compute_party=model.compute_party,
        price_per_query=entrepot.Money(amount_minor=101, currency="XTS"),
        split=[SplitShare(participant=did, share=share) for did, share in zip(model.participants, (3_333, 3_333, 3_334), strict=True)],
        quota_queries=quota_queries,
    )
    for who in ("bureau", "compute"):
        floor.client(who).products.get(product.id).sign()
    return floor.client("consumer").products.get(title)


def test_a_consumer_lists_orders_cancels_one_and_gets_the_price_back(floor: Floor) -> None:
    asked, consumer = quote(floor), floor.client("consumer")
    before = available(floor, "consumer")
    # One job of an agreement runs at a time, and this one cannot go on: the next is certain to wait.
    with asleep(floor.market["processes"]["worker-lender"]):
        first, second = asked.order(), asked.order()
        states = {order.id: order.state for order in consumer.orders.list()}
        assert states[second.order_id] == "queued"
        assert states[first.order_id] in ("queued", "dispatched", "running")
        consumer.orders.get(second.order_id).cancel()
        with pytest.raises(entrepot.JobRefundedError) as caught:
            second.result()
        assert caught.value.reason == "cancelled"
        assert second.status().attempt == 0
    assert first.result().rows
    assert available(floor, "consumer") == before - asked.price.amount_minor
    with pytest.raises(entrepot.ConflictError):
        consumer.orders.get(first.order_id).cancel()


def test_a_result_is_fetched_again_by_a_new_client_and_read_as_three_kinds_of_frame(floor: Floor) -> None:
    job = quote(floor).order()
    table = floor.client("consumer").jobs.get(job.id).result()
    assert table.column_names == ["class", "count", "avg_int_rate", "sum_annual_inc"]
    assert {row[0] for row in table} == {"bad", "good"}
    assert all(isinstance(row[3], Decimal | int) for row in table)
    assert floor.client("consumer").orders.get(job.order_id).result().rows == table.rows

    arrow = table.to_arrow()
    assert arrow.column_names == table.column_names
    assert [tuple(row.values()) for row in arrow.to_pylist()] == [tuple(row) for row in table]
    assert table.to_polars().rows() == [tuple(row) for row in table]
    frame = table.to_pandas()
    assert frame["count"].tolist() == [row[1] for row in table]
    assert frame["sum_annual_inc"].tolist() == [float(row[3]) for row in table]


def test_a_provider_pauses_resumes_and_withdraws_its_product(floor: Floor) -> None:
    product = propose(floor, "Paused and withdrawn")
    asked = product.quote(SQL)
    for_lender = floor.client("lender").products.get(product.id)

    assert for_lender.pause().state == "paused"
    refuses(asked, "product_not_active")
    with pytest.raises(entrepot.ApiError) as caught:
        floor.client("bureau").products.get(product.id).resume()
    assert caught.value.status == 409
    assert for_lender.resume().state == "active"
    job = asked.order()
    assert job.result().rows
    assert [part.amount.amount_minor for part in paid(job)] == [34, 33, 34]

    assert for_lender.withdraw().state == "withdrawn"
    refuses(asked, "product_not_active")
    with pytest.raises(entrepot.ConflictError):
        for_lender.resume()


def test_a_spent_quota_is_final_and_no_agreement_is_signed_to_renew_it(floor: Floor) -> None:
    product = propose(floor, "Once only", quota_queries=1)
    asked = product.quote(SQL)
    assert asked.order().result().rows
    refuses(asked, "quota_spent")
    agreements = [each for each in floor.client("consumer").agreements.list() if each.statement.product == product.verified().hash]
    assert len(agreements) == 1

    # The exchange does not take a new agreement for a new quota either.
    again = floor.client("consumer").agreements.sign(product.verified(), asked.parties)
    with pytest.raises(entrepot.ConflictError) as caught:
        asked._order(again)
    assert caught.value.code == "quota_spent"


def refuses(asked: entrepot.Quote, code: str) -> None:
    with pytest.raises(entrepot.ApiError) as caught:
        asked.order()
    assert caught.value.code == code


def paid(job: entrepot.Job) -> Any:
    report = job.receipt.verify()
    assert report.witnessed, str(report)
    return report.outcome.split if report.outcome and report.outcome.outcome == "released" else []


def test_a_regulator_traces_both_ways_and_sees_that_the_log_only_grew(floor: Floor) -> None:
    regulator = floor.client("regulator")
    before = newest(regulator)
    job = quote(floor).order()
    assert job.result().rows
    assert job.receipt.verify().witnessed
    after = newest(regulator)
    dataset = floor.client("consumer").products.get(floor.market["product_id"]).statement.tables[0].dataset_id
    entry = next(iter(regulator.account.journal(job.id))).entry_id

    forth = regulator.audit.trace(job.id)
    assert {dataset, entry, job.order_id, floor.market["product_id"]} <= forth.ids
    for start in (dataset, entry, job.order_id):
        assert job.id in regulator.audit.trace(start).ids
    assert {edge.source for edge in forth.edges} | {edge.target for edge in forth.edges} <= forth.ids

    events = list(regulator.audit.events(since=before.size))
    assert [event.leaf_index for event in events] == list(range(before.size, before.size + len(events)))
    assert {"order", "hold", "usage-receipt", "release"} <= {event.kind for event in events if event.subject_id in (job.id, job.order_id)}

    grown = regulator.audit.consistency(before.size, after.size)
    assert grown.first.note.splitlines()[:3] == before.note.splitlines()[:3]
    assert grown.proof == regulator.log.consistency(before.size, after.size)
    assert begins_with(before, after, grown.proof)
    assert not begins_with(LogCheckpoint(size=before.size, note=before.note.replace(root(before), "A" * 43 + "=")), after, grown.proof)

    bundle = json.loads(regulator.audit.bundle(job.id))
    trace = json.loads(b64decode(bundle["trace"]["payload"]))
    assert {node["id"] for node in trace["nodes"]} == forth.ids
    assert {event.statement_hash for event in events if event.subject_id == job.id} <= {
        statement_hash(entry["envelope"]) for entry in bundle["entries"] if entry["proof"]
    }
    with pytest.raises(entrepot.ForbiddenError):
        floor.client("consumer").audit.trace(job.id)


class Liar(httpx2.HTTPTransport):
    """The way to the exchange, which answers some paths itself."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, str] = {}

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path in self.answers:
            return httpx2.Response(200, text=self.answers[request.url.path])
        return super().handle_request(request)


def test_a_log_that_is_rolled_back_or_rewritten_is_noticed_by_whoever_kept_a_checkpoint(floor: Floor, tmp_path: Path) -> None:
    liar, kept = Liar(), tmp_path / "checkpoint"
    consumer = floor.client("consumer", TransportOptions(connector=liar))
    before = consumer.log.follow(kept)
    old = kept.read_text()
    job = quote(floor).order()
    assert job.result().rows
    assert job.receipt.verify().witnessed

    liar.answers["/v1/log/consistency"] = json.dumps({"proof": ["00" * 32] * 3})
    noticed(consumer, kept, "log_forked")
    assert kept.read_text() == old
    assert kept.with_name("checkpoint.conflict").read_text() != old
    liar.answers.clear()
    now = consumer.log.follow(kept)
    assert now > before
    new = kept.read_text()

    liar.answers["/v1/log/checkpoint"] = old
    noticed(consumer, kept, "log_rolled_back")
    liar.answers["/v1/log/checkpoint"] = new.replace(new.splitlines()[2], old.splitlines()[2])
    noticed(consumer, kept, "checkpoint")
    assert kept.read_text() == new
    liar.answers.clear()
    assert consumer.log.follow(kept) >= now


def noticed(consumer: entrepot.Client, kept: Path, code: str) -> None:
    with pytest.raises(entrepot.EvidenceError) as caught:
        consumer.log.follow(kept)
    assert caught.value.code == code, str(caught.value)


def statement_hash(envelope: Any) -> str:
    """Of a DSSE envelope, from its specification."""
    kind, body = envelope["payloadType"].encode(), b64decode(envelope["payload"])
    return hashlib.sha256(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)).hexdigest()


def newest(regulator: entrepot.Client) -> LogCheckpoint:
    note = regulator.log.checkpoint()
    return LogCheckpoint(size=int(note.splitlines()[1]), note=note)


def root(checkpoint: LogCheckpoint) -> str:
    return checkpoint.note.splitlines()[2]


def begins_with(first: LogCheckpoint, second: LogCheckpoint, proof: list[str]) -> bool:
    """RFC 9162 §2.1.4.2, written down from the text: nothing of ours judges ours."""
    path = [bytes.fromhex(node) for node in proof]
    if first.size & (first.size - 1) == 0:
        path.insert(0, b64decode(root(first)))
    node, last = first.size - 1, second.size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    if not path:
        return root(first) == root(second)
    smaller = larger = path.pop(0)
    for step in path:
        if node & 1 or node == last:
            smaller, larger = parent(step, smaller), parent(step, larger)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            larger = parent(larger, step)
        node, last = node >> 1, last >> 1
    return last == 0 and smaller == b64decode(root(first)) and larger == b64decode(root(second))


def parent(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def test_an_operator_sees_who_waits_and_approves(floor: Floor, tmp_path: Path) -> None:
    made = entrepot.generate_key_file(tmp_path / "key.json")
    newcomer = floor.client(tmp_path / "key.json")
    assert newcomer.participants.enrol("A newcomer", ["consumer"]).state == "pending"
    with pytest.raises(entrepot.ApiError):
        newcomer.account.balances()

    operator = floor.client("operator")
    assert [each.did for each in operator.participants.list("pending")] == [made.did]
    assert made.did not in {each.did for each in operator.participants.list()}
    operator.participants.approve(made.did)
    assert made.did in {each.did for each in operator.participants.list()}
    assert not list(operator.participants.list("pending"))
    assert newcomer.participants.get(made.did).state == "approved"

    workers = {grant.worker for grant in operator.worker_grants.list()}
    assert {pin.worker for pin in quote(floor).parties} <= workers
    assert list(operator.audit.stuck_jobs()) == []


def test_a_consumer_whom_the_workers_do_not_know_gets_its_credit_back(floor: Floor, tmp_path: Path) -> None:
    made = entrepot.generate_key_file(tmp_path / "key.json")
    newcomer = floor.client(tmp_path / "key.json")
    newcomer.participants.enrol("Another newcomer", ["consumer"])
    operator = floor.client("operator")
    operator.participants.approve(made.did)
    asked = newcomer.products.get(floor.market["product_id"]).quote(SQL)
    with pytest.raises(entrepot.PaymentRequiredError):
        asked.order()
    operator.account.credit(made.did, asked.price)
    with pytest.raises(entrepot.JobRefundedError, match="consumer_not_trusted") as caught:
        asked.order().result()
    assert caught.value.reason == "worker_refused"
    assert [balance.balance_minor for balance in newcomer.account.balances()] == [asked.price.amount_minor]
