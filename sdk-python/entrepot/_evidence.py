"""Checks of what the exchange says against what was signed. Pure; the exchange may be hostile.

The root of every check is a key known beforehand: one's own, or one of the trust file. Nothing is taken from an answer that no such
signature covers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError

from . import _native
from .errors import EvidenceError, PlanError
from .models import (
    AgreementStatement,
    DataProduct,
    Envelope,
    HoldStatement,
    OrderStatement,
    PartyPin,
    QuoteStatement,
    Record,
    RefundStatement,
    ReleaseStatement,
    RightsRegistration,
    UsageReceipt,
    WorkerGrant,
)
from .table import Table
from .trust import Trust

Statement = TypeVar("Statement", bound=Record)

KINDS: Mapping[type[Record], str] = {
    WorkerGrant: "worker-grant",
    RightsRegistration: "rights-registration",
    DataProduct: "data-product",
    QuoteStatement: "quote",
    AgreementStatement: "agreement",
    OrderStatement: "order",
    HoldStatement: "hold",
    UsageReceipt: "usage-receipt",
    ReleaseStatement: "release",
    RefundStatement: "refund",
}
_PARTIES = 3


def _fail(code: str, message: str) -> NoReturn:
    raise EvidenceError(code, message)


def _same(code: str, what: str, found: object, expected: object) -> None:
    if found != expected:
        _fail(code, f"{what} is {found}, expected {expected}")


def envelope_bytes(envelope: Envelope) -> bytes:
    """The envelope as native code takes it."""
    return json.dumps(envelope, separators=(",", ":")).encode()


def envelope_of(text: str) -> Envelope:
    """The envelope that native code made."""
    value: Envelope = json.loads(text)
    return value


def statement_hash(envelope: Envelope) -> str:
    """What other statements call this one by."""
    try:
        return _native.envelope_hash(envelope_bytes(envelope))
    except _native.NativeError as error:
        raise EvidenceError(error.args[0], error.args[1]) from error


def open_signed(envelope: Envelope, kind: type[Statement], signers: Sequence[str]) -> Statement:
    """The statement, if all of these signed it."""
    try:
        return kind.model_validate_json(_native.envelope_open(envelope_bytes(envelope), KINDS[kind], list(signers)))
    except _native.NativeError as error:
        raise EvidenceError(error.args[0], f"the {KINDS[kind]}: {error.args[1]}") from error
    except ValidationError as error:
        raise EvidenceError("statement", f"the {KINDS[kind]} is not of the known shape") from error


def peek(envelope: Envelope, kind: type[Statement]) -> Statement:
    """The statement, whoever signed it: to find out who should have."""
    try:
        return kind.model_validate_json(_native.envelope_peek(envelope_bytes(envelope), KINDS[kind]))
    except _native.NativeError as error:
        raise EvidenceError(error.args[0], f"the {KINDS[kind]}: {error.args[1]}") from error
    except ValidationError as error:
        raise EvidenceError("statement", f"the {KINDS[kind]} is not of the known shape") from error


def make_plan(sql: str, product_json: str) -> _native.Plan:
    """The query's plan on a product."""
    try:
        return _native.plan(sql, product_json)
    except _native.PlanError as error:
        code, rule, detail, hint = error.args
        raise PlanError(code, rule, detail, hint) from None


@dataclass(frozen=True)
class SignedProduct:
    """A product, complete with the signatures of everyone whom it binds."""

    statement: DataProduct
    hash: str
    json: str


def open_product(envelope: Envelope, trust: Trust) -> SignedProduct:
    """The product, if the exchange, its providers and its compute party are trusted and the latter three signed it."""
    claimed = peek(envelope, DataProduct)
    strangers = [did for did in claimed.participants if did not in trust.participants]
    if strangers:
        _fail("untrusted_participant", f"your trust file does not name {', '.join(strangers)}, which the product binds")
    _same("product_exchange", "the exchange that may sell the product", claimed.exchange, trust.exchange)
    statement = open_signed(envelope, DataProduct, claimed.participants)
    return SignedProduct(statement, statement_hash(envelope), statement.to_json())


def check_grants(pins: Sequence[PartyPin], grants: Sequence[Envelope], now_ms: int | None) -> None:
    """Each pinned worker was granted to by the participant for which it acts."""
    _same("grants", "the number of worker grants", len(grants), len(pins))
    for party, (pin, envelope) in enumerate(zip(pins, grants, strict=True)):
        _same("grant_hash", f"the hash of the grant of party {party}", statement_hash(envelope), pin.grant)
        grant = open_signed(envelope, WorkerGrant, [pin.participant])
        _same("grant_participant", f"the participant of the grant of party {party}", grant.participant, pin.participant)
        _same("grant_worker", f"the worker of the grant of party {party}", grant.worker, pin.worker)
        _same("grant_role", f"the role of the grant of party {party}", grant.role, "compute" if party == _PARTIES - 1 else "data")
        if now_ms is not None and not grant.not_before <= now_ms < grant.expires_at:
            _fail("grant_period", f"the grant of party {party} is not valid now")


def check_quote(envelope: Envelope, product: SignedProduct, plan: _native.Plan, sql: str, consumer: str, trust: Trust) -> QuoteStatement:
    """The quote, if the exchange signed it and it offers exactly this plan of this product for the product's price."""
    quote = open_signed(envelope, QuoteStatement, [trust.exchange])
    _same("quote_product", "the quote's product", (quote.product_id, quote.product), (product.statement.product_id, product.hash))
    _same("quote_consumer", "the quote's consumer", quote.consumer, consumer)
    _same("quote_sql", "the quote's query", quote.sql, sql)
    _same("quote_plan", "the quote's plan", quote.plan, plan.hash)
    _same("quote_price", "the quote's price", quote.price, product.statement.price_per_query)
    _same("quote_parties", "the quote's parties", [pin.participant for pin in quote.parties], product.statement.participants)
    _same("quote_leakage", "what the quote says each party learns", quote.leakage, plan.leakage())
    return quote


def same_terms(agreement: AgreementStatement, product: SignedProduct, pins: Sequence[PartyPin], sealing_key: str) -> bool:
    """Whether an agreement, whose signature is one's own, accepts this product as it is, with these workers."""
    offer = product.statement
    return (
        agreement.product == product.hash
        and list(agreement.parties) == list(pins)
        and agreement.sealing_key == sealing_key
        and agreement.exchange == offer.exchange
        and agreement.price_per_query == offer.price_per_query
        and agreement.split == offer.split
        and agreement.quota_queries == offer.quota_queries
    )


@dataclass(frozen=True)
class Contract:
    """What one's own signatures say about a job: the order, the agreement that it uses, the product that this accepts."""

    product: SignedProduct
    agreement: AgreementStatement
    agreement_hash: str
    order: OrderStatement
    order_hash: str
    plan: _native.Plan


def open_contract(entries: Mapping[str, Envelope], consumer: str, trust: Trust) -> Contract:
    """Follows one's own signatures: order → agreement → product → plan."""
    order_envelope, agreement_envelope = entry(entries, "order"), entry(entries, "agreement")
    order = open_signed(order_envelope, OrderStatement, [consumer])
    agreement = open_signed(agreement_envelope, AgreementStatement, [consumer])
    product = open_product(entry(entries, "product"), trust)
    agreement_hash = statement_hash(agreement_envelope)
    _same("order_agreement", "the order's agreement", order.agreement, agreement_hash)
    _same("agreement_product", "the agreement's product", agreement.product, product.hash)
    _same("agreement_exchange", "the agreement's exchange", agreement.exchange, trust.exchange)
    _same("agreement_parties", "the agreement's parties", [pin.participant for pin in agreement.parties], product.statement.participants)
    plan = make_plan(order.sql, product.json)
    _same("order_plan", "the order's plan", order.plan, plan.hash)
    return Contract(product, agreement, agreement_hash, order, statement_hash(order_envelope), plan)


def entry(entries: Mapping[str, Envelope], name: str) -> Envelope:
    """A named entry of a receipt bundle."""
    found = entries.get(name)
    if found is None:
        _fail("receipt_incomplete", f"the receipt has no {name}")
    return found


def bundle_entries(bundle: Mapping[str, Any]) -> dict[str, Envelope]:
    """The envelopes of a receipt bundle by name."""
    found: dict[str, Envelope] = {}
    items = bundle.get("entries")
    if bundle.get("format") != "entrepot.receipt.v1" or not isinstance(items, list):
        _fail("receipt_format", "the receipt is not of the format entrepot.receipt.v1")
    for item in items:
        name, envelope = (item.get("name"), item.get("envelope")) if isinstance(item, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(envelope, dict) or name in found:
            _fail("receipt_format", "the receipt's entries are not named envelopes")
        found[name] = envelope
    return found


def check_receipts(entries: Mapping[str, Envelope], contract: Contract, job_id: str) -> tuple[int, list[str]]:
    """The attempt and the digests of its three sealed shares, if all workers that the agreement pins attest them alike."""
    attempts: set[int] = set()
    digests: dict[int, set[str]] = {share: set() for share in range(_PARTIES)}
    for party, pin in enumerate(contract.agreement.parties):
        receipt = open_signed(entry(entries, f"receipt-{party}"), UsageReceipt, [pin.worker])
        said = (receipt.job_id, receipt.agreement, receipt.order, receipt.plan, receipt.party, receipt.participant, receipt.worker)
        signed = (job_id, contract.agreement_hash, contract.order_hash, contract.order.plan, party, pin.participant, pin.worker)
        _same("receipt_terms", f"the consumer of party {party}'s receipt", receipt.consumer, contract.agreement.consumer)
        _same("receipt_terms", f"what the receipt of party {party} is about", said, signed)
        _same("receipt_security", f"the security of party {party}", receipt.security, contract.agreement.security)
        tables = contract.product.statement.tables
        commitment = tables[party].commitment if party < len(tables) else None
        _same("receipt_input", f"the input commitment of party {party}", receipt.input_commitment, commitment)
        held = sorted(digest.share for digest in receipt.shares)
        _same("receipt_shares", f"the shares of party {party}", held, sorted({party, (party + 1) % _PARTIES}))
        for digest in receipt.shares:
            digests[digest.share].add(digest.ciphertext)
        attempts.add(receipt.attempt)
    if len(attempts) != 1 or any(len(found) != 1 for found in digests.values()):
        _fail("receipts_disagree", "the workers' receipts do not agree with each other")
    return attempts.pop(), [digests[share].copy().pop() for share in range(_PARTIES)]


def check_settlement(entries: Mapping[str, Envelope], contract: Contract, job_id: str, trust: Trust) -> ReleaseStatement:
    """The release, if hold and release are the exchange's and pay out the order's price by the agreement's split."""
    hold_envelope = entry(entries, "hold")
    hold = open_signed(hold_envelope, HoldStatement, [trust.exchange])
    held = (hold.job_id, hold.order, hold.agreement, hold.consumer, hold.amount)
    agreed = (job_id, contract.order_hash, contract.agreement_hash, contract.agreement.consumer, contract.order.price)
    _same("hold_terms", "what the hold is about", held, agreed)
    release = open_signed(entry(entries, "release"), ReleaseStatement, [trust.exchange])
    receipts = [statement_hash(entry(entries, f"receipt-{party}")) for party in range(_PARTIES)]
    released = (release.job_id, release.order, release.hold, release.receipts, release.amount)
    expected = (job_id, contract.order_hash, statement_hash(hold_envelope), receipts, contract.order.price)
    _same("release_terms", "what the release is about", released, expected)
    # To the last minor unit, by the rule that the exchange and the workers follow.
    shares = json.dumps([share.model_dump(mode="json") for share in contract.agreement.split])
    due = _native.split(contract.order.price.to_json(), shares)
    _same("release_split", "the release's split", [part.model_dump(mode="json") for part in release.split], json.loads(due))
    _same("release_split", "the release's split rule", release.split_rule, _native.split_rule(contract.agreement_hash, shares))
    return release


def open_result(sealed: Mapping[int, bytes], attempt: int, digests: Sequence[str], contract: Contract, key: _native.Key) -> Table:
    """The result, if its sealed shares are those that the workers attested."""
    for share, digest in enumerate(digests):
        if share not in sealed:
            _fail("result_incomplete", f"share {share} of the result is missing")
        if hashlib.sha256(sealed[share]).hexdigest() != digest:
            _fail("result_digest", f"share {share} of the result is not the one that the workers attested")
    _same("agreement_sealing_key", "the sealing key of the agreement", contract.agreement.sealing_key, key.sealing_key)
    try:
        cells = key.open_result(contract.order_hash, attempt, [sealed[share] for share in range(_PARTIES)])
        return Table.parse(contract.plan.decode(cells))
    except _native.NativeError as error:
        raise EvidenceError(error.args[0], error.args[1]) from error
