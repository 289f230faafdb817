"""Orders whose answer is lost: paid once, whatever happens on the way."""

from __future__ import annotations

import json

import httpx2
import pytest

import entrepot
from tests.world import SQL, World, payload


def ask(world: World) -> entrepot.Quote:
    return world.client().products.get("loans-with-credit").quote(SQL)


def sent(world: World) -> list[httpx2.Request]:
    return list(world.sent("POST", "/v1/orders"))


# 3: all tries of the first request. 6: also those of the question what became of it. 7: also the next one of the order.
@pytest.mark.parametrize("lost", [1, 3, 6, 7])
def test_an_order_whose_answer_is_lost_is_taken_once(lost: int) -> None:
    world = World(orders_unanswered=lost)
    job = ask(world).order()
    assert [payload(order)["order_id"] for order in world.orders] == [job.order_id]
    assert len({(request.headers["idempotency-key"], request.content) for request in sent(world)}) == 1
    assert job.result().rows


@pytest.mark.parametrize("lost", [1, 3, 6, 7])
def test_an_order_that_never_arrived_is_sent_again_as_it_was(lost: int) -> None:
    world = World(orders_unheard=lost)
    job = ask(world).order()
    assert [payload(order)["order_id"] for order in world.orders] == [job.order_id]
    assert len({(request.headers["idempotency-key"], request.content) for request in sent(world)}) == 1


@pytest.mark.parametrize("taken", [True, False])
def test_an_order_of_unknown_fate_is_named_and_sent_again_by_a_later_client(taken: bool) -> None:
    world = World(orders_unanswered=1000) if taken else World(orders_unheard=1000)
    quote = ask(world)
    with pytest.raises(entrepot.OrderUncertainError) as caught:
        quote.order()
    assert len(sent(world)) == 15
    assert len(world.orders) == (1 if taken else 0)
    kept = json.loads(json.dumps(caught.value.envelope))
    assert payload(kept)["order_id"] == caught.value.order_id
    assert caught.value.order_id in str(caught.value)

    world.orders_unanswered = world.orders_unheard = 0
    for _ in range(2):
        job = world.client().orders.place(kept)
        assert job.order_id == caught.value.order_id
    assert len(world.orders) == 1
    assert job.result().rows


def test_an_order_that_the_exchange_knows_but_not_its_key_is_asked_for() -> None:
    # Keys are forgotten after a while; orders are not.
    world = World()
    job = ask(world).order()
    world.kept.clear()
    world.refuse_orders = "order_exists"
    assert world.client().orders.place(world.orders[0]).id == job.id


def test_a_refusal_is_no_uncertainty() -> None:
    world = World(refuse_orders="order_sequence_wrong")
    with pytest.raises(entrepot.ConflictError) as caught:
        ask(world).order()
    assert caught.value.code == "order_sequence_wrong"
    assert len(sent(world)) == 1


def test_only_ones_own_order_is_sent() -> None:
    theirs, ours = World(), World()
    ask(theirs).order()
    with pytest.raises(entrepot.EvidenceError, match="has not signed"):
        ours.client().orders.place(theirs.orders[0])
    assert not sent(ours)
