"""The routes of workers: `/workers`."""

from collections.abc import Callable
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct
from msgspec.json import Decoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mainspring.errors import UnknownWorker
from mainspring.fleet import MOST_PROCESSES
from mainspring.server import asked
from mainspring.server.answers import answer, worker
from mainspring.server.callers import caller_of
from mainspring.server.paths import Endpoint, admin, path, read
from mainspring.server.service import Service
from mainspring.store import Presence

Processes: TypeAlias = Annotated[int, Meta(ge=1, le=MOST_PROCESSES)]


class Scale(Struct, frozen=True, forbid_unknown_fields=True):
    """How many child processes a worker is to have, at least and at most."""

    least: Processes
    most: Processes | None = None


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
            path("/workers", GET=read(self.all)),
            path(one, GET=read(self.get)),
            path(f"{one}/pause", POST=admin(self._telling(self._app.pause_workers))),
            path(f"{one}/resume", POST=admin(self._telling(self._app.resume_workers))),
            path(f"{one}/drain", POST=admin(self._telling(self._app.drain_workers))),
            path(f"{one}/reload", POST=admin(self._telling(self._app.reload_workers))),
            path(f"{one}/scale", POST=admin(self.scale)),
        ]

    async def all(self, request: Request) -> Response:
        """The workers that were heard of lately."""
        heard = await self._service.ask(self._app.workers)
        known = caller_of(request).knows_worker
        return answer({"success": True, "workers": [worker(each) for each in heard if known(each)]})

    async def get(self, request: Request) -> Response:
        """One of them."""
        return answer({"success": True, "worker": worker(await self._one(request))})

    async def scale(self, request: Request) -> Response:
        """Have it run so many child processes."""
        wanted = await asked.body(request, SCALE)
        id = await self._id(request)
        told = await self._service.ask(
            self._app.scale_workers, id, least=wanted.least, most=wanted.most
        )
        return _told(told)

    def _telling(self, verb: Callable[[str], list[str]]) -> Endpoint:
        async def tell(request: Request) -> Response:
            return _told(await self._service.ask(verb, await self._id(request)))

        return tell

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
    """Whoever was told hears it with its next heartbeat."""
    return answer({"success": True, "told": names}, 202)
