"""From a query to a checked result, and again after reconnecting."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

import entrepot
from entrepot.models import Envelope
from tests.world import SQL, Json, World, hash_of, payload

ROWS = (
    ("AL", 20, 13.5, Decimal("1000000.01")),
    ("NY", 12, 12_001 / 1_200, Decimal("0.07")),
)


def test_a_consumer_asks_orders_and_gets_the_result() -> None:
    world = World()
    with world.client() as client:
        quote = client.products.get("loans-with-credit").quote(SQL)
        assert str(quote.price) == "5.00 EUR"
        assert quote.security == "semi-honest"
        assert "semi-honest" in quote.explain()
        assert "which values of customer" in quote.explain()
        assert f"  compute party: {quote.parties[2].participant} " in quote.explain()
        table = quote.order().result()
    assert table.column_names == ["addr_state", "count", "avg_int_rate", "sum_annual_inc"]
    assert table.rows == ROWS
    assert (table.withheld_groups, table.groups) == (1, 3)


def test_the_asynchronous_client_does_the_same() -> None:
    world = World()

    async def journey() -> entrepot.Table:
        async with world.async_client() as client:
            product = await client.products.get("product_" + "0" * 26)
            job = await (await product.quote(SQL)).order()
            return await job.result()

    assert asyncio.run(journey()).rows == ROWS


def test_orders_are_listed_and_results_fetched_again_by_another_client() -> None:
    world = World()
    job = world.client().products.get("loans-with-credit").quote(SQL).order()
    later = world.client()
    assert [order.id for order in later.orders.list()] == [job.order_id]
    assert later.jobs.get(job.id).result().rows == ROWS
    assert later.orders.get(job.order_id).result().rows == ROWS
    later.orders.get(job.order_id).cancel()
    assert len(list(world.sent("POST", f"/v1/orders/{job.order_id}/cancel"))) == 1


def test_a_spent_quota_is_final_and_no_agreement_is_signed_to_renew_it() -> None:
    world = World()
    quote = world.client().products.get("loans-with-credit").quote(SQL)
    for _ in range(3):
        quote.order()
    with pytest.raises(entrepot.ConflictError) as caught:
        quote.order()
    assert caught.value.code == "quota_spent"
    assert [payload(order)["sequence"] for order in world.orders] == ["1", "2", "3"]
    assert len(world.agreements) == 1


def test_an_agreement_that_expired_is_signed_anew() -> None:
    world = World()
    quote = world.client().products.get("loans-with-credit").quote(SQL)
    quote.order()
    world.ended.add(payload(world.agreements[0])["agreement_id"])
    quote.order()
    assert len(world.agreements) == 2
    assert payload(world.orders[1])["agreement"] == hash_of(world.agreements[1])


def test_the_next_number_is_counted_where_the_exchange_does_not_tell_it() -> None:
    class Terse(World):
        """Says nothing of numbers."""

        def _agreement_view(self, agreement: Envelope) -> Json:
            view = super()._agreement_view(agreement)
            del view["next_sequence"]
            return view

    world = Terse()
    quote = world.client().products.get("loans-with-credit").quote(SQL)
    for _ in range(2):
        quote.order()
    assert [payload(order)["sequence"] for order in world.orders] == ["1", "2"]


def test_an_agreement_with_other_workers_is_not_used() -> None:
    world = World()
    world.client().products.get("loans-with-credit").quote(SQL).order()
    world.workers[0] = world.workers[1]
    world.grants = [world._grant(party) for party in range(3)]
    world.client().products.get("loans-with-credit").quote(SQL).order()
    assert len(world.agreements) == 2


def test_without_events_the_job_is_asked_for() -> None:
    world = World(events_broken=True)
    assert world.client().products.get("loans-with-credit").quote(SQL).order().result().rows == ROWS


def test_a_refund_is_told_with_its_reason_and_the_workers_words() -> None:
    world = World(refund=True)
    job = world.client().products.get("loans-with-credit").quote(SQL).order()
    with pytest.raises(entrepot.JobRefundedError, match="not by my policy") as caught:
        job.result()
    assert (caught.value.reason, caught.value.job_id) == ("worker_refused", job.id)


def test_a_withheld_result_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entrepot._progress.HAND_OVER_S", 0.2)
    world = World(withhold=True)
    job = world.client().products.get("loans-with-credit").quote(SQL).order()
    with pytest.raises(entrepot.ResultWithheldError, match="30 days"):
        job.result()


def test_a_result_that_never_came_is_told_as_that() -> None:
    job = World(undelivered=True).client().products.get("loans-with-credit").quote(SQL).order()
    with pytest.raises(entrepot.ResultWithheldError, match="did not come in 30 days"):
        job.result()


def test_a_job_that_takes_too_long_can_be_fetched_later() -> None:
    world = World(withhold=True)
    job = world.client().products.get("loans-with-credit").quote(SQL).order()
    with pytest.raises(entrepot.ResultWithheldError):
        job.result(timeout_s=0.05)


def test_a_forbidden_query_is_refused_before_anything_is_sent() -> None:
    world = World()
    product = world.client().products.get("loans-with-credit")
    with pytest.raises(entrepot.PlanError) as caught:
        product.quote("SELECT COUNT(*) FROM lender.loans l JOIN bureau.credit b ON l.customer = b.customer WHERE l.int_rate > 5")
    assert (caught.value.code, caught.value.rule) == ("policy_forbids", "column_use_filter")
    assert "columns of this table that allow it: term" in caught.value.hint
    assert not list(world.sent("POST", "/v1/quotes"))


def test_quote_and_table_show_themselves_in_a_notebook_without_markup_from_outside() -> None:
    world = World(tamper={"product": lambda product: product.update(title="<script>")})
    client = world.client()
    quote = client.products.get("product_" + "0" * 26).quote(SQL)
    assert "&lt;script&gt;" in quote._repr_html_()
    assert "<script>" not in quote._repr_html_()
    assert "<td>AL</td>" in quote.order().result()._repr_html_()
