"""Receipts and logs checked by software that is not ours: tests/independent/verify.go, on Go's sumdb."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import entrepot
import pytest

SOURCE = Path(__file__).resolve().parents[1] / "independent" / "verify.go"
# Where Debian's golang-golang-x-mod-dev puts its sources.
GO_PATH = "/usr/share/gocode"

Receipt = dict[str, Any]


@pytest.fixture(scope="session")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go program, built."""
    go = shutil.which("go")
    if go is None or not Path(GO_PATH, "src/golang.org/x/mod/sumdb").is_dir():
        pytest.skip("Go and its x/mod are not installed: golang-go and golang-golang-x-mod-dev of Debian")
    folder = tmp_path_factory.mktemp("go")
    environment = os.environ | {"GO111MODULE": "off", "GOPATH": GO_PATH, "GOCACHE": str(folder / "cache"), "GOFLAGS": ""}
    subprocess.run([go, "build", "-o", str(folder / "verify"), str(SOURCE)], env=environment, check=True, timeout=300)
    return folder / "verify"


@pytest.fixture(scope="session")
def regulator(market: dict[str, Any]) -> Iterator[entrepot.Client]:
    """Who may read the log."""
    with entrepot.Client(market["url"], key=market["keys"]["regulator"], trust=market["trust"]) as client:
        yield client


def buy(market: dict[str, Any]) -> Receipt:
    """Buys a computation and gives its receipt, witnessed."""
    with entrepot.Client(market["url"], key=market["keys"]["consumer"], trust=market["trust"]) as consumer:
        sql = "SELECT l.addr_state, COUNT(*) FROM lender.loans l JOIN bureau.credit b ON l.customer = b.customer GROUP BY l.addr_state"
        job = consumer.products.get(market["product_id"]).quote(sql).order()
        assert job.result().rows
        assert job.receipt.verify().witnessed
        bundle: Receipt = json.loads(job.receipt.fetch())
        return bundle


@pytest.fixture(scope="session")
def receipt(market: dict[str, Any]) -> Receipt:
    """A receipt, not to be changed."""
    return buy(market)


def check(verifier: Path, *arguments: str | Path) -> tuple[dict[str, int] | None, str]:
    """What the program printed, or none and what it found wrong."""
    done = subprocess.run([verifier, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return (json.loads(done.stdout) if done.returncode == 0 else None), done.stderr


def flipped(text: str, at: int) -> str:
    """The text with another base64 digit at a place."""
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


def test_a_receipt_is_genuine_for_others_too(verifier: Path, market: dict[str, Any], receipt: Receipt, tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(receipt))
    found, wrong = check(verifier, "receipt", market["trust"], path)
    assert found is not None, wrong
    assert found["entries"] == len(receipt["entries"]) == 13
    assert found["quorum"] == 2 <= found["witnesses"]


def first_hash(proof: str) -> str:
    """A proof with its first hash changed."""
    lines = proof.split("\n")
    lines[2] = flipped(lines[2], 5)
    return "\n".join(lines)


def root(proof: str) -> str:
    """A proof with its checkpoint's root changed."""
    head, checkpoint = proof.split("\n\n", 1)
    lines = checkpoint.split("\n")
    lines[2] = flipped(lines[2], 5)
    return head + "\n\n" + "\n".join(lines)


def signature(proof: str) -> str:
    """A proof with its checkpoint's last signature changed."""
    return flipped(proof, len(proof) - 10)


def index(proof: str) -> str:
    """A proof of another place."""
    return proof.replace("\nindex ", "\nindex 1", 1)


@pytest.mark.parametrize("change", [first_hash, root, signature, index])
def test_a_changed_proof_is_refused(
    verifier: Path, market: dict[str, Any], receipt: Receipt, tmp_path: Path, change: Callable[[str], str]
) -> None:
    changed = json.loads(json.dumps(receipt))
    changed["entries"][4]["proof"] = change(changed["entries"][4]["proof"])
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(changed))
    found, wrong = check(verifier, "receipt", market["trust"], path)
    assert found is None
    assert wrong


def test_a_changed_statement_is_refused(verifier: Path, market: dict[str, Any], receipt: Receipt, tmp_path: Path) -> None:
    changed = json.loads(json.dumps(receipt))
    changed["entries"][2]["envelope"]["payload"] = flipped(changed["entries"][2]["envelope"]["payload"], 40)
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(changed))
    found, wrong = check(verifier, "receipt", market["trust"], path)
    assert found is None
    assert "signature" in wrong


def test_a_log_that_grew_is_consistent_for_others_too(
    verifier: Path, market: dict[str, Any], regulator: entrepot.Client, tmp_path: Path
) -> None:
    older = regulator.log.checkpoint()
    buy(market)
    newer = regulator.log.checkpoint()
    sizes = [int(note.split("\n")[1]) for note in (older, newer)]
    files = [tmp_path / name for name in ("older", "newer", "proof")]
    proof = regulator.log.consistency(*sizes)
    for path, text in zip(files, (older, newer, "\n".join(proof)), strict=True):
        path.write_text(text)
    found, wrong = check(verifier, "consistency", market["trust"], *files)
    assert found == {"old": sizes[0], "new": sizes[1]}, wrong
    assert sizes[0] < sizes[1], "nothing was proved"
    files[2].write_text("\n".join([*proof[:-1], "0" * 64]))
    assert check(verifier, "consistency", market["trust"], *files)[0] is None


def test_the_whole_log_is_read_by_its_tiles(verifier: Path, market: dict[str, Any], receipt: Receipt) -> None:
    found, wrong = check(verifier, "tiles", market["trust"], market["url"] + "/v1/log")
    assert found is not None, wrong
    assert found["size"] >= len(receipt["entries"])
