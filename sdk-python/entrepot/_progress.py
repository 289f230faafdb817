"""Where a job is, from its events; and a bar that shows it. Progress is a comfort: nothing is believed because an event says so."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

from tqdm import tqdm

from ._sse import ServerEvent

# Where each step of a computation begins, as a share of the whole; it ends where the next begins.
_STEPS: Mapping[str, float] = {"connecting": 0.05, "intersecting": 0.10, "sharing": 0.40, "computing": 0.65, "sealing": 0.92}
_MILESTONES: Mapping[str, float] = {
    "queued": 0.0,
    "dispatched": 0.02,
    "running": 0.05,
    "released": 0.96,
    "delivered": 1.0,
    "undelivered": 1.0,
    "refunded": 1.0,
}
_OVER = frozenset({"delivered", "undelivered", "refunded"})
# The exchange asks workers for the sealed shares at once; half a minute later it asks again.
HAND_OVER_S = 75.0


@dataclass
class JobFollower:
    """Takes a job's events; knows the last one, where the job is and whether it is over."""

    clock: Callable[[], float] = time.monotonic
    last_event_id: str | None = None
    position: float = 0.0
    step: str = "queued"
    over: bool = False
    complaint: str | None = None
    _released_at: float | None = None

    def take(self, event: ServerEvent) -> None:
        """Takes one event, however odd."""
        self.last_event_id = event.last_event_id
        note = _note(event)
        kind = note.get("kind")
        if not isinstance(kind, str):
            return
        if kind == "progress":
            self._progress(note)
        elif kind in ("attempt_failed", "refused"):
            code, detail = note.get("code"), note.get("detail")
            self.complaint = f"party {note.get('party')}: {code}: {detail}"
        if kind in _MILESTONES:
            # A new attempt is queued again, and the bar begins again.
            self.step, self.position = kind, _MILESTONES[kind]
        if kind == "released":
            self.see_released()
        self.over = kind in _OVER

    def see_released(self) -> None:
        """The job is paid: the time for the hand-over runs."""
        if self._released_at is None:
            self._released_at = self.clock()

    def limit(self, deadline: float) -> float:
        """Until when to wait."""
        return deadline if self._released_at is None else min(deadline, self._released_at + HAND_OVER_S)

    def _progress(self, note: Mapping[str, object]) -> None:
        step, done, total = note.get("step"), note.get("done"), note.get("total")
        if not isinstance(step, str) or step not in _STEPS or not isinstance(done, int) or not isinstance(total, int):
            return
        begin = _STEPS[step]
        end = min((begun for begun in _STEPS.values() if begun > begin), default=_MILESTONES["released"])
        position = begin + (end - begin) * min(max(done / total, 0.0), 1.0) if total > 0 else begin
        # Parties report on their own: the bar follows the one that is ahead and never goes back within an attempt.
        if position > self.position:
            self.step, self.position = step, position


def _note(event: ServerEvent) -> Mapping[str, object]:
    try:
        data = json.loads(event.data)
    except ValueError:
        return {}
    if not isinstance(data, dict):
        return {}
    note = data.get("note", data)
    return note if isinstance(note, dict) else {}


class ProgressBar:
    """A tqdm bar from 0 to 100 %. Shown on a terminal or in a notebook, silent elsewhere."""

    def __init__(self, title: str, enabled: bool) -> None:
        shown = enabled and (sys.stderr.isatty() or "ipykernel" in sys.modules)
        form = "{desc} {percentage:3.0f}%|{bar}| {postfix}"
        self._bar = tqdm(total=100.0, desc=title, disable=not shown, bar_format=form, file=sys.stderr)

    def show(self, position: float, step: str) -> None:
        """Moves the bar."""
        self._bar.set_postfix_str(step, refresh=False)
        self._bar.n = position * 100.0
        self._bar.refresh()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()
