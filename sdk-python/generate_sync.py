"""Makes the blocking client of the asynchronous one: `entrepot/_sync` of `entrepot/_async`, token by token.

Run it after every change to `_async`. With `--check` it only says whether `_sync` is up to date.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent / "entrepot"
# Shorter words leave lines that would fit together: the formatter keeps off.
HEADER = "# Made by generate_sync.py from {source}; change that and run it again.\n# fmt: off\n"

# In this order: longer words first.
REPLACEMENTS: tuple[tuple[str, str], ...] = (
    (r"\basync_sleep\b", "sleep"),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsync([A-Z]\w*)", r"\1"),
    (r"\baclose\b", "close"),
    (r"\baiter_(lines|bytes)\b", r"iter_\1"),
    (r"__a(enter|exit|iter|next)__", r"__\1__"),
    (r"\bentrepot\._async\b", "entrepot._sync"),
)


def blocking(source: str, name: str) -> str:
    """The blocking twin of a module's text."""
    for pattern, replacement in REPLACEMENTS:
        source = re.sub(pattern, replacement, source)
    if name == "__init__.py":
        source = '"""The blocking client."""\n'
    return HEADER.format(source=f"_async/{name}") + source


def main() -> int:
    """Writes, or with `--check` compares."""
    stale = []
    for path in sorted((PACKAGE / "_async").glob("*.py")):
        target = PACKAGE / "_sync" / path.name
        text = blocking(path.read_text(encoding="utf-8"), path.name)
        if target.exists() and target.read_text(encoding="utf-8") == text:
            continue
        stale.append(target.name)
        if "--check" not in sys.argv:
            target.parent.mkdir(exist_ok=True)
            target.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv:
        sys.stderr.write(f"out of date, run generate_sync.py: {', '.join(stale)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
