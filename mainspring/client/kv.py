"""Key-value: `client.kv`."""

from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar, overload

from msgspec import UNSET, Raw, Struct, UnsetType

from mainspring import codec
from mainspring.client.call import Answer, Call, body, form, place, raw, seconds
from mainspring.client.verbs import Awaiting, Blocking, verb
from mainspring.durations import Duration, instant
from mainspring.errors import InvalidArguments
from mainspring.kv import LONGEST_KEY, Entry
from mainspring.options import text

T = TypeVar("T")

PAGE = 100
"""Entries that a scan reads at once."""


class Value(Struct, Generic[T], frozen=True):
    """What is under a key: `value` is None and `version` 0 where nothing is `found`. `expires` is
    when it goes, None: it stays."""

    key: str
    found: bool
    value: T | None = None
    version: int = 0
    expires: datetime | None = None


class _Entry(Struct, rename="camel"):
    key: str
    version: int
    value: Raw | UnsetType = UNSET
    base64: str | UnsetType = UNSET
    expires_at: int | None = None

    @property
    def stored(self) -> bytes:
        """The value as a store keeps it."""
        if self.base64 is not UNSET:
            return codec.RAW + b64decode(self.base64)
        return b"null" if self.value is UNSET else bytes(self.value)

    @property
    def expires(self) -> datetime | None:
        """When it goes."""
        return None if self.expires_at is None else instant(self.expires_at * 1000)

    @property
    def plain(self) -> Entry:
        """The entry with a value of no certain type."""
        return Entry(self.key, codec.decode(self.stored), self.version, self.expires)


class _Page(Struct):
    entries: list[_Entry]
    next: str | None = None


class _Kept(Struct):
    version: int


class _Counted(Struct):
    value: int


class _Deleted(Struct):
    deleted: int


class _Versions(Struct):
    versions: dict[str, int]


_entry, _page, _kept = form(_Entry), form(_Page), form(_Kept)
_counted, _deleted, _versions = form(_Counted), form(_Deleted), form(_Versions)


def _got(key: str, kind: Any) -> Call[Value[Any]]:
    shape = codec.Shape(kind, f"key {key!r}")

    def read(answer: Answer) -> Value[Any]:
        entry = _entry(answer)
        value = shape.decode(entry.stored, f"key {key!r}")
        return Value(key, True, value, entry.version, entry.expires)

    return Call("GET", _at(key), read, absent=lambda: Value(key, False))


def _listed(prefix: str, after: str | None, limit: int) -> Call[_Page]:
    query: dict[str, str | int] = {"prefix": prefix, "limit": limit}
    if after is not None:
        query["after"] = after
    return Call("GET", "/kv", _page, query=query)


class Verbs:
    """What can be asked of entries."""

    @verb
    def set(
        self,
        key: str,
        value: Any,
        ttl: Duration | None = None,
        *,
        if_version: int | None = None,
        if_absent: bool = False,
    ) -> Call[int]:
        """Keep a JSON value or bytes, for `ttl` (seconds, timedelta or "5m") or until it is
        deleted; its version.

        With `if_version` only over that version, with `if_absent` only where there is none:
        `VersionConflict`. Such a write whose answer was lost is not sent again: `StoreUnavailable`.
        """
        is_bytes = isinstance(value, bytes | bytearray | memoryview)
        said = body(
            value=None if is_bytes else raw(value, f"key {key!r}"),
            base64=b64encode(value).decode() if is_bytes else None,
            ttl=seconds(ttl, "ttl"),
            version=if_version,
            ifAbsent=if_absent or None,
        )
        return Call(
            "PUT",
            _at(key),
            lambda answer: _kept(answer).version,
            body=said,
            repeatable=if_version is None and not if_absent,
        )

    @verb
    def set_many(
        self, values: Mapping[str, Any], ttl: Duration | None = None
    ) -> Call[dict[str, int]]:
        """Keep up to 100 JSON values, all or none; their versions."""
        given = {key: raw(value, f"key {key!r}") for key, value in values.items()}
        said = body(values=given, ttl=seconds(ttl, "ttl"))
        return Call("POST", "/kv/set", lambda answer: _versions(answer).versions, body=said)

    @verb
    def get_many(self, keys: Iterable[str]) -> Call[dict[str, Any]]:
        """The values under those of up to 100 keys that are there."""

        def read(answer: Answer) -> dict[str, Any]:
            return {each.key: each.plain.value for each in _page(answer).entries}

        return Call("POST", "/kv/get", read, body=body(keys=_keys(keys)))

    @verb
    def delete(self, *keys: str) -> Call[int]:
        """Remove up to 100 entries; how many of them there were."""
        return Call(
            "POST",
            "/kv/delete",
            lambda answer: _deleted(answer).deleted,
            body=body(keys=_keys(keys)),
        )

    @verb
    def increment(self, key: str, by: int = 1, ttl: Duration | None = None) -> Call[int]:
        """Add to an integer, from any number of programs at once; what it is now. A new one begins
        at 0 and is kept for `ttl`. `NotInteger`.

        It is not sent again when its answer was lost: `StoreUnavailable`.
        """
        return Call(
            "POST",
            f"{_at(key)}/increment",
            lambda answer: _counted(answer).value,
            body=body(by=by, ttl=seconds(ttl, "ttl")),
            repeatable=False,
        )

    @verb
    def touch(self, key: str, ttl: Duration | None = None) -> Call[bool]:
        """Have the entry stay for `ttl` from now on, or until it is deleted; False if there is
        none."""
        return Call(
            "POST",
            f"{_at(key)}/touch",
            lambda answer: bool(_entry(answer)),
            body=body(ttl=seconds(ttl, "ttl")),
            absent=lambda: False,
        )


class KeyValue(Verbs, Blocking):
    """Values under keys, as `app.kv` has them."""

    @overload
    def get(self, key: str) -> Value[Any]: ...
    @overload
    def get(self, key: str, type: type[T]) -> Value[T]: ...

    def get(self, key: str, type: Any = Any) -> Value[Any]:
        """The value, and whether there is one. With a `type` it is read as that:
        `InvalidArguments` if it is none."""
        return self.do(_got(key, type))

    def scan(
        self, prefix: str = "", *, after: str | None = None, limit: int | None = None
    ) -> Iterator[Entry]:
        """Entries whose keys begin so, in the order of their keys, at most `limit`; read a hundred
        at a time while one goes on."""
        pages = _Pages(prefix, after, limit)
        while (call := pages.next()) is not None:
            yield from pages.took(self.do(call))


class AsyncKeyValue(Verbs, Awaiting):
    """The async twin of `KeyValue`."""

    @overload
    async def get(self, key: str) -> Value[Any]: ...
    @overload
    async def get(self, key: str, type: type[T]) -> Value[T]: ...

    async def get(self, key: str, type: Any = Any) -> Value[Any]:
        """The async twin of `KeyValue.get`."""
        return await self.do(_got(key, type))

    async def scan(
        self, prefix: str = "", *, after: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Entry]:
        """The async twin of `KeyValue.scan`."""
        pages = _Pages(prefix, after, limit)
        while (call := pages.next()) is not None:
            for entry in pages.took(await self.do(call)):
                yield entry


class _Pages:
    """The pages of a scan: which one is next."""

    def __init__(self, prefix: str, after: str | None, limit: int | None) -> None:
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
            raise InvalidArguments(f"limit: expected a number from 0 or None, got {limit!r}")
        self._prefix = prefix
        self._after = after
        self._left = limit
        self._more = True

    def next(self) -> Call[_Page] | None:
        """The call for it; None after the last."""
        if not self._more or (self._left is not None and self._left <= 0):
            return None
        limit = PAGE if self._left is None else min(PAGE, self._left)
        return _listed(self._prefix, self._after, limit)

    def took(self, page: _Page) -> list[Entry]:
        """The entries of a page that came."""
        self._after, self._more = page.next, page.next is not None
        if self._left is not None:
            self._left -= len(page.entries)
        return [each.plain for each in page.entries]


def _at(key: str) -> str:
    return place("kv", text(key, "key", LONGEST_KEY))


def _keys(keys: Iterable[str]) -> list[str]:
    if isinstance(keys, str):
        raise InvalidArguments(f"keys: expected a list of texts, got {keys!r}")
    return list(keys)
