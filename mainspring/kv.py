"""Key-value: values under keys, durable, with an end, a version and counters. `app.kv`."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct

from mainspring import codec
from mainspring.cells import BEHIND_OWN, Add, Cell, Put
from mainspring.durations import Duration, instant, microseconds
from mainspring.errors import InvalidArguments, PayloadTooLarge
from mainspring.options import text
from mainspring.store import Store
from mainspring.twins import in_thread

LONGEST_KEY, LARGEST_KEY = 1000, 2000
"""Characters, and bytes of UTF-8: what PostgreSQL can keep in an index."""

PAGE = 100
"""Entries that a scan reads at once."""

MOST = 2**63


class Home(Protocol):
    """What entries need of the app they belong to."""

    @property
    def store(self) -> Store: ...

    max_payload: int


class Entry(Struct, frozen=True):
    """What was under a key when it was read. `version` is larger after every write and never used
    again; `expires` is when it goes, None: it stays."""

    key: str
    value: Any
    version: int
    expires: datetime | None = None


class KeyValue:
    """Values under keys, on the store of an app.

    A key is text of 1 to 1000 printable characters, and of 2000 bytes at most. A value is any JSON
    value (what a task may result in, as plain JSON values when it is read) or bytes, of
    `max_payload` bytes at most. An entry with a time to live is not there any more when that is
    over. `InvalidArguments` for what does not fit. Every method has an async twin with an "a" in
    front.
    """

    def __init__(self, home: Home) -> None:
        self._home = home

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default` if there is none."""
        [cell] = self._home.store.kv_get([key_of(key)])
        return default if cell is None else codec.decode(cell.value)

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """The values under those of these keys that are there."""
        cells = self._home.store.kv_get(_keys(keys))
        return {cell.key: codec.decode(cell.value) for cell in cells if cell is not None}

    def entry(self, key: str) -> Entry | None:
        """The value with its version and its end; None if there is none."""
        [cell] = self._home.store.kv_get([key_of(key)])
        return None if cell is None else _entry(cell)

    def entries(self, keys: Iterable[str]) -> dict[str, Entry]:
        """The same with their versions and ends."""
        cells = self._home.store.kv_get(_keys(keys))
        return {cell.key: _entry(cell) for cell in cells if cell is not None}

    def set(
        self,
        key: str,
        value: Any,
        *,
        ttl: Duration | None = None,
        if_version: int | None = None,
        if_absent: bool = False,
    ) -> int:
        """Keep a value, for `ttl` or until it is deleted; its version.

        With `if_version` only over that version, with `if_absent` only where there is none:
        `VersionConflict`, and nothing is written. `PayloadTooLarge` beyond the app's `max_payload`.
        """
        put = self._put(key, value, _ttl(ttl), _expected(if_version, if_absent))
        [version] = self._home.store.kv_set([put])
        return version

    def set_many(self, values: Mapping[str, Any], *, ttl: Duration | None = None) -> dict[str, int]:
        """Keep all of these values or none; their versions. In a store of shards: all or none in
        each of them."""
        puts = [self._put(key, value, _ttl(ttl)) for key, value in values.items()]
        versions = self._home.store.kv_set(puts) if puts else []
        return dict(zip(values, versions, strict=True))

    def increment(self, key: str, by: int = 1, *, ttl: Duration | None = None) -> int:
        """Add to an integer, from any number of programs at once; what it is now.

        A new one begins at 0 and is kept for `ttl`; one that is there goes when it was to go.
        `NotInteger` if something else is there, or it would not fit into 64 bits (signed).
        """
        if isinstance(by, bool) or not isinstance(by, int) or not -MOST <= by < MOST:
            raise InvalidArguments(f"by: expected an integer of 64 bits, got {by!r}")
        [total] = self._home.store.kv_add([Add(key_of(key), by, _ttl(ttl))])
        return total

    def touch(self, key: str, ttl: Duration | None = None) -> bool:
        """Have the entry stay for `ttl` from now on, or until it is deleted, with its value and
        version; False if there is none."""
        [was_there] = self._home.store.kv_touch([key_of(key)], _ttl(ttl))
        return was_there

    def delete(self, *keys: str) -> int:
        """Remove entries; how many of them there were."""
        return self._home.store.kv_delete(_keys(keys)) if keys else 0

    def scan(
        self, prefix: str = "", *, after: str | None = None, limit: int | None = None
    ) -> Iterator[Entry]:
        """Entries whose keys begin so, in the order of their keys (by code points), at most
        `limit`. The next page comes `after` the last key of this one.

        They are read a hundred at a time while one goes on: what is written meanwhile may be seen
        or not.
        """
        pages = _Pages(self._home, prefix, after, limit)
        return (entry for page in iter(pages.next, []) for entry in page)

    def ascan(
        self, prefix: str = "", *, after: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Entry]:
        """The async twin of `scan`."""
        return _each(_Pages(self._home, prefix, after, limit))

    def _put(self, key: str, value: Any, ttl: int | None, expected: int | None = None) -> Put:
        data = codec.encode(value, f"key {key_of(key)!r}")
        if len(data) > self._home.max_payload:
            raise PayloadTooLarge(
                f"key {key!r}: expected a value of at most {self._home.max_payload:,} bytes,"
                f" got {len(data):,}"
            )
        return Put(key, data, ttl, expected)

    aget = in_thread(get)
    aget_many = in_thread(get_many)
    aentry = in_thread(entry)
    aentries = in_thread(entries)
    aset = in_thread(set)
    aset_many = in_thread(set_many)
    aincrement = in_thread(increment)
    atouch = in_thread(touch)
    adelete = in_thread(delete)


class _Pages:
    """The pages of a scan, one after the other, the last one empty."""

    def __init__(self, home: Home, prefix: str, after: str | None, limit: int | None) -> None:
        self._home = home
        self._prefix = prefix and key_of(prefix, "prefix")
        self._after = BEHIND_OWN if after is None else key_of(after, "after")
        if isinstance(limit, bool) or (limit is not None and not isinstance(limit, int)):
            raise InvalidArguments(f"limit: expected a number from 0 or None, got {limit!r}")
        if limit is not None and limit < 0:
            raise InvalidArguments(f"limit: expected a number from 0 or None, got {limit!r}")
        self._left = limit

    def next(self) -> list[Entry]:
        """The next page."""
        asked = PAGE if self._left is None else min(PAGE, self._left)
        if asked == 0:
            return []
        cells = self._home.store.kv_scan(self._prefix, after=self._after, limit=asked)
        if len(cells) < asked:
            self._left = 0
        else:
            self._after = cells[-1].key
            self._left = None if self._left is None else self._left - asked
        return [_entry(cell) for cell in cells]

    anext = in_thread(next)


async def _each(pages: _Pages) -> AsyncIterator[Entry]:
    while page := await pages.anext():
        for entry in page:
            yield entry


def _entry(cell: Cell) -> Entry:
    expires = None if cell.expires is None else instant(cell.expires)
    return Entry(cell.key, codec.decode(cell.value), cell.version, expires)


def key_of(key: object, what: str = "key") -> str:
    """The key, if an entry can be kept under it; `InvalidArguments`."""
    found = text(key, what, LONGEST_KEY)
    if (size := len(found.encode())) > LARGEST_KEY:
        raise InvalidArguments(f"{what}: expected at most {LARGEST_KEY} bytes of UTF-8, got {size}")
    return found


def _keys(keys: Iterable[str]) -> list[str]:
    if isinstance(keys, str):
        raise InvalidArguments(f"keys: expected a list of texts, got {keys!r}")
    return list(dict.fromkeys(key_of(key) for key in keys))


def _ttl(ttl: Duration | None) -> int | None:
    if ttl is None:
        return None
    if (span := microseconds(ttl, "ttl")) == 0:
        raise InvalidArguments(f"ttl: expected more than 0 seconds, got {ttl!r}")
    return span


def _expected(version: int | None, absent: bool) -> int | None:
    if version is None:
        return 0 if absent else None
    if absent:
        raise InvalidArguments("expected if_version or if_absent, got both")
    if isinstance(version, bool) or not isinstance(version, int) or not 0 < version < MOST:
        raise InvalidArguments(f"if_version: expected a version, from 1, got {version!r}")
    return version
