"""The routes of the store's own verbs, `/store`: what `http://` as an engine talks to.

Arguments and answers are msgpack, as `mainspring.verbs` makes them of the contract; errors are
problem documents as everywhere else.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from functools import reduce
from operator import attrgetter, or_
from typing import Any, Literal

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from mainspring import __version__
from mainspring.codec import misfit
from mainspring.errors import InvalidArguments, PartlyUnavailable
from mainspring.job import NewJob
from mainspring.keys import Permission
from mainspring.server.backend.service import Service
from mainspring.server.entry.paths import Endpoint, Operation, holder, path
from mainspring.server.entry.recorder import changed
from mainspring.server.forms import admitted, asked
from mainspring.server.forms.answers import answer
from mainspring.server.forms.pages import page, weight
from mainspring.server.forms.problems import Problem
from mainspring.server.permissions.callers import caller_of
from mainspring.server.permissions.narrow import hiding_holders
from mainspring.server.permissions.seen import Seen, seen_by
from mainspring.store import News
from mainspring.verbs import (
    CUT,
    LARGEST_CALL,
    MEDIA_TYPE,
    MOST_LISTED,
    PROTOCOL,
    SIGNS,
    STILL,
    VERBS,
    Greeting,
    Partly,
    Verb,
    encode,
)

SILENCE = 5.0
"""Seconds after which a line without hints shows that it stands."""

PERMISSIONS = {
    **dict.fromkeys(("exchange", "heartbeat", "reclaim", "held", "upkeep"), Permission.WORK),
    **dict.fromkeys(("insert", "kv_set", "kv_add", "kv_touch", "kv_delete"), Permission.ENQUEUE),
    "post": Permission.ENQUEUE,
    **dict.fromkeys(("get", "find", "counts", "queues", "position", "history"), Permission.READ),
    **dict.fromkeys(("logs", "workers", "statistics", "traffic", "health"), Permission.READ),
    **dict.fromkeys(("kv_get", "kv_scan", "posts", "last_post"), Permission.READ),
    **dict.fromkeys(("cancel", "replay", "delete", "configure", "instruct"), Permission.ADMIN),
    **dict.fromkeys(("dump", "restore", "migrate", "check"), Permission.ADMIN),
}

LOOKING = frozenset({"dump", "check"})
"""What only those may ask who may do all, and changes nothing."""

LISTS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], int]]] = {
    "find": (attrgetter("number"), weight),
    "dump": (attrgetter("number"), lambda each: len(each.job.payload) + len(each.result or b"")),
    "kv_scan": (attrgetter("key"), lambda cell: len(cell.value)),
}
"""Verbs that list what may be large: where each thing is, and how many bytes are in it."""

MUCH = 50_000
"""Bytes of jobs that are looked at on a thread, lest other requests wait for it."""

MOST_NOTED = 100
"""Jobs that the line about a change names."""


class Listening(Struct, frozen=True, forbid_unknown_fields=True):
    """What hints are wanted of: work, ends of jobs, posts."""

    of: tuple[Literal["w", "e", "p"], ...]


LISTENING = asked.Query(Listening)


class StoreRoutes:
    """What can be asked of the store itself."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._app = service.app

    def routes(self) -> list[Route]:
        """Each path and method."""
        verbs = [
            path(
                f"/store/{name}",
                POST=Operation(
                    permission, self._carrying(VERBS[name]), changes=name not in LOOKING
                ),
            )
            for name, permission in PERMISSIONS.items()
        ]
        return [
            *verbs,
            path("/store", GET=holder(self.greet, answers={200: Greeting})),
            path("/store/hints", GET=holder(self.hints, query=Listening)),
        ]

    async def greet(self, request: Request) -> Response:
        """Which protocol is spoken here."""
        return answer(Greeting(protocol=PROTOCOL, version=__version__))

    async def hints(self, request: Request) -> Response:
        """A line that tells of every commit that is such news."""
        headers = {"X-Accel-Buffering": "no"}
        of = LISTENING.read(request).of
        wanted = [news for news, sign in SIGNS.items() if sign.decode() in of]
        hints = self._hints(reduce(or_, wanted, News(0)))
        return StreamingResponse(hints, headers=headers, media_type="text/plain")

    async def _hints(self, wanted: News) -> AsyncIterator[bytes]:
        service = self._service
        with service.waiting(), self._app.waiter.bell(wanted) as bell, service.on_close(bell.wake):
            yield STILL
            while not service.stopping:
                news = await bell.rung(SILENCE)
                yield b"".join(SIGNS[each] for each in news) or STILL

    def _carrying(self, verb: Verb) -> Endpoint:
        async def carry(request: Request) -> Response:
            data = await asked.bytes_of(request, MEDIA_TYPE, LARGEST_CALL)
            if verb.name == "insert":
                return await self._insert(verb, data, request)
            return await self._service.ask(self._carry, verb, data, request)

        carry.__doc__ = verb.about
        return carry

    async def _insert(self, verb: Verb, data: bytes, request: Request) -> Response:
        """What comes at the same moment shares a transaction."""
        caller = caller_of(request)
        if len(data) > MUCH:
            arguments = await self._service.ask(self._arguments, verb, data)
        else:
            arguments = self._arguments(verb, data)
        if arguments.pop("now") is not None:
            return await self._service.ask(self._carry, verb, data, request)
        jobs: Sequence[NewJob[Any]] = arguments["jobs"]
        seen = Seen(self._app.store, caller) if caller.only else None
        if seen is not None:
            await self._service.ask(seen.admit, jobs)
        try:
            with hiding_holders(caller):
                stored = await self._app.intake.insert(jobs)
        except PartlyUnavailable as error:
            if seen is not None:
                there = [each for each in error.answer if each is not None]
                await self._service.ask(seen.hide_holders, there)
            return _partly(error)
        if seen is not None:
            await self._service.ask(seen.hide_holders, stored)
        return _told(stored)

    def _carry(self, verb: Verb, data: bytes, request: Request) -> Response:
        arguments = self._arguments(verb, data)
        if PERMISSIONS[verb.name] is Permission.ADMIN:
            changed(request, after=_noted(arguments))
        do = seen_by(caller_of(request), self._app.store, verb.name)
        if verb.name in LISTS:
            return _listed(do, arguments, *LISTS[verb.name])
        positional = [arguments.pop(name) for name in verb.positional]
        try:
            return _told(do(*positional, **arguments))
        except PartlyUnavailable as error:
            return _partly(error)

    def _arguments(self, verb: Verb, data: bytes) -> dict[str, Any]:
        try:
            arguments = msgspec.structs.asdict(verb.arguments.decode(data))
        except msgspec.ValidationError as error:
            raise InvalidArguments(misfit(error)) from None
        except (ValueError, RecursionError) as error:
            raise Problem(400, "invalid-msgpack", f"expected msgpack: {misfit(error)}") from None
        if not self._service.trusts_callers:
            admitted.arguments(verb.name, arguments, self._app.max_payload)
        return arguments


def _noted(arguments: dict[str, Any]) -> dict[str, Any]:
    """What is written down of a call: which jobs, and nothing that is in them."""
    noted: dict[str, Any] = {}
    for name, value in arguments.items():
        if name == "dossiers":
            noted[name] = len(value)
        elif isinstance(value, msgspec.Struct):
            noted |= {k: v for k, v in msgspec.structs.asdict(value).items() if v is not None}
        elif value:
            noted[name] = value
    if "ids" in noted:
        noted["ids"] = [id.hex() for id in noted["ids"][:MOST_NOTED]]
    return noted


def _listed(
    do: Callable[..., list[Any]],
    arguments: dict[str, Any],
    place: Callable[[Any], Any],
    size: Callable[[Any], int],
) -> Response:
    """As much of a list as fits into one answer."""
    after, limit = arguments.pop("after"), arguments.pop("limit")

    def read(after: Any, most: int) -> list[Any]:
        return do(**arguments, after=after, limit=most)

    found, more = page(read, after, min(limit, MOST_LISTED), place, size)
    return _told(found, CUT if more and len(found) < limit else 200)


def _told(value: object, status: int = 200) -> Response:
    return Response(encode(value), status, media_type=MEDIA_TYPE)


def _partly(error: PartlyUnavailable) -> Response:
    """Whoever asked wants this answer now, and not a better one later."""
    partly = Partly(str(error), error.answer, list(error.missed))
    return Response(encode(partly), 503, media_type=MEDIA_TYPE)
