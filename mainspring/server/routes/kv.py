"""The routes of key-value: `/kv`.

A duration is a number of seconds, or text such as "5m".
"""

import heapq
import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Annotated, Any, TypeAlias
from urllib.parse import unquote_to_bytes

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, json
from msgspec.json import Decoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mainspring.durations import moment
from mainspring.errors import InvalidArguments, VersionConflict
from mainspring.keys import Permission
from mainspring.kv import Entry
from mainspring.server.backend.service import Service
from mainspring.server.entry.paths import enqueue, path, read
from mainspring.server.forms import asked
from mainspring.server.forms.answers import MILLISECOND, Shown, answer
from mainspring.server.forms.problems import Problem, problem_of
from mainspring.server.forms.wishes import Seconds
from mainspring.server.permissions.callers import Caller, caller_of
from mainspring.server.permissions.narrow import permit

LARGEST_PAGE = 8_000_000
"""Bytes of values after which a page ends."""

MOST_KEYS = 100

Version: TypeAlias = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Keys: TypeAlias = Annotated[tuple[str, ...], Meta(max_length=MOST_KEYS)]


class Value(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What is to be kept, a JSON value or bytes, for how long, and over which version."""

    value: Any = UNSET
    base64: str | UnsetType = UNSET
    ttl: Seconds | None = None
    version: Version | None = None
    if_absent: bool = False


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """What to add to an integer, and how long it is kept if it is a new one."""

    by: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] = 1
    ttl: Seconds | None = None


class Stay(Struct, frozen=True, forbid_unknown_fields=True):
    """For how long, from now on; without an end if it does not say."""

    ttl: Seconds | None = None


class Named(Struct, frozen=True, forbid_unknown_fields=True):
    """Some keys."""

    keys: Keys


class Values(Struct, frozen=True, forbid_unknown_fields=True):
    """JSON values by their keys, and how long they are kept."""

    values: Annotated[dict[str, Any], Meta(max_length=MOST_KEYS)]
    ttl: Seconds | None = None


class Page(Struct, frozen=True, forbid_unknown_fields=True):
    """Which entries: those whose keys begin so, behind that key."""

    prefix: str = ""
    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class EntryShown(Shown, frozen=True, kw_only=True):
    """An entry: its `value`, or `base64` where bytes are kept."""

    key: str
    value: Raw | UnsetType = UNSET
    base64: str | UnsetType = UNSET
    version: int
    expires_at: int | None


class Found(EntryShown, frozen=True, kw_only=True):
    """The entry that was asked for."""

    success: bool = True
    found: bool = True


class Kept(Shown, frozen=True, kw_only=True):
    """What was written has this version."""

    success: bool = True
    key: str
    version: int


class Counted(Shown, frozen=True, kw_only=True):
    """What the integer is now."""

    success: bool = True
    key: str
    value: int


class Deleted(Shown, frozen=True, kw_only=True):
    """How many entries there were."""

    success: bool = True
    deleted: int


class Listed(Shown, frozen=True, kw_only=True):
    """Entries in the order of their keys; `next` is `after` of the next page, if there is one."""

    success: bool = True
    entries: list[EntryShown]
    next: str | None = None


class Versions(Shown, frozen=True, kw_only=True):
    """What was written, by key."""

    success: bool = True
    versions: dict[str, int]


VALUE, STEP, STAY = Decoder(Value), Decoder(Step), Decoder(Stay)
NAMED, VALUES = Decoder(Named), Decoder(Values)
PAGE = asked.Query(Page)


class KeyValueRoutes:
    """What can be asked of entries."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._kv = service.app.kv

    def routes(self) -> list[Route]:
        """Each path and method."""
        one = "/kv/{key:path}"
        return [
            path("/kv", GET=read(self.scan, query=Page, answers={200: Listed})),
            path("/kv/get", POST=read(self.get_many, body=Named, answers={200: Listed})),
            path("/kv/set", POST=enqueue(self.set_many, body=Values, answers={200: Versions})),
            path("/kv/delete", POST=enqueue(self.drop_many, body=Named, answers={200: Deleted})),
            path(
                f"{one}/increment", POST=enqueue(self.add, body=Step | None, answers={200: Counted})
            ),
            path(f"{one}/touch", POST=enqueue(self.touch, body=Stay | None, answers={200: Found})),
            path(
                one,
                GET=read(self.get, answers={200: Found}),
                PUT=enqueue(self.set, body=Value, answers={200: Kept}),
                DELETE=enqueue(self.drop, answers={200: Deleted}),
            ),
        ]

    async def get(self, request: Request) -> Response:
        """The value under a key."""
        return self._found(await self._service.ask(self._kv.entry, _known_key(request)))

    async def set(self, request: Request) -> Response:
        """Keep a value, over a certain version or over none if `version`, `ifAbsent`, If-Match or
        If-None-Match says so."""
        key = _permitted_key(request)
        said = await asked.body(request, VALUE)
        version, absent = _condition(request)
        if (version or absent) and (said.version or said.if_absent):
            raise InvalidArguments("expected a condition in the headers or the body, got both")
        value = asked.value_of(said.value, said.base64, "value")
        try:
            written = await self._service.ask(
                self._kv.set,
                key,
                value,
                ttl=said.ttl,
                if_version=version or said.version,
                if_absent=absent or said.if_absent,
            )
        except VersionConflict as conflict:
            problem = problem_of(conflict)
            if version or absent:
                problem.status = 412
            raise problem from None
        return answer(Kept(key=key, version=written), headers={"ETag": f'"{written}"'})

    async def drop(self, request: Request) -> Response:
        """Remove an entry; that there is none is no error."""
        _refuse_conditions(request)
        key = _key(request)
        known = [key] if caller_of(request).knows(key) else []
        return answer(Deleted(deleted=await self._service.ask(self._kv.delete, *known)))

    async def add(self, request: Request) -> Response:
        """Add to an integer; a new one begins at 0."""
        key = _permitted_key(request)
        said = await asked.body_or(request, STEP, Step())
        total = await self._service.ask(self._kv.increment, key, said.by, ttl=said.ttl)
        return answer(Counted(key=key, value=total))

    async def touch(self, request: Request) -> Response:
        """Move the end of an entry. Who may not read is not told its value."""
        key = _known_key(request)
        said = await asked.body_or(request, STAY, Stay())

        def touched() -> Entry | None:
            return self._kv.entry(key) if self._kv.touch(key, said.ttl) else None

        entry = await self._service.ask(touched)
        if entry is not None and not caller_of(request).may(Permission.READ):
            return answer(Found(key=key, version=entry.version, expires_at=_end(entry)))
        return self._found(entry)

    async def scan(self, request: Request) -> Response:
        """A page of entries, in the order of their keys."""
        page = PAGE.read(request)
        return answer(await self._service.ask(self._listed, page, caller_of(request)))

    async def get_many(self, request: Request) -> Response:
        """Those of these entries that are there."""
        caller, said = caller_of(request), await asked.body(request, NAMED)
        known = [key for key in dict.fromkeys(said.keys) if caller.knows(key)]

        found = await self._service.ask(self._kv.entries, known)
        return answer(Listed(entries=[EntryShown(**_shown(each)) for each in found.values()]))

    async def set_many(self, request: Request) -> Response:
        """Keep all of these values, or none."""
        said = await asked.body(request, VALUES)
        for key in said.values:
            permit(caller_of(request), key, "an entry")
        written = await self._service.ask(self._kv.set_many, said.values, ttl=said.ttl)
        return answer(Versions(versions=written))

    async def drop_many(self, request: Request) -> Response:
        """Remove entries."""
        caller, said = caller_of(request), await asked.body(request, NAMED)
        known = [key for key in said.keys if caller.knows(key)]
        return answer(Deleted(deleted=await self._service.ask(self._kv.delete, *known)))

    def _found(self, entry: Entry | None) -> Response:
        if entry is None:
            raise _nothing()
        return answer(Found(**_shown(entry)), headers={"ETag": f'"{entry.version}"'})

    def _listed(self, page: Page, caller: Caller) -> Listed:
        shown: list[EntryShown] = []
        size = 0
        for entry in self._known(page, caller):
            if len(shown) == page.limit or size > LARGEST_PAGE:
                return Listed(entries=shown, next=shown[-1].key)
            shown.append(EntryShown(**_shown(entry)))
            size += _size(shown[-1])
        return Listed(entries=shown)

    def _known(self, page: Page, caller: Caller) -> Iterator[Entry]:
        """Entries that the caller may know of. Only where some can be is looked, so that what
        others keep costs it nothing."""
        begun = {_narrower(page.prefix, _plain(pattern)) for pattern in caller.only or ("*",)}
        places = sorted(prefix for prefix in begun if prefix is not None)
        apart = [p for p in places if not any(p != q and p.startswith(q) for q in places)]
        scans = [self._kv.scan(prefix, after=page.after) for prefix in apart]
        found = heapq.merge(*scans, key=lambda entry: entry.key)
        return (entry for entry in found if caller.knows(entry.key))


def _plain(pattern: str) -> str:
    """What all names begin with that a pattern fits."""
    return re.split(r"[*?[]", pattern, maxsplit=1)[0]


def _narrower(one: str, other: str) -> str | None:
    """The prefix that both mean, if there is one."""
    if one.startswith(other):
        return one
    return other if other.startswith(one) else None


def _key(request: Request) -> str:
    """The key in the path."""
    raw: bytes | None = request.scope.get("raw_path")
    try:
        unquote_to_bytes(raw or b"").decode()
    except UnicodeDecodeError:
        raise Problem(400, "bad-request", "expected a key in UTF-8, percent-encoded") from None
    if "\n" in request.scope["path"]:  # which routing would leave out at the end
        raise InvalidArguments("key: expected printable text, got a line feed in it")
    key: str = request.path_params["key"]
    return key


def _known_key(request: Request) -> str:
    """The key of an entry that may be there for the caller."""
    key = _key(request)
    if not caller_of(request).knows(key):
        raise _nothing()
    return key


def _permitted_key(request: Request) -> str:
    """The key of an entry that the caller may make."""
    key = _key(request)
    permit(caller_of(request), key, "an entry")
    return key


def _nothing() -> Problem:
    return Problem(404, "unknown-key", "nothing is kept under this key", found=False)


def _condition(request: Request) -> tuple[int | None, bool]:
    """The version that must be there, and whether there must be none, as headers say it."""
    match = asked.header(request, b"if-match")
    none = asked.header(request, b"if-none-match")
    if none and (match or none != "*"):
        raise InvalidArguments(f"If-None-Match: expected *, alone, got {none!r}")
    if not match:
        return None, bool(none)
    version = match.removeprefix('"').removesuffix('"')
    if not version.isdecimal() or not 0 < int(version[:20]) < 2**63:
        raise InvalidArguments(f"If-Match: expected one version, as in an ETag, got {match!r}")
    return int(version), False


def _refuse_conditions(request: Request) -> None:
    for name in (b"if-match", b"if-none-match"):
        if asked.header(request, name):
            raise InvalidArguments(f"{name.decode()}: an entry is removed whatever its version")


def _shown(entry: Entry) -> dict[str, Any]:
    shown = {
        "key": entry.key,
        "version": entry.version,
        "expires_at": _end(entry),
    }
    if isinstance(entry.value, bytes):
        return {**shown, "base64": b64encode(entry.value).decode()}
    return {**shown, "value": Raw(json.encode(entry.value))}


def _end(entry: Entry) -> int | None:
    return None if entry.expires is None else moment(entry.expires) // MILLISECOND


def _size(entry: EntryShown) -> int:
    """Bytes of its value."""
    if isinstance(entry.value, Raw):
        return len(memoryview(entry.value))
    return len(entry.base64 or "")
