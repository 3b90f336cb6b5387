"""Streams: Synap's commands `stream.*`, logs of events in rooms, with offsets that have no holes.

A room is a head, which knows the next offset, and an entry for each event. An event is written
where there is none, before or together with the head: whoever finds one at the next offset, whose
writer went away in between, moves the head past it. So no offset is given twice or left out, and
none is seen before the ones below it, on every engine.
"""

import time
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Struct

from mainspring.cells import OWN, Cell, Put
from mainspring.durations import DAY
from mainspring.errors import PayloadTooLarge, VersionConflict
from mainspring.keys import Permission
from mainspring.options import LONGEST_NAME, text
from mainspring.server.backend.service import Service
from mainspring.server.synap.asking import Asked, Command, Table
from mainspring.server.synap.refusals import invalid

ROOMS, EVENTS = f"{OWN}synap/room/", f"{OWN}synap/event/"

KEPT = DAY
"""How long an event is kept, in microseconds."""

MOST_EVENTS, MOST_EVENTS_EVER = 10_000, 100_000
"""How many events a room keeps, unless it was made for another number, and at most."""

SLICE = 100
"""At every hundredth event those go that are too many."""

CONSUMED, MOST_CONSUMED = 100, 1000
MOST_READERS = 10_000
"""Of whom this process remembers that they read."""

PAGE = 1000


class Head(Struct, frozen=True, kw_only=True):
    """A room: the offset of its next event, how many it keeps, and when it was made (seconds).
    `generation` tells it from others that had its name."""

    generation: str
    next: int = 0
    most: int = MOST_EVENTS
    created: int

    @property
    def first(self) -> int:
        """Below it no event is kept."""
        return max(0, self.next - self.most)


class Event(Struct, frozen=True, kw_only=True):
    """An event: `data` is JSON, `timestamp` in seconds."""

    id: str
    event: str
    data: bytes
    timestamp: int
    metadata: dict[str, str] = {}


class Readers(Struct):
    """Who has read from a room, and how many events, as far as this process knows."""

    names: set[str]
    consumed: int = 0


_encode = msgspec.msgpack.encode
_HEAD, _EVENT = msgspec.msgpack.Decoder(Head), msgspec.msgpack.Decoder(Event)


class StreamCommands:
    """What can be asked of rooms."""

    def __init__(self, service: Service) -> None:
        self._app = service.app
        self._readers: dict[str, Readers] = {}

    def commands(self) -> Table:
        """Each command by its name."""
        return {
            "stream.create": Command(Permission.ENQUEUE, self.create),
            "stream.get_or_create": Command(Permission.ENQUEUE, self.get_or_create),
            "stream.publish": Command(Permission.ENQUEUE, self.publish),
            "stream.consume": Command(Permission.READ, self.consume),
            "stream.stats": Command(Permission.READ, self.stats),
            "stream.list": Command(Permission.READ, self.rooms),
            "stream.delete": Command(Permission.ADMIN, self.delete),
        }

    def create(self, asked: Asked) -> dict[str, Any]:
        """Make a room."""
        room = _room(asked)
        if not self._make(asked, room):
            raise invalid(f"Room '{room}' already exists")
        return {"success": True, "room": room}

    def get_or_create(self, asked: Asked) -> dict[str, Any]:
        """Make a room, if there is none."""
        room = _room(asked)
        return {"success": True, "room": room, "created": self._make(asked, room)}

    def publish(self, asked: Asked) -> dict[str, Any]:
        """Write an event; its offset."""
        room, event = _room(asked), asked.text("event")
        data = msgspec.json.encode(asked.value("data"))
        if len(data) > self._app.max_payload:
            most = self._app.max_payload
            raise PayloadTooLarge(f"expected data of at most {most:,} bytes, got {len(data):,}")
        new = Event(
            id=str(uuid4()),
            event=event,
            data=data,
            timestamp=int(time.time()),
            metadata=asked.members("metadata"),
        )
        return {"offset": self._append(asked, room, new), "room": room}

    def consume(self, asked: Asked) -> dict[str, Any]:
        """Events from an offset on, or from the first that is kept."""
        room, reader = _room(asked), asked.text("subscriber_id")
        head, _ = self._head(asked, room)
        begin = asked.count("from_offset") or 0
        limit = asked.count("limit")
        wanted = min(CONSUMED if limit is None else limit, MOST_CONSUMED)
        cells = self._events(head, max(begin, head.first), wanted)
        events = [_shown(room, cell) for cell in cells]
        self._note(head, reader, len(events))
        return {"events": events, "next_offset": events[-1]["offset"] + 1 if events else begin}

    def stats(self, asked: Asked) -> dict[str, Any]:
        """How a room stands. Who reads is known to each process by itself."""
        room = _room(asked)
        head, _ = self._head(asked, room)
        kept = self._events(head, head.first, 1)
        first = _offset(kept[0].key) if kept else head.next
        readers = self._readers.get(head.generation, Readers(set()))
        return {
            "name": room,
            "message_count": head.next - first,
            "min_offset": first,
            "max_offset": max(0, head.next - 1),
            "subscriber_count": len(readers.names),
            "total_published": head.next,
            "total_consumed": readers.consumed,
            "dropped": 0,
            "created_at": head.created,
            "generation": head.generation,
        }

    def rooms(self, asked: Asked) -> dict[str, Any]:
        """All rooms."""
        rooms: list[str] = []
        after = ""
        while page := self._app.store.kv_scan(ROOMS, after=after, limit=PAGE):
            rooms += (cell.key.removeprefix(ROOMS) for cell in page)
            after = page[-1].key
        known = [room for room in rooms if asked.caller.knows(room)]
        return {"rooms": known, "count": len(known)}

    def delete(self, asked: Asked) -> dict[str, Any]:
        """Remove a room with its events."""
        room = _room(asked)
        head, _ = self._head(asked, room)
        self._app.store.kv_delete([ROOMS + room])
        while page := self._app.store.kv_scan(_events_of(head), limit=PAGE):
            self._app.store.kv_delete([cell.key for cell in page])
        self._readers.pop(head.generation, None)
        return {"success": True, "deleted": room}

    # --- what they share --------------------------------------------------------------------

    def _make(self, asked: Asked, room: str) -> bool:
        asked.permit(room)
        most = asked.count("max_events") or MOST_EVENTS
        head = Head(
            generation=uuid4().hex, most=min(most, MOST_EVENTS_EVER), created=int(time.time())
        )
        try:
            self._app.store.kv_set([Put(ROOMS + room, _encode(head), expected=0)])
        except VersionConflict:
            return False
        return True

    def _head(self, asked: Asked, room: str) -> tuple[Head, int]:
        """The head of a room, and its version."""
        [cell] = self._app.store.kv_get([ROOMS + room]) if asked.caller.knows(room) else [None]
        if cell is None:
            raise invalid(f"Room '{room}' not found")
        return _HEAD.decode(cell.value), cell.version

    def _events(self, head: Head, first: int, limit: int) -> list[Cell]:
        """Events from that offset on. Those behind the head are not there yet."""
        if limit == 0 or first >= head.next:
            return []
        after = _place(head, first - 1) if first else ""
        cells = self._app.store.kv_scan(_events_of(head), after=after, limit=limit)
        return [cell for cell in cells if _offset(cell.key) < head.next]

    def _append(self, asked: Asked, room: str, new: Event) -> int:
        store, value = self._app.store, _encode(new)
        while True:
            head, version = self._head(asked, room)
            place, offset = _place(head, head.next), head.next
            moved = Put(ROOMS + room, _encode(_after(head)), expected=version)
            try:
                store.kv_set([Put(place, value, KEPT, expected=0), moved])
            except VersionConflict:
                [there] = store.kv_get([place])
                if there is not None:
                    self._move(moved)
                    if there.value == value:
                        return offset
                continue
            self._trim(head, offset)
            return offset

    def _move(self, moved: Put) -> None:
        """Move the head, unless somebody else has."""
        try:
            self._app.store.kv_set([moved])
        except VersionConflict:
            return

    def _trim(self, head: Head, offset: int) -> None:
        if offset % SLICE == 0 and (last := offset - head.most) > 0:
            first = max(0, last - 2 * SLICE)
            self._app.store.kv_delete([_place(head, each) for each in range(first, last)])

    def _note(self, head: Head, reader: str, count: int) -> None:
        if len(self._readers) >= MOST_READERS:
            self._readers.clear()
        readers = self._readers.setdefault(head.generation, Readers(set()))
        readers.consumed += count
        if len(readers.names) < MOST_READERS:
            readers.names.add(reader)


def _room(asked: Asked) -> str:
    return text(asked.text("room"), "room", LONGEST_NAME)


def _after(head: Head) -> Head:
    return msgspec.structs.replace(head, next=head.next + 1)


def _events_of(head: Head) -> str:
    return f"{EVENTS}{head.generation}/"


def _place(head: Head, offset: int) -> str:
    return f"{_events_of(head)}{offset:016x}"


def _offset(place: str) -> int:
    return int(place.rpartition("/")[2], 16)


def _shown(room: str, cell: Cell) -> dict[str, Any]:
    event = _EVENT.decode(cell.value)
    return {
        "id": event.id,
        "offset": _offset(cell.key),
        "room": room,
        "event": event.event,
        "data": list(event.data),
        "timestamp": event.timestamp,
        "metadata": event.metadata,
    }
