"""The routes of jobs: `/tasks`."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias
from uuid import UUID

from msgspec import Meta, Struct
from msgspec.json import Decoder
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mainspring.durations import SECOND, microseconds
from mainspring.errors import InvalidArguments, InvalidState, UnknownJob
from mainspring.job import FINAL, Record, Select, State
from mainspring.keys import Permission
from mainspring.operations import Affected, select
from mainspring.server.backend.service import Service
from mainspring.server.entry.paths import admin, enqueue, path, read
from mainspring.server.forms import asked
from mainspring.server.forms.answers import (
    Shown,
    StandingsTold,
    StandingTold,
    TasksPage,
    TasksTold,
    TaskTold,
    answer,
    standing,
    task,
    tasks_page,
)
from mainspring.server.forms.pages import page_of
from mainspring.server.forms.problems import Problem
from mainspring.server.forms.wishes import WISHES, Wish, Wishes, jobs
from mainspring.server.permissions.callers import Caller, caller_of
from mainspring.server.permissions.narrow import there
from mainspring.server.routes.storing import idempotency_key, stored

LONGEST_WAIT = 300 * SECOND
"""Microseconds."""

ALIASES = {"processing": State.RUNNING, "canceled": State.CANCELLED, "dead": State.FAILED}
"""What else states are called."""

Limit: TypeAlias = Annotated[int, Meta(ge=1, le=200)]
Number: TypeAlias = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class Page(Struct, frozen=True, forbid_unknown_fields=True):
    """Which jobs a list shows: the newest first, below the number `after`."""

    status: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    queue: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    limit: Limit = 100
    after: Number | None = None


class Wait(Struct, frozen=True, forbid_unknown_fields=True):
    """How long to wait for a job's end: seconds, or text such as "1m"."""

    timeout: str = "30"


class Reason(Struct, frozen=True, forbid_unknown_fields=True):
    """Why a job is cancelled."""

    reason: Annotated[str, Meta(max_length=1000)] = ""


class Gone(Shown, frozen=True, kw_only=True):
    """The job was removed."""

    success: bool = True
    message: str = "Task deleted"


Told: TypeAlias = TaskTold | StandingTold
Created: TypeAlias = Told | TasksTold | StandingsTold
TASK, GONE = {200: TaskTold}, {200: Gone}
PAGE, WAIT, REASON = asked.Query(Page), asked.Query(Wait), Decoder(Reason)


class TaskRoutes:
    """What can be asked of jobs."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._app = service.app

    def routes(self) -> list[Route]:
        """Each path and method."""
        one = "/tasks/{id}"
        return [
            path(
                "/tasks",
                POST=enqueue(self.create, body=Wishes, answers={201: Created, 200: Created}),
                GET=read(self.find, query=Page, answers={200: TasksPage}),
            ),
            path(one, GET=read(self.get, answers=TASK), DELETE=admin(self.delete, answers=GONE)),
            path(
                f"{one}/cancel", POST=enqueue(self.cancel, body=Reason | None, answers={200: Told})
            ),
            path(f"{one}/replay", POST=admin(self.replay, answers=TASK)),
            path(f"{one}/wait", GET=read(self.wait, query=Wait, answers=TASK)),
        ]

    async def create(self, request: Request) -> Response:
        """Store a job, or all of a list; one that is there already is answered as it stands."""
        asked_for = await asked.body(request, WISHES)
        wishes = [asked_for] if isinstance(asked_for, Wish) else asked_for
        key, only = idempotency_key(request), caller_of(request).only
        found = await stored(self._service, request, jobs(wishes, self._app.tasks, key, only))
        new = not all(job.repeated or job.duplicate for job in found)
        status, caller = 201 if new else 200, caller_of(request)
        records = [job.record for job in found]
        if not isinstance(asked_for, Wish):
            return answer(_all_told(records, caller), status)
        place = {"Location": f"{request.scope.get('root_path', '')}/tasks/{found[0].id}"}
        return answer(_told(records[0], caller), status, place)

    async def find(self, request: Request) -> Response:
        """A page of jobs."""
        page = PAGE.read(request)
        chosen = {
            "states": tuple(ALIASES.get(name, name) for name in page.status),
            "queues": page.queue,
            "tasks": page.type,
            "keys": page.key,
            "tags": page.tag,
        }
        filter: Any = {name: values for name, values in chosen.items() if values}
        chosen_jobs = select((), filter)
        records, next, total = await self._service.ask(
            self._page, chosen_jobs, page, filter.keys() <= {"states", "queues"}, caller_of(request)
        )
        return tasks_page(records, next, total, page.limit)

    def _page(
        self, chosen: Select, page: Page, counted: bool, caller: Caller
    ) -> tuple[list[Record], int | None, int | None]:
        """The jobs, where the next page is, and how many there are on all, where it is counted."""
        store = self._app.store
        counts = store.counts() if counted or caller.only else {}
        if caller.only:
            chosen = replace(chosen, queues=tuple(caller.known(chosen.queues or counts)))
            if not chosen.queues:
                return [], None, 0
        records, next = page_of(store, chosen, page.limit, page.after)
        if not counted:
            return records, next, None
        queues = {*(chosen.queues or counts)} & {*counts}
        states = {*(chosen.states or State)}
        return records, next, sum(counts[queue][state] for queue in queues for state in states)

    async def get(self, request: Request) -> Response:
        """A job as it stands."""
        return await self._shown(request, id_of(request))

    async def delete(self, request: Request) -> Response:
        """Remove a job that has ended."""
        id = await self._known(request)
        # The states are part of the question, so that one replayed meanwhile is left alone.
        done = await self._service.ask(self._app.delete, id, states=tuple(FINAL))
        if id in done.refused:
            raise InvalidState(f"task {id}: {done.refused[id]}")
        if id not in done.ids:
            record = await self._record(request, id)
            detail = f"can only delete a task that has ended; task {id} is {record.state}"
            raise Problem(400, "unfinished-task", detail)
        return answer(Gone())

    async def cancel(self, request: Request) -> Response:
        """End a waiting job, ask a running one to stop."""
        id = await self._known(request)
        said = await asked.body_or(request, REASON, Reason())
        done = await self._service.ask(self._app.cancel, id, reason=said.reason)
        return await self._changed(request, id, done)

    async def replay(self, request: Request) -> Response:
        """Make an ended job run again."""
        id = await self._known(request)
        return await self._changed(request, id, await self._service.ask(self._app.replay, id))

    async def wait(self, request: Request) -> Response:
        """A job once it has ended, or as it stands when the time is over."""
        id = await self._known(request)
        longest = microseconds(_seconds(WAIT.read(request).timeout), "timeout")
        if longest > LONGEST_WAIT:
            raise InvalidArguments(f"timeout: expected at most {LONGEST_WAIT // SECOND} s")
        with self._service.waiting():
            end = asyncio.ensure_future(self._app.waiter.await_(id.bytes, longest / SECOND))
            left = asyncio.ensure_future(self._service.left(request))
            try:
                await asyncio.wait((end, left), return_when=asyncio.FIRST_COMPLETED)
            finally:
                left.cancel()
                ended = end.done()
                end.cancel()
        if ended and not isinstance(end.exception(), TimeoutError):
            return _answered(there(caller_of(request), id, end.result()), request)
        return await self._shown(request, id)

    async def _changed(self, request: Request, id: UUID, done: Affected) -> Response:
        if id in done.refused:
            raise InvalidState(f"task {id}: {done.refused[id]}")
        return await self._shown(request, id)

    async def _shown(self, request: Request, id: UUID) -> Response:
        return _answered(await self._record(request, id), request)

    async def _record(self, request: Request, id: UUID) -> Record:
        [record] = await self._service.ask(self._app.store.get, [id.bytes])
        return there(caller_of(request), id, record)

    async def _known(self, request: Request) -> UUID:
        """The id in the path; who may use some queues only is told of nothing in others."""
        id = id_of(request)
        if caller_of(request).only:
            await self._record(request, id)
        return id


def _answered(record: Record, request: Request) -> Response:
    return answer(_told(record, caller_of(request)))


def _told(record: Record, caller: Caller) -> Told:
    """The job, as far as the caller may see what is in it."""
    if caller.may(Permission.READ):
        return TaskTold(task=task(record))
    return StandingTold(task=standing(record))


def _all_told(records: Sequence[Record], caller: Caller) -> TasksTold | StandingsTold:
    if caller.may(Permission.READ):
        return TasksTold(tasks=list(map(task, records)))
    return StandingsTold(tasks=list(map(standing, records)))


def id_of(request: Request) -> UUID:
    """The id in the path; what cannot be one is none that is known."""
    given = request.path_params["id"]
    try:
        return UUID(given)
    except ValueError:
        raise UnknownJob(f"no task has the id {given!a}") from None


def _seconds(text: str) -> float | str:
    """A bare number is one of seconds, whatever its form; other text is for durations to read."""
    try:
        return float(text)
    except ValueError:
        return text
