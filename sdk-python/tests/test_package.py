"""The package itself: settings, the generated twin, trust files, money."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import entrepot
from entrepot.config import settings
from tests.world import key

ROOT = Path(__file__).parent.parent
TRUST = {"format": "entrepot.trust.v1", "exchange": key().did, "participants": [key().did]}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("URL", "KEY", "TRUST", "CA"):
        monkeypatch.delenv(f"ENTREPOT_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def test_the_blocking_client_is_made_of_the_asynchronous_one() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "generate_sync.py"), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["Client", "Product", "Quote", "Agreement", "Job", "Order", "Receipt", "Dataset", "Certificate"])
def test_both_clients_have_the_same_methods(name: str) -> None:
    def public(kind: type) -> set[str]:
        return {member.replace("aclose", "close") for member, _ in inspect.getmembers(kind) if not member.startswith("_")}

    assert public(getattr(entrepot, name)) == public(getattr(entrepot, f"Async{name}"))


def test_arguments_win_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(entrepot.ConfigurationError, match="ENTREPOT_URL"):
        settings(None, None, None, None)
    file = tmp_path / "entrepot" / "client.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"url": "http://file"}))
    assert settings(None, None, None, None).url == "http://file"
    monkeypatch.setenv("ENTREPOT_URL", "http://env/")
    assert settings(None, None, None, None).url == "http://env"
    assert settings("https://argument", None, None, None).url == "https://argument"
    for wrong in ('{"url": 1}', '{"password": "x"}', "[", "[]"):
        file.write_text(wrong)
        with pytest.raises(entrepot.ConfigurationError):
            settings(None, None, None, None)


def test_keys_and_trust_come_from_their_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = entrepot.generate_key_file(tmp_path / "k.json")
    (tmp_path / "trust.json").write_text(json.dumps(TRUST))
    monkeypatch.setenv("ENTREPOT_KEY", str(tmp_path / "k.json"))
    found = settings("http://x", None, tmp_path / "trust.json", None)
    assert found.key is not None
    assert found.key.did == made.did
    assert found.trust is not None
    assert found.trust.exchange == TRUST["exchange"]


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({**TRUST, "format": "x"}), json.dumps({**TRUST, "participants": "all"})])
def test_a_trust_file_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(entrepot.ConfigurationError):
        entrepot.Trust.parse(text)


def test_buying_without_trust_or_key_says_what_is_missing() -> None:
    client = entrepot.Client("http://x")
    with pytest.raises(entrepot.ConfigurationError, match="trust"):
        client.require_trust()
    with pytest.raises(entrepot.ConfigurationError, match="key"):
        client.require_key()
    with pytest.raises(entrepot.ConfigurationError, match="http"):
        entrepot.Client("ftp://x")


def test_money_reads_as_people_write_it() -> None:
    euro = [str(entrepot.Money(amount_minor=amount, currency="EUR")) for amount in (500, 5, -1234, 0)]
    assert euro == ["5.00 EUR", "0.05 EUR", "-12.34 EUR", "0.00 EUR"]
    assert str(entrepot.Money(amount_minor=500, currency="JPY")) == "500 JPY"
