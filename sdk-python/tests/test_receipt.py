"""Receipts, verified offline by the code of `entrepot verify`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import entrepot
from entrepot import report
from tests.world import SQL, World, key


def job_of(world: World) -> entrepot.Job:
    return world.client().products.get("loans-with-credit").quote(SQL).order()


def test_a_receipt_that_is_not_logged_yet_is_valid_and_says_pending() -> None:
    found = job_of(World()).receipt.verify(wait_s=0)
    assert found.valid, str(found)
    assert not found.witnessed
    assert isinstance(found.status, report.Pending)
    assert "release" in found.status.entries
    assert isinstance(found.outcome, report.Released)
    assert [part.amount.amount_minor for part in found.outcome.split] == [225, 225, 50]
    assert "semi-honest" in str(found)
    found.raise_if_invalid()


def test_a_refund_is_verified_too() -> None:
    found = job_of(World(refund=True)).receipt.verify(wait_s=0)
    assert found.valid, str(found)
    assert isinstance(found.outcome, report.Refunded)
    assert found.outcome.reason == "worker_refused"


def test_a_report_says_how_many_members_decided() -> None:
    told = {"status": {"state": "witnessed", "k": 2, "n": 3}, "checks": [], "validators": 0}
    assert "decided" not in str(report.VerificationReport.model_validate(told))
    found = report.VerificationReport.model_validate({**told, "decided": {"k": 3, "n": 4}})
    assert found.decided == report.Decided(k=3, n=4)
    assert "decided by 3 of 4 members" in str(found)


def test_a_saved_receipt_is_verified_without_an_exchange(tmp_path: Path) -> None:
    world = World()
    job_of(world).receipt.save(tmp_path / "receipt.json")
    (tmp_path / "trust.json").write_text(world.trust.text)
    assert entrepot.verify_file(tmp_path / "receipt.json", tmp_path / "trust.json").valid


def test_the_same_receipt_under_other_keys_proves_nothing() -> None:
    world = World(signer={"release": key()})
    found = job_of(world).receipt.verify(wait_s=0)
    assert not found.valid
    assert "signature:release" in [check.name for check in found.failures]
    with pytest.raises(entrepot.EvidenceError, match="signature:release"):
        found.raise_if_invalid()


def test_a_world_that_is_consistent_but_not_ours_proves_nothing(tmp_path: Path) -> None:
    # Everything fits together and is well signed; only nobody whom we trust signed it.
    theirs, ours = World(), World()
    job_of(theirs).receipt.save(tmp_path / "receipt.json")
    assert entrepot.verify_file(tmp_path / "receipt.json", theirs.trust).valid
    assert not entrepot.verify_file(tmp_path / "receipt.json", ours.trust).valid


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    world, path = World(), tmp_path / "receipt.json"
    job_of(world).receipt.save(path)
    bundle = json.loads(path.read_text())
    for place in range(len(bundle["entries"])):
        changed = json.loads(path.read_text())
        signature = changed["entries"][place]["envelope"]["signatures"][0]
        signature["sig"] = ("B" if signature["sig"][0] == "A" else "A") + signature["sig"][1:]
        other = tmp_path / "changed.json"
        other.write_text(json.dumps(changed))
        assert not entrepot.verify_file(other, world.trust).valid, changed["entries"][place]["name"]


def test_a_report_shows_its_failures_in_a_notebook() -> None:
    html = job_of(World(signer={"hold": key()})).receipt.verify(wait_s=0)._repr_html_()
    assert "FAILED" in html
    assert "invalid" in html
