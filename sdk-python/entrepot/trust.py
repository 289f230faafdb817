"""Whom a client trusts: a file that comes from people, never from the exchange."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .errors import ConfigurationError

FORMAT = "entrepot.trust.v1"


@dataclass(frozen=True)
class Trust:
    """The exchange, the participants and the keys of the log. `text` is the whole file, which offline verification takes."""

    exchange: str
    participants: frozenset[str]
    text: str

    @classmethod
    def load(cls, source: str | Path | Trust) -> Trust:
        """Reads a trust file by its path."""
        if isinstance(source, Trust):
            return source
        path = Path(source)
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"the trust file {path} cannot be read: {error.strerror}") from error
        return cls.parse(text)

    @classmethod
    def parse(cls, text: str) -> Trust:
        """Reads the text of a trust file."""
        try:
            value = json.loads(text)
        except ValueError as error:
            raise ConfigurationError("the trust file is not JSON") from error
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise ConfigurationError(f"the trust file is not of the format {FORMAT}")
        exchange, participants = value.get("exchange"), value.get("participants")
        if not isinstance(exchange, str) or not isinstance(participants, list) or not all(isinstance(p, str) for p in participants):
            raise ConfigurationError("the trust file does not name an exchange and its participants")
        return cls(exchange=exchange, participants=frozenset(participants), text=text)
