"""Key files: made, written where only their owner can read them, and read."""

from __future__ import annotations

import os
from pathlib import Path

from . import _native
from ._native import Key
from .errors import ConfigurationError

__all__ = ["Key", "generate_key_file", "load_key"]


def generate_key_file(path: str | Path) -> Key:
    """Makes new keys and writes them to `path`, which must not exist, readable by its owner alone. They never leave this machine."""
    text = _native.keygen()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigurationError(f"{path} exists; keys are never overwritten") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return Key.parse(text)


def load_key(source: str | Path | Key) -> Key:
    """The key in a file, which nobody but its owner may be able to read."""
    if isinstance(source, Key):
        return source
    try:
        if os.name == "posix" and Path(source).stat().st_mode & 0o077:
            raise ConfigurationError(f"the key file {source} can be read by others: run `chmod 600 {source}`")
        text = Path(source).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"the key file {source} cannot be read: {error.strerror}") from error
    try:
        return Key.parse(text)
    except _native.NativeError as error:
        raise ConfigurationError(f"{source}: {error.args[1]}") from error
