"""The native core, seen from Python."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import pytest

import entrepot
from entrepot import _native
from tests.world import SQL, World, hash_of, key, payload, signed


def test_keys_are_written_for_their_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    made = entrepot.generate_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert entrepot.load_key(path).did == made.did
    with pytest.raises(entrepot.ConfigurationError, match="never overwritten"):
        entrepot.generate_key_file(path)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "k.json"
    entrepot.generate_key_file(path)
    path.chmod(mode)
    with pytest.raises(entrepot.ConfigurationError, match="chmod 600"):
        entrepot.Client("http://exchange.test", key=path)


def test_a_price_is_divided_to_the_last_unit_by_largest_remainder() -> None:
    dids = [key().did for _ in range(3)]
    shares = [{"participant": did, "share": share} for did, share in zip(dids, (3_333, 3_333, 3_334), strict=True)]
    parts = json.loads(_native.split(json.dumps({"amount_minor": "101", "currency": "EUR"}), json.dumps(shares)))
    assert [(part["participant"], part["amount"]["amount_minor"]) for part in parts] == list(zip(dids, ("34", "33", "34"), strict=True))
    with pytest.raises(_native.NativeError):
        _native.split(json.dumps({"amount_minor": "101", "currency": "EUR"}), json.dumps(shares[:2]))


def test_a_broken_key_file_is_refused_without_telling_its_secrets(tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    fields = json.loads(_native.keygen())
    path.write_text(json.dumps({**fields, "did": key().did}))
    path.chmod(0o600)
    with pytest.raises(entrepot.ConfigurationError, match="did") as caught:
        entrepot.load_key(path)
    assert fields["signing_seed"] not in str(caught.value)
    assert repr(key()).startswith("Key(did:key:")


def test_nothing_is_signed_that_is_no_statement_of_its_kind() -> None:
    signer = key()
    hold = {"job_id": "job_" + "0" * 26, "order": "0" * 64, "agreement": "0" * 64, "consumer": key().did}
    hold |= {"amount": {"amount_minor": "1", "currency": "EUR"}, "held_at": "1"}  # type: ignore[dict-item]
    assert signer.sign("hold", json.dumps(hold))
    for wrong in ({**hold, "extra": 1}, {**hold, "held_at": 1}, {**hold, "order": "xyz"}, {}):
        with pytest.raises(_native.NativeError) as caught:
            signer.sign("hold", json.dumps(wrong))
        assert caught.value.args[0] == "statement"
    with pytest.raises(_native.NativeError):
        signer.sign("holding", json.dumps(hold))


def test_an_envelope_opens_only_for_its_signers_and_only_unchanged() -> None:
    world = World()
    text = json.dumps(world.product).encode()
    signers = [each.did for each in world.participants]
    assert json.loads(_native.envelope_open(text, "data-product", signers)) == payload(world.product)
    assert _native.envelope_signers(text) == signers
    for kind, wanted in (("order", signers), ("data-product", [key().did]), ("data-product", []), ("data-product", ["did:key:zzz"])):
        with pytest.raises(_native.NativeError):
            _native.envelope_open(text, kind, wanted)
    changed = json.dumps({**world.product, "salt": signed("data-product", world._product(), key())["salt"]}).encode()
    with pytest.raises(_native.NativeError):
        _native.envelope_open(changed, "data-product", signers)
    for broken in (b"", b"{}", b"[1]", b"\xff", b"null"):
        with pytest.raises(_native.NativeError):
            _native.envelope_peek(broken, "data-product")


def test_the_plan_hash_is_that_of_its_canonical_json() -> None:
    # Keys sorted, no white space, all integers beyond 32 bits in strings: what RFC 8785 asks of plain ASCII.
    plan = World().plan()
    canonical = json.dumps(json.loads(plan.json), sort_keys=True, separators=(",", ":")).encode()
    assert plan.hash == hashlib.sha256(b"entrepot/plan/v1\n" + canonical).hexdigest()


def test_the_statement_hash_is_that_of_the_dsse_encoding() -> None:
    envelope = World().product
    kind, body = str(envelope["payloadType"]).encode(), json.dumps(payload(envelope), sort_keys=True, separators=(",", ":")).encode()
    encoded = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)
    assert hash_of(envelope) == hashlib.sha256(encoded).hexdigest()


def test_a_refused_query_names_rule_and_remedy() -> None:
    product = json.dumps(payload(World().product))
    with pytest.raises(_native.PlanError) as caught:
        _native.plan(SQL + " ORDER BY 1", product)
    code, rule, _detail, hint = caught.value.args
    assert (code, rule) == ("sql_unsupported", "no_order_by")
    assert hint
    with pytest.raises(_native.NativeError):
        _native.plan(SQL, "{}")


def test_cells_that_no_honest_run_opens_are_refused() -> None:
    plan = World().plan()
    for cells in ([], [0] * 9, [5, 0, 0, 0, 0, 0, 0, 0, 0, 2], [2**64 - 1] * 10):
        with pytest.raises(_native.NativeError):
            plan.decode(cells)


def test_sealed_shares_open_for_one_order_attempt_and_key_only() -> None:
    world = World()
    order = signed("hold", _hold(), world.exchange)
    sealed = world.sealed(order)
    opened = world.consumer.open_result(hash_of(order), 1, sealed)
    assert len(opened) == 10
    for opener, named, attempt, shares in (
        (world.consumer, hash_of(order), 2, sealed),
        (world.consumer, "0" * 64, 1, sealed),
        (world.exchange, hash_of(order), 1, sealed),
        (world.consumer, hash_of(order), 1, sealed[::-1]),
        (world.consumer, hash_of(order), 1, sealed[:2]),
    ):
        with pytest.raises(_native.NativeError):
            opener.open_result(named, attempt, shares)


def _hold() -> dict[str, object]:
    amount = {"amount_minor": "1", "currency": "EUR"}
    about = {"job_id": "job_" + "0" * 26, "order": "0" * 64, "agreement": "0" * 64, "consumer": key().did}
    return {**about, "amount": amount, "held_at": "1"}


def test_ids_are_of_their_kind_and_new_each_time() -> None:
    ids = {_native.new_id("order", 1_700_000_000_000) for _ in range(50)}
    assert len(ids) == 50
    assert all(each.startswith("order_") and len(each) == 32 for each in ids)
    with pytest.raises(_native.NativeError):
        _native.new_id("job", 1)


def test_a_file_that_is_no_receipt_is_refused(tmp_path: Path) -> None:
    trust = entrepot.Trust(exchange="x", participants=frozenset(), text="{}")
    path = tmp_path / "receipt.json"
    path.write_text("{}")
    with pytest.raises(entrepot.EvidenceError):
        entrepot.verify_file(path, trust)
