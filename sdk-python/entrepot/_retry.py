"""When a request is sent again, and after how long. Pure: the callers sleep."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

# Waiting longer than this for one answer is the caller's decision, not ours.
PAUSE_MAX_S = 30.0
_PAUSE_FIRST_S = 0.25
_random = random.SystemRandom()


@dataclass(frozen=True)
class RetryPolicy:
    """How often, and how long the pauses are."""

    retries_max: int = 2
    pause_first_s: float = field(default=_PAUSE_FIRST_S)

    def is_retryable(self, status: int, code: str | None) -> bool:
        """Whether the same request may have another outcome. A conflict only if it is with its own twin, still under way."""
        return status in (408, 429) or status >= 500 or (status == 409 and code == "idempotency_in_flight")

    def pause_s(self, attempt: int, retry_after: str | None = None) -> float:
        """Seconds before attempt number `attempt` + 1: what the exchange asks for, else exponential with jitter."""
        asked = _seconds(retry_after)
        if asked is not None:
            return min(asked, PAUSE_MAX_S)
        return min(self.pause_first_s * 2.0**attempt, PAUSE_MAX_S) * (0.5 + _random.random() / 2)


def _seconds(retry_after: str | None) -> float | None:
    # The exchange always sends seconds; a date from a proxy in between falls back to our own pause.
    if retry_after is None or not retry_after.isascii() or not retry_after.isdigit():
        return None
    return float(int(retry_after[:6]))
