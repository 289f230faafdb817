"""An exchange that lies, one lie at a time: each is found, named, and nothing of it believed."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest

import entrepot
from tests.world import SQL, Json, Tamper, World, key, money, signed


def entry(bundle: Json, name: str) -> Any:
    """An entry of a bundle."""
    return next(item for item in bundle["entries"] if item["name"] == name)


def put(name: str, value: object) -> Tamper:
    """Sets a field."""

    def change(statement: Json) -> None:
        statement[name] = value

    return change


def flip_share(answer: Json) -> None:
    sealed = bytearray(base64.b64decode(answer["shares"][1]["ciphertext"]))
    sealed[40] ^= 1
    answer["shares"][1]["ciphertext"] = base64.b64encode(sealed).decode()


def shift_a_cent(release: Json) -> None:
    # The sum is right, and everybody within a unit of it; only the rule is not kept.
    release["split"][0]["amount"], release["split"][1]["amount"] = money(226), money(224)


def swap_workers(quote: Json) -> None:
    quote["parties"][0]["worker"], quote["parties"][1]["worker"] = quote["parties"][1]["worker"], quote["parties"][0]["worker"]


@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        (put("plan", "0" * 64), "quote_plan"),
        (put("sql", SQL.replace("term_36", "term_60")), "quote_sql"),
        (put("price", money(50_000)), "quote_price"),
        (put("product", "1" * 64), "quote_product"),
        (put("consumer", key().did), "quote_consumer"),
        (put("leakage", ["Nobody learns anything."]), "quote_leakage"),
        (lambda quote: quote["parties"].reverse(), "quote_parties"),
        (swap_workers, "grant_worker"),
        (lambda quote: quote["parties"][0].update(grant="2" * 64), "grant_hash"),
    ],
)
def test_a_quote_that_is_not_for_this_query_and_product_is_refused(tamper: Tamper, code: str) -> None:
    world = World(tamper={"quote": tamper})
    with pytest.raises(entrepot.EvidenceError) as caught:
        world.client().products.get("loans-with-credit").quote(SQL)
    assert caught.value.code == code


def test_a_quote_under_another_key_is_refused() -> None:
    world = World(signer={"quote": key()})
    with pytest.raises(entrepot.EvidenceError, match="has not signed"):
        world.client().products.get("loans-with-credit").quote(SQL)


def test_a_product_that_not_everybody_signed_is_refused() -> None:
    world = World()
    world.product = signed("data-product", world._product(), *world.participants[:2])
    with pytest.raises(entrepot.EvidenceError, match="has not signed"):
        world.client().products.get("loans-with-credit").quote(SQL)


def test_a_product_of_strangers_is_refused_however_well_signed() -> None:
    world = World()
    world.participants = [key(), key(), key()]
    world.product = signed("data-product", world._product(), *world.participants)
    with pytest.raises(entrepot.EvidenceError) as caught:
        world.client().products.get("loans-with-credit").quote(SQL)
    assert caught.value.code == "untrusted_participant"


def test_a_product_of_another_exchange_is_refused() -> None:
    world = World(tamper={"product": put("exchange", key().did)})
    with pytest.raises(entrepot.EvidenceError) as caught:
        world.client().products.get("loans-with-credit").quote(SQL)
    assert caught.value.code == "product_exchange"


def test_a_product_whose_policy_was_changed_after_signing_is_refused() -> None:
    world = World()
    statement = world._product()
    statement["tables"][0]["policy"]["minimum_group"] = 2
    other = signed("data-product", statement, *(key() for _ in range(3)))
    world.product = {**world.product, "payload": other["payload"]}
    with pytest.raises(entrepot.EvidenceError) as caught:
        world.client().products.get("loans-with-credit").quote(SQL)
    assert caught.value.code == "signature"


@pytest.mark.parametrize(
    ("name", "tamper", "code"),
    [
        ("result", flip_share, "result_digest"),
        ("result", lambda answer: answer["shares"].pop(), "result_incomplete"),
        ("receipt-1", put("plan", "3" * 64), "receipt_terms"),
        ("receipt-2", put("job_id", "job_" + "1" * 26), "receipt_terms"),
        ("receipt-0", put("order", "4" * 64), "receipt_terms"),
        ("receipt-0", put("input_commitment", "e" * 64), "receipt_input"),
        ("receipt-2", put("input_commitment", "e" * 64), "receipt_input"),
        ("receipt-0", put("attempt", 2), "receipts_disagree"),
        ("receipt-1", lambda receipt: receipt["shares"][0].update(ciphertext="6" * 64), "receipts_disagree"),
        ("receipt-1", lambda receipt: receipt["shares"].pop(), "receipt_shares"),
        ("hold", put("amount", money(1)), "hold_terms"),
        ("hold", put("agreement", "7" * 64), "hold_terms"),
        ("hold", put("consumer", key().did), "hold_terms"),
        ("receipt-1", put("consumer", key().did), "receipt_terms"),
        ("release", put("split_rule", "9" * 64), "release_split"),
        ("release", put("amount", money(1)), "release_terms"),
        ("release", put("hold", "8" * 64), "release_terms"),
        ("release", lambda release: release["receipts"].reverse(), "release_terms"),
        ("release", lambda release: release["split"][0].update(amount=money(226)), "release_split"),
        ("release", shift_a_cent, "release_split"),
        ("release", lambda release: release["split"].reverse(), "release_split"),
        ("release", lambda release: release["split"].pop(), "release_split"),
        ("release", lambda release: release["split"][0].update(participant=key().did), "release_split"),
        ("bundle", lambda bundle: bundle["entries"].pop(), "receipt_incomplete"),
        ("bundle", lambda bundle: bundle["entries"].append(copy.deepcopy(bundle["entries"][0])), "receipt_format"),
        ("bundle", lambda bundle: entry(bundle, "order").update(envelope=entry(bundle, "agreement")["envelope"]), "envelope"),
        ("bundle", lambda bundle: entry(bundle, "grant-0").update(envelope=entry(bundle, "grant-1")["envelope"]), "grant_hash"),
    ],
)
def test_a_result_that_the_signatures_do_not_bear_out_is_refused(name: str, tamper: Tamper, code: str) -> None:
    world = World(tamper={name: tamper})
    job = world.client().products.get("loans-with-credit").quote(SQL).order()
    with pytest.raises(entrepot.EvidenceError) as caught:
        job.result()
    assert caught.value.code == code, str(caught.value)


@pytest.mark.parametrize("name", ["receipt-0", "receipt-1", "receipt-2", "hold", "release"])
def test_a_statement_under_another_key_is_refused(name: str) -> None:
    world = World(signer={name: key()})
    job = world.client().products.get("loans-with-credit").quote(SQL).order()
    with pytest.raises(entrepot.EvidenceError, match="has not signed"):
        job.result()


def test_a_refund_under_another_key_is_no_refund() -> None:
    world = World(refund=True, signer={"refund": key()})
    job = world.client().products.get("loans-with-credit").quote(SQL).order()
    with pytest.raises(entrepot.EvidenceError, match="has not signed"):
        job.result()


def test_workers_of_strangers_are_found_before_anything_is_signed() -> None:
    world = World(signer={"grant-1": key()})
    with pytest.raises(entrepot.EvidenceError, match="has not signed"):
        world.client().products.get("loans-with-credit").quote(SQL)
    with pytest.raises(entrepot.UnexpectedResponseError, match="grants"):
        World(tamper={"quote-answer": lambda answer: answer.pop("grants")}).client().products.get("loans-with-credit").quote(SQL)


def test_a_worker_whose_grant_ended_is_found_before_anything_is_signed() -> None:
    world = World(tamper={"grant-2": put("expires_at", "1700000000001")})
    with pytest.raises(entrepot.EvidenceError) as caught:
        world.client().products.get("loans-with-credit").quote(SQL)
    assert caught.value.code == "grant_period"


@pytest.mark.parametrize(("swap_order", "code"), [(False, "receipt_order"), (True, "receipt_terms")])
def test_the_result_of_another_order_is_refused(swap_order: bool, code: str) -> None:
    world = World(swap_result=True, swap_order=swap_order)
    client = world.client()
    quote = client.products.get("loans-with-credit").quote(SQL)
    quote.order()
    second = quote.order()
    with pytest.raises(entrepot.EvidenceError) as caught:
        client.jobs.get(second.id).result()
    assert caught.value.code == code


def test_an_order_that_somebody_else_signed_is_not_ours() -> None:
    world = World()
    job = world.client().products.get("loans-with-credit").quote(SQL).order()
    stranger = world.client()
    stranger._key = key()
    with pytest.raises(entrepot.EvidenceError, match="has not signed"):
        stranger.jobs.get(job.id).result()
