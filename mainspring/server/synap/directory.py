"""Directory: which queues there are for Synap, and what it says of them beyond their settings."""

import time

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mainspring.app import Mainspring
from mainspring.cells import OWN, Put
from mainspring.options import text

QUEUES = f"{OWN}synap/queue/"
PAGE = 1000

USUAL = 5
"""The priority of messages that bring none."""

FRESH = 1.0
"""Seconds for which this process believes that a queue is there."""

MOST_KNOWN = 10_000


class Kept(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a queue beside its settings: the priority of messages that bring none, and
    how many a consumer may hold, 0 being any number. One that was deleted is not there, unless jobs
    have come to it since."""

    priority: int = USUAL
    prefetch: int = 0
    deleted: bool = False


_KEPT = msgspec.json.Decoder(Kept)


class Directory:
    """All queues of a store. Its verbs block."""

    def __init__(self, app: Mainspring) -> None:
        self._app = app
        self._known: dict[str, tuple[Kept, float]] = {}

    def find(self, name: str) -> Kept | None:
        """What is kept of a queue; None if there is none."""
        found, until = self._known.get(name, (None, 0.0))
        if time.monotonic() < until:
            return found
        [cell] = self._app.store.kv_get([QUEUES + text(name, "queue")])
        if cell is None and all(info.name != name for info in self._app.store.queues()):
            return None
        entry = Kept() if cell is None else _KEPT.decode(cell.value)
        if entry.deleted and not self._is_used(name):
            return None
        entry = replace(entry, deleted=False)
        self._know(name, entry)
        return entry

    def keep(self, name: str, entry: Kept) -> None:
        """Have this kept of a queue."""
        self._app.store.kv_set([Put(QUEUES + name, msgspec.json.encode(entry))])
        if entry.deleted:
            self._known.pop(name, None)
        else:
            self._know(name, entry)

    def names(self) -> list[str]:
        """All queues there are."""
        deleted = self._deleted()
        names = [info.name for info in self._app.store.queues()]
        return [name for name in names if name not in deleted or self._is_used(name)]

    def _is_used(self, name: str) -> bool:
        return self._app.store.traffic(name).depth > 0

    def _deleted(self) -> set[str]:
        deleted: set[str] = set()
        after = ""
        while page := self._app.store.kv_scan(QUEUES, after=after, limit=PAGE):
            deleted.update(
                cell.key.removeprefix(QUEUES) for cell in page if _KEPT.decode(cell.value).deleted
            )
            after = page[-1].key
        return deleted

    def _know(self, name: str, entry: Kept) -> None:
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[name] = entry, time.monotonic() + FRESH
