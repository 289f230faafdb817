"""Events of a job: read, followed, resumed."""

from __future__ import annotations

import json

import httpx2
import pytest

from entrepot._progress import HAND_OVER_S, JobFollower
from entrepot._sse import EventParser, ServerEvent
from tests.world import SQL, World


def events(text: str) -> list[ServerEvent]:
    """All events of a stream."""
    parser = EventParser()
    return [event for line in text.split("\n") if (event := parser.line(line)) is not None]


def note(kind: str, **fields: object) -> ServerEvent:
    """An event as the exchange sends it."""
    return ServerEvent("note", json.dumps({"kind": kind, **fields}), "1")


def test_events_are_read_as_the_standard_says() -> None:
    found = events(": hello\n\nid: 7\nevent: note\ndata: {\ndata:  }\n\ndata\n\nretry: 5\n\nevent: lost\n\n")
    assert found == [ServerEvent("note", "{\n }", "7"), ServerEvent("message", "", "7")]
    with pytest.raises(ValueError, match="too long"):
        events("data: " + "x" * (1 << 21))


def test_the_bar_goes_forward_within_an_attempt_and_back_for_a_new_one() -> None:
    follower = JobFollower()
    follower.take(note("running", attempt=1))
    seen = []
    for party, step, done in ((0, "intersecting", 2), (1, "intersecting", 1), (2, "connecting", 1), (0, "sharing", 3), (0, "computing", 4)):
        follower.take(note("progress", party=party, step=step, done=done, total=4))
        seen.append(follower.position)
    assert seen == sorted(seen)
    assert seen[-1] < 0.96
    follower.take(note("queued", attempt=2))
    assert follower.position == 0.0
    follower.take(note("delivered"))
    assert (follower.over, follower.position) == (True, 1.0)


@pytest.mark.parametrize(
    "data", ["", "null", "[]", "{", '{"kind": 5}', '{"kind": "progress", "step": "x", "done": 1, "total": 0}', '{"kind": "new"}']
)
def test_odd_events_change_nothing(data: str) -> None:
    follower = JobFollower()
    follower.take(ServerEvent("note", data, "3"))
    assert (follower.position, follower.over, follower.last_event_id) == (0.0, False, "3")


def test_progress_of_a_lying_worker_stays_in_range() -> None:
    follower = JobFollower()
    follower.take(note("progress", step="sealing", done=10**9, total=1))
    assert follower.position <= 0.96


def test_the_time_for_the_hand_over_runs_from_the_release() -> None:
    now = [100.0]
    follower = JobFollower(clock=lambda: now[0])
    assert follower.limit(5000.0) == 5000.0
    follower.take(note("released"))
    now[0] = 150.0
    follower.take(note("released"))
    assert follower.limit(5000.0) == 100.0 + HAND_OVER_S
    assert follower.limit(101.0) == 101.0


def test_a_broken_stream_is_resumed_after_the_last_event() -> None:
    class Breaking(World):
        """Ends its first stream after two events."""

        def handle(self, request: httpx2.Request) -> httpx2.Response:
            response = super().handle(request)
            if request.url.path.endswith("/events") and "last-event-id" not in request.headers:
                cut = b"\n\n".join(response.content.split(b"\n\n")[:2]) + b"\n\nid: 9\ndata: half an ev"
                return httpx2.Response(200, content=cut)
            return response

    world = Breaking()
    job = world.client().products.get("loans-with-credit").quote(SQL).order()
    assert len(job.result()) == 2
    asked = [request.headers.get("last-event-id") for request in world.requests if request.url.path.endswith("/events")]
    assert asked == [None, "2"]
