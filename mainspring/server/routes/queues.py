"""The routes of queues: `/queues`."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, to_builtins
from msgspec.json import Decoder
from msgspec.structs import asdict
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mainspring.errors import InvalidArguments
from mainspring.job import Select, State
from mainspring.operations import Affected
from mainspring.server.backend.service import Service
from mainspring.server.entry.paths import admin, path, read
from mainspring.server.entry.recorder import changed
from mainspring.server.forms import asked
from mainspring.server.forms.answers import (
    Deleted,
    QueueShown,
    Replayed,
    Shown,
    TasksPage,
    answer,
    queue,
    tasks_page,
)
from mainspring.server.forms.pages import page_of
from mainspring.server.forms.wishes import Seconds, Span, span
from mainspring.server.permissions.callers import caller_of
from mainspring.server.permissions.narrow import known_queue, permitted_queue, unknown_queue
from mainspring.server.routes.tasks import Limit, Number
from mainspring.store import QueueInfo

UNENDING = tuple(state for state in State if state is not State.RUNNING)


class Change(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """New settings of a queue, as in `Mainspring.configure`; what is left out stays. What is about
    messages is in seconds."""

    paused: bool | UnsetType = UNSET
    by_hand: bool | UnsetType = UNSET
    aging: Span | UnsetType = UNSET
    keep_completed: Span | UnsetType = UNSET
    keep_cancelled: Span | UnsetType = UNSET
    keep_failed: Span | UnsetType = UNSET
    max_retries: int | UnsetType = UNSET
    retry_delays: Annotated[list[Seconds], Meta(max_length=100)] | UnsetType = UNSET
    ack_deadline_secs: float | UnsetType = UNSET
    max_depth: int | UnsetType = UNSET


NAMES = {"ack_deadline_secs": "ack_deadline"}
"""Settings that are called otherwise in Python."""

READERS: dict[str, Callable[[Any], Any]] = dict.fromkeys(
    ("aging", "keep_completed", "keep_cancelled", "keep_failed"), span
)


class Which(Struct, frozen=True, forbid_unknown_fields=True):
    """Jobs in these states: all that do not run, unless it says otherwise."""

    status: Annotated[tuple[State, ...], Meta(min_length=1)] = UNENDING


class Letters(Struct, frozen=True, forbid_unknown_fields=True):
    """Which dead letters: these, or all."""

    ids: Annotated[tuple[UUID, ...], Meta(min_length=1, max_length=1000)] | None = None


class Page(Struct, frozen=True, forbid_unknown_fields=True):
    """Which dead letters a list shows: the newest first, below the number `after`."""

    limit: Limit = 100
    after: Number | None = None


class QueueTold(Shown, frozen=True, kw_only=True):
    """One queue."""

    success: bool = True
    queue: QueueShown


class QueuesTold(Shown, frozen=True, kw_only=True):
    """All queues, by name."""

    success: bool = True
    queues: Sequence[QueueShown]


QUEUE, DELETED = {200: QueueTold}, {200: Deleted}
CHANGE, WHICH, LETTERS = Decoder(Change), Decoder(Which), Decoder(Letters)
PAGE = asked.Query(Page)


class QueueRoutes:
    """What can be asked of queues."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._app = service.app

    def routes(self) -> list[Route]:
        """Each path and method."""
        one = "/queues/{name}"
        letters = f"{one}/dead-letters"
        return [
            path("/queues", GET=read(self.all, answers={200: QueuesTold})),
            path(
                one,
                GET=read(self.get, answers=QUEUE),
                PATCH=admin(self.configure, body=Change, answers=QUEUE),
            ),
            path(f"{one}/pause", POST=admin(self.pause, answers=QUEUE)),
            path(f"{one}/resume", POST=admin(self.resume, answers=QUEUE)),
            path(f"{one}/purge", POST=admin(self.purge, body=Which | None, answers=DELETED)),
            path(letters, GET=read(self.dead, query=Page, answers={200: TasksPage})),
            path(
                f"{letters}/replay",
                POST=admin(self.replay, body=Letters | None, answers={200: Replayed}),
            ),
            path(f"{letters}/purge", POST=admin(self.bury, body=Letters | None, answers=DELETED)),
        ]

    async def all(self, request: Request) -> Response:
        """All queues, by name."""
        known = caller_of(request).knows
        queues = await self._service.ask(self._all)
        return answer(QueuesTold(queues=[each for each in queues if known(each.name)]))

    async def get(self, request: Request) -> Response:
        """A queue, its settings, and what is in it."""
        name = known_queue(request)
        for shown in await self._service.ask(self._all):
            if shown.name == name:
                return answer(QueueTold(queue=shown))
        raise unknown_queue(name)

    async def configure(self, request: Request) -> Response:
        """Change settings; the queue is made if need be."""
        name = permitted_queue(request)
        change = await asked.body(request, CHANGE)
        given: dict[str, Any] = {
            NAMES.get(field, field): READERS.get(field, _as_it_is)(value)
            for field, value in asdict(change).items()
            if value is not UNSET and field != "paused"
        }
        if not given and change.paused is UNSET:
            raise InvalidArguments("expected at least one setting, got none")

        def configured() -> QueueInfo:
            was = next((info for info in self._app.queues() if info.name == name), None)
            info = self._app.configure(name, **given)
            if change.paused is not UNSET:
                info = self._app.pause(name) if change.paused else self._app.resume(name)
            before = None if was is None else _settings(was, change)
            changed(request, before=before, after=_settings(info, change))
            return info

        return await self._changed(await self._service.ask(configured))

    async def pause(self, request: Request) -> Response:
        """Let no job of the queue begin."""
        return await self._changed(
            await self._service.ask(self._app.pause, permitted_queue(request))
        )

    async def resume(self, request: Request) -> Response:
        """Let its jobs begin again."""
        return await self._changed(await self._service.ask(self._app.resume, known_queue(request)))

    async def purge(self, request: Request) -> Response:
        """Remove all jobs that do not run, or those in some states."""
        which = await asked.body_or(request, WHICH, Which())
        done = await self._service.ask(self._app.purge, known_queue(request), states=which.status)
        changed(request, after={"deleted": len(done.ids), "status": which.status})
        return answer(Deleted(deleted=len(done.ids), **_of(done)))

    async def dead(self, request: Request) -> Response:
        """A page of dead letters, and how many there are."""
        name, page = known_queue(request), PAGE.read(request)
        letters = Select(queues=(name,), states=(State.FAILED,))
        store = self._app.store
        records, next = await self._service.ask(page_of, store, letters, page.limit, page.after)
        counts = await self._service.ask(store.counts)
        total = counts.get(name, {}).get(State.FAILED, 0)
        return tasks_page(records, next, total, page.limit)

    async def replay(self, request: Request) -> Response:
        """Make dead letters run again."""
        letters = await asked.body_or(request, LETTERS, Letters())
        done = await self._service.ask(
            self._app.replay, *(letters.ids or ()), queues=known_queue(request), states=State.FAILED
        )
        changed(request, after={"replayed": len(done.ids)})
        return answer(Replayed(replayed=len(done.ids), **_of(done)))

    async def bury(self, request: Request) -> Response:
        """Remove dead letters."""
        letters = await asked.body_or(request, LETTERS, Letters())
        done = await self._service.ask(
            self._app.delete, *(letters.ids or ()), queues=known_queue(request), states=State.FAILED
        )
        changed(request, after={"deleted": len(done.ids)})
        return answer(Deleted(deleted=len(done.ids), **_of(done)))

    async def _changed(self, info: QueueInfo) -> Response:
        counts = await self._service.ask(self._app.store.counts)
        return answer(QueueTold(queue=queue(info, counts.get(info.name))))

    def _all(self) -> list[QueueShown]:
        counts = self._app.store.counts()
        return [queue(info, counts.get(info.name)) for info in self._app.queues()]


def _of(done: Affected) -> dict[str, Any]:
    return {"ids": done.ids, "refused": {str(id): why for id, why in done.refused.items()}}


def _as_it_is(value: object) -> object:
    return value


def _settings(info: QueueInfo, change: Change) -> dict[str, Any]:
    """Those settings of a queue that a change is about."""
    shown = to_builtins(queue(info, None))
    return {name: shown[name] for name in to_builtins(change)}
