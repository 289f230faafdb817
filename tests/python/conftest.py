"""A real market to test against: the binary that users run, each party a process of its own."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 60.0


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A market of one exchange and three workers, each a process of its own."""
    home = tmp_path_factory.mktemp("market") / "home"
    command = [
        os.environ["ENTREPOT_BIN"],
        "dev",
        "--data-dir",
        str(home),
        "--samples",
        str(ROOT / "data"),
    ]
    command += ["--rest-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + START_TIMEOUT_S
        ready = home / "demo.json"
        while not ready.exists():
            assert process.poll() is None, "the market did not start"
            assert time.monotonic() < deadline, "the market did not become ready"
            time.sleep(0.1)
        yield json.loads(ready.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0, "the market did not stop in order"
