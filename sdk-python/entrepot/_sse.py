"""Server-sent events (WHATWG HTML, §9.2.6), as much of them as the exchange sends. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

_EVENT_CHARS_MAX = 1 << 20


@dataclass(frozen=True)
class ServerEvent:
    """One event."""

    event: str
    data: str
    last_event_id: str | None


@dataclass
class EventParser:
    """Takes lines, gives events."""

    last_event_id: str | None = None
    _event: str = ""
    _data: list[str] = field(default_factory=list)
    _chars: int = 0

    def line(self, line: str) -> ServerEvent | None:
        """The event that this line completes, if any."""
        if line == "":
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        self._chars += len(value)
        if self._chars > _EVENT_CHARS_MAX:
            raise ValueError("an event is too long")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self.last_event_id = value
        return None

    def _dispatch(self) -> ServerEvent | None:
        event, data = self._event, self._data
        self._event, self._data, self._chars = "", [], 0
        if not data:
            return None
        return ServerEvent(event or "message", "\n".join(data), self.last_event_id)
