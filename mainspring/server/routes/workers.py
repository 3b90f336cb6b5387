"""The routes of workers: `/workers`."""

from collections.abc import Callable, Sequence
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct
from msgspec.json import Decoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mainspring.errors import UnknownWorker
from mainspring.fleet import MOST_PROCESSES
from mainspring.server.backend.service import Service
from mainspring.server.entry.paths import Operation, admin, path, read
from mainspring.server.entry.recorder import changed
from mainspring.server.forms import asked
from mainspring.server.forms.answers import Shown, WorkerShown, answer, worker
from mainspring.server.permissions.callers import caller_of
from mainspring.store import Presence

Processes: TypeAlias = Annotated[int, Meta(ge=1, le=MOST_PROCESSES)]


class Scale(Struct, frozen=True, forbid_unknown_fields=True):
    """How many child processes a worker is to have, at least and at most."""

    least: Processes
    most: Processes | None = None


class WorkerTold(Shown, frozen=True, kw_only=True):
    """One worker."""

    success: bool = True
    worker: WorkerShown


class WorkersTold(Shown, frozen=True, kw_only=True):
    """The workers that were heard of lately."""

    success: bool = True
    workers: Sequence[WorkerShown]


class Instructed(Shown, frozen=True, kw_only=True):
    """Whom it was told: they hear it with their next heartbeats."""

    success: bool = True
    told: Sequence[str]


SCALE = Decoder(Scale)


class WorkerRoutes:
    """What can be asked of workers."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._app = service.app

    def routes(self) -> list[Route]:
        """Each path and method."""
        one = "/workers/{id}"
        return [
            path("/workers", GET=read(self.all, answers={200: WorkersTold})),
            path(one, GET=read(self.get, answers={200: WorkerTold})),
            path(f"{one}/pause", POST=self._telling(self._app.pause_workers)),
            path(f"{one}/resume", POST=self._telling(self._app.resume_workers)),
            path(f"{one}/drain", POST=self._telling(self._app.drain_workers)),
            path(f"{one}/reload", POST=self._telling(self._app.reload_workers)),
            path(f"{one}/scale", POST=admin(self.scale, body=Scale, answers={202: Instructed})),
        ]

    async def all(self, request: Request) -> Response:
        """The workers that were heard of lately."""
        heard = await self._service.ask(self._app.workers)
        known = caller_of(request).knows_worker
        return answer(WorkersTold(workers=[worker(each) for each in heard if known(each)]))

    async def get(self, request: Request) -> Response:
        """One of them."""
        return answer(WorkerTold(worker=worker(await self._one(request))))

    async def scale(self, request: Request) -> Response:
        """Have it run so many child processes."""
        wanted = await asked.body(request, SCALE)
        id = await self._id(request)
        changed(request, after=wanted)
        told = await self._service.ask(
            self._app.scale_workers, id, least=wanted.least, most=wanted.most
        )
        return _told(told)

    def _telling(self, verb: Callable[[str], list[str]]) -> Operation:
        async def tell(request: Request) -> Response:
            return _told(await self._service.ask(verb, await self._id(request)))

        tell.__doc__ = verb.__doc__
        return admin(tell, answers={202: Instructed})

    async def _id(self, request: Request) -> str:
        """Whom it is about; only who may use some names only needs to be looked at."""
        id: str = request.path_params["id"]
        return (await self._one(request)).id if caller_of(request).only else id

    async def _one(self, request: Request) -> Presence:
        id = request.path_params["id"]
        for each in await self._service.ask(self._app.workers):
            if each.id == id and caller_of(request).knows_worker(each):
                return each
        raise UnknownWorker(f"no worker {id!r} was heard of lately")


def _told(names: list[str]) -> Response:
    return answer(Instructed(told=names), 202)
