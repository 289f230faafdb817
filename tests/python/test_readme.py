"""What README.md shows is run as it stands there: nothing is copied into this file."""

import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINES_MAX = 10
SERVE = "entrepot serve --data-dir exchange"
# The last step stops the exchange and three workers.
ENDED_WELL = """
for each in $running; do wait "$each" || { echo "process $each ended with $?" >&2; exit 1; }; done
[ "$(wc -w <<<"$running")" = 4 ]
"""
EXAMPLE_TIMEOUT_S = 120
JOURNEY_TIMEOUT_S = 300


def section(title: str) -> str:
    """The text between a heading of README.md and the next of its level."""
    text = (ROOT / "README.md").read_text()
    found = re.search(rf"^## {re.escape(title)}$(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert found, f"README.md has no section {title}"
    return found[1]


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and text of each code block."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_ten_lines_of_python_run_as_written(market: dict[str, Any], tmp_path: Path) -> None:
    [(language, example)] = blocks(section("Ten lines of Python"))
    assert language == "python"
    assert len([line for line in example.splitlines() if line.strip()]) <= LINES_MAX
    # Where `./dev demo` puts its market, in a temporary folder of its own.
    (tmp_path / "entrepot-demo.test").mkdir()
    (tmp_path / "entrepot-demo.test" / "market").symlink_to(market["data_dir"])
    done = subprocess.run(
        [os.environ["ENTREPOT_PYTHON"], "-c", example],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=EXAMPLE_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "What each party learns:" in done.stdout
    assert "avg_annual_inc" in done.stdout
    assert "witnessed by" in done.stdout


def journey() -> str:
    """The journey by hand as one script: its commands, and its Python saved as the text says. Free ports instead of the defaults are the
    one change."""
    parts = []
    for language, text in blocks(section("The same journey by hand")):
        assert language in ("sh", "python"), language
        parts.append(text if language == "sh" else f"cat > market.py <<'END OF FILE'\n{text}END OF FILE\n")
    script = "\n".join([*parts[:-1], "running=$(jobs -p)", parts[-1], ENDED_WELL])
    assert script.count(SERVE) == 1
    return script.replace(SERVE, f"{SERVE} --rest-listen 127.0.0.1:0 --grpc-listen 127.0.0.1:0")


@pytest.mark.skipif(shutil.which("curl") is None, reason="the journey by hand needs curl")
def test_the_journey_by_hand_runs_as_written(tmp_path: Path) -> None:
    clone, cache = tmp_path / "clone", tmp_path / "cache" / "entrepot"
    (cache / "target" / "debug").mkdir(parents=True)
    clone.mkdir()
    (clone / "data").symlink_to(ROOT / "data")
    (cache / "target" / "debug" / "entrepot").symlink_to(os.environ["ENTREPOT_BIN"])
    (cache / "venv-test").symlink_to(Path(os.environ["ENTREPOT_PYTHON"]).parents[1])
    surroundings = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}
    surroundings["XDG_CACHE_HOME"] = str(cache.parent)
    said = tmp_path / "said"
    with (
        said.open("w") as out,
        subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", journey()], cwd=clone, env=surroundings, stdout=out, stderr=out, start_new_session=True
        ) as process,
    ):
        try:
            code = process.wait(JOURNEY_TIMEOUT_S)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    text = said.read_text()
    assert code == 0, text + "".join(f"\n{log.name}:\n{log.read_text()}" for log in sorted((clone / "market").glob("*.log")))
    assert text.count("witnessed by") == 2, text
    assert "What each party learns:" in text
