"""The main job as a consumer runs it, held against an oracle that reads the unsplit data and imports nothing of ours."""

import base64
import csv
import json
import os
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MINIMUM_GROUP = 10


def run_demo(market: dict[str, Any], report: Path) -> subprocess.CompletedProcess[str]:
    """The demo script in a process of its own, so that this test imports nothing of ours."""
    place = Path(market["data_dir"]) / "demo.json"
    command = [
        os.environ["ENTREPOT_PYTHON"],
        str(ROOT / "sdk-python/examples/demo.py"),
        str(place),
        "--report",
        str(report),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


def oracle() -> tuple[dict[str, tuple[int, float, float]], int]:
    """Count, mean rate and mean income by state over customers that both know, of 36-month loans; and how many states are withheld."""
    groups: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with (ROOT / "data/unsplit.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["in_lender"] == "1" and row["in_bureau"] == "1" and row["term"] == "term_36":
                groups[row["addr_state"]].append((float(row["int_rate"]), float(row["annual_inc"])))
    domain = json.loads((ROOT / "data/policies/lender.json").read_text())["columns"]["addr_state"]["domain"]
    shown = {
        state: (
            len(rows),
            sum(rate for rate, _ in rows) / len(rows),
            sum(income for _, income in rows) / len(rows),
        )
        for state, rows in groups.items()
        if len(rows) >= MINIMUM_GROUP
    }
    return shown, len(domain) - len(shown)


def test_the_demo_gives_what_the_oracle_gives(market: dict[str, Any], tmp_path: Path) -> None:
    done = run_demo(market, tmp_path / "report.json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    shown, withheld = oracle()
    rows = {row[0]: row[1:] for row in report["result"]["rows"]}
    assert rows.keys() == shown.keys()
    for state, (count, rate, income) in shown.items():
        assert rows[state][0] == count, state
        assert rows[state][1] == pytest.approx(rate, rel=1e-9), state
        assert rows[state][2] == pytest.approx(income, rel=1e-9), state
    assert report["withheld_groups"] == withheld > 0
    assert report["verified"] is True
    assert sum(line["amount_minor"] for line in report["journal"]) == 0


def test_a_receipt_verifies_by_the_command_line_and_a_changed_one_does_not(market: dict[str, Any], tmp_path: Path) -> None:
    done = run_demo(market, tmp_path / "report.json")
    assert done.returncode == 0, done.stdout + done.stderr
    entries = json.loads((tmp_path / "report.json").read_text())["receipts"]
    job_id = job_of(entries)
    bundle = {"format": "entrepot.receipt.v1", "job_id": job_id, "entries": entries}
    assert verify(bundle, market, tmp_path) == (0, "witnessed")
    bundle["job_id"] = job_id[:-1] + ("0" if job_id[-1] != "0" else "1")
    assert verify(bundle, market, tmp_path) == (4, "invalid")


def job_of(entries: list[dict[str, Any]]) -> str:
    """The job that the hold names."""
    hold = next(entry for entry in entries if entry["name"] == "hold")
    job_id = json.loads(base64.b64decode(hold["envelope"]["payload"]))["job_id"]
    assert isinstance(job_id, str)
    return job_id


def verify(bundle: dict[str, Any], market: dict[str, Any], folder: Path) -> tuple[int, str]:
    """Exit code and status of `entrepot verify`."""
    path = folder / "receipt.json"
    path.write_text(json.dumps(bundle))
    command = [
        os.environ["ENTREPOT_BIN"],
        "--json",
        "verify",
        str(path),
        "--trust",
        market["trust"],
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout)["status"]["state"]
