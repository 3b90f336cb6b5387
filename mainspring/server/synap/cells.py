"""Cells: how Synap's key-value commands read and write the entries of a store."""

import time
from collections.abc import Callable, Iterator
from itertools import islice

from msgspec.structs import replace

from mainspring.cells import BEHIND_OWN, Cell, Put
from mainspring.durations import LATEST, SECOND
from mainspring.errors import PayloadTooLarge, VersionConflict
from mainspring.kv import key_of
from mainspring.server.backend.service import Service
from mainspring.server.permissions.callers import Caller
from mainspring.server.synap.asking import is_whole
from mainspring.server.synap.refusals import invalid
from mainspring.server.synap.values import kept
from mainspring.store import Store

PAGE = 1000

EXPIRIES = {
    "seconds": (SECOND, False),
    "milliseconds": (1000, False),
    "unix_seconds": (SECOND, True),
    "unix_milliseconds": (1000, True),
}
"""Microseconds of each unit, and whether it counts since 1970."""


class Entries:
    """The entries that programs keep, as Synap's commands see them."""

    def __init__(self, service: Service) -> None:
        self._app = service.app

    @property
    def store(self) -> Store:
        """Where they are."""
        return self._app.store

    @property
    def largest(self) -> int:
        """Bytes that a value may have."""
        return self._app.max_payload

    def get(self, key: str, caller: Caller) -> Cell | None:
        """The entry under a key; none for who may not know it."""
        return self.many([key], caller)[0]

    def many(self, keys: list[str], caller: Caller) -> list[Cell | None]:
        """The entries under these keys, in their order; none where the caller may not know it."""
        known = [key_of(key) for key in dict.fromkeys(keys) if caller.knows(key)]
        cells = dict(zip(known, self.store.kv_get(known), strict=True)) if known else {}
        return [cells.get(key) for key in keys]

    def each(self, prefix: str, caller: Caller) -> Iterator[Cell]:
        """Every entry whose key begins so and that the caller may know, in the order of keys."""
        if prefix and not prefix.isprintable():
            return
        after = BEHIND_OWN
        while page := self.store.kv_scan(prefix, after=after, limit=PAGE):
            yield from (cell for cell in page if caller.knows(cell.key))
            after = page[-1].key

    def put(self, key: str, data: bytes, ttl: int | None = None) -> Put:
        """What keeps these bytes, so many microseconds long. `PayloadTooLarge`."""
        value = kept(data)
        if len(value) > self.largest:
            raise PayloadTooLarge(
                f"expected a value of at most {self.largest:,} bytes, got {len(value):,}"
            )
        return Put(key_of(key), value, ttl)

    def change(self, key: str, change: Callable[[Cell | None], Put | None]) -> Cell | None:
        """Write what `change` makes of the entry, if anything, with nobody in between; the entry it
        was made of."""
        while True:
            [cell] = self.store.kv_get([key_of(key)])
            put = change(cell)
            if put is None:
                return cell
            try:
                self.store.kv_set([replace(put, expected=cell.version if cell else 0)])
            except VersionConflict:
                continue
            return cell

    def delete_all(self, caller: Caller) -> int:
        """Remove every entry that the caller may know; how many there were."""
        found, deleted = self.each("", caller), 0
        while keys := [cell.key for cell in islice(found, PAGE)]:
            deleted += self.store.kv_delete(keys)
        return deleted


def left(cell: Cell | None) -> int | None:
    """For how long the entry is still kept, in microseconds; None: until it is deleted."""
    if cell is None or cell.expires is None:
        return None
    return max(0, cell.expires - time.time_ns() // 1000)


def seconds(count: int | None) -> int | None:
    """Microseconds of so many seconds, as far ahead as a store can keep something."""
    return None if count is None else min(count * SECOND, LATEST)


def span_of(expiry: object) -> int:
    """For how long to keep something, in microseconds, as `{"type": ..., "value": ...}` says it."""
    if isinstance(expiry, dict) and is_whole(value := expiry.get("value")) and value >= 0:
        unit, counts_from_1970 = EXPIRIES.get(str(expiry.get("type")), (0, False))
        if unit:
            since = time.time_ns() // 1000 if counts_from_1970 else 0
            return max(0, min(value * unit, LATEST) - since)
    raise invalid(f"'expiry' must have a 'value' and a 'type' of {', '.join(EXPIRIES)}")
