"""Events: Server-Sent Events, from the bytes of a stream. Does no I/O."""

from collections.abc import Iterator
from typing import NamedTuple


class Event(NamedTuple):
    """One event."""

    kind: str
    data: str


class Events:
    """Takes a stream apart. `last_id` is where another one may go on, behind the event that was
    taken last."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self._rest = b""
        self._id = last_id
        self._kind = ""
        self._data: list[str] = []

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that are whole with these bytes, each once it is asked for."""
        # Our servers end lines by a line feed alone; a proxy leaves them as they are.
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            event = self._line(line.removesuffix(b"\r").decode(errors="replace"))
            if event is not None:
                yield event

    def _line(self, line: str) -> Event | None:
        """What a line completes: an empty one ends an event."""
        if not line:
            event = Event(self._kind or "message", "\n".join(self._data)) if self._data else None
            self._kind, self._data = "", []
            self.last_id = self._id
            return event
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._kind = value
            case "data":
                self._data.append(value)
            case "id":
                self._id = value
        return None
