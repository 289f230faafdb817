"""Where a client finds its exchange, key and trust: arguments, then the environment, then one file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from ._native import Key
from .errors import ConfigurationError
from .keys import load_key
from .trust import Trust

_FIELDS = ("url", "key", "trust", "ca")


@dataclass(frozen=True)
class Settings:
    """What a client runs with."""

    url: str
    key: Key | None
    trust: Trust | None
    ca: str | None


def config_file() -> Path:
    """`$XDG_CONFIG_HOME/entrepot/client.json`: JSON with any of url, key, trust, ca; the last three are paths."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "entrepot" / "client.json"


def settings(url: str | None, key: str | Path | Key | None, trust: str | Path | Trust | None, ca: str | Path | None) -> Settings:
    """Arguments over `ENTREPOT_URL`, `ENTREPOT_KEY`, `ENTREPOT_TRUST`, `ENTREPOT_CA` over the file."""
    stored = {name: os.environ.get(f"ENTREPOT_{name.upper()}") or value for name, value in _file_values().items()}
    address = url or stored["url"]
    if not address:
        raise ConfigurationError("no exchange: pass its address, or set ENTREPOT_URL")
    if not address.startswith(("http://", "https://")):
        raise ConfigurationError(f"{address} is not an http or https address")
    key_source, trust_source = key or stored["key"], trust or stored["trust"]
    return Settings(
        url=address.rstrip("/"),
        key=load_key(key_source) if key_source else None,
        trust=Trust.load(trust_source) if trust_source else None,
        ca=str(ca) if ca else stored["ca"],
    )


def _file_values() -> dict[str, str | None]:
    path = config_file()
    values: dict[str, str | None] = dict.fromkeys(_FIELDS)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return values
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as JSON") from error
    if not isinstance(found, dict) or not all(name in _FIELDS and isinstance(value, str) for name, value in found.items()):
        raise ConfigurationError(f"{path} takes the texts {', '.join(_FIELDS)} and nothing else")
    values.update(found)
    return values
