"""Application: all routes over one app, behind the guard, as one ASGI application."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from mainspring.app import Mainspring
from mainspring.errors import InvalidArguments
from mainspring.options import texts
from mainspring.server.backend.service import Service
from mainspring.server.entry.guard import Guard
from mainspring.server.entry.paths import Paths, open_paths
from mainspring.server.routes.audit import AuditRoutes
from mainspring.server.routes.events import EventRoutes
from mainspring.server.routes.health import HealthRoutes
from mainspring.server.routes.keys import KeyRoutes
from mainspring.server.routes.kv import KeyValueRoutes
from mainspring.server.routes.messages import MessageRoutes
from mainspring.server.routes.openapi import OpenApiRoutes
from mainspring.server.routes.queues import QueueRoutes
from mainspring.server.routes.store import StoreRoutes
from mainspring.server.routes.tasks import TaskRoutes
from mainspring.server.routes.topics import TopicRoutes
from mainspring.server.routes.workers import WorkerRoutes
from mainspring.server.synap.routes import SynapRoutes
from mainspring.server.terms import Terms


def application(
    app: Mainspring, *, hosts: Sequence[str] = (), keys: bool | None = None, synap: bool = False
) -> ASGIApp:
    """The ASGI application over this app, for requests to a loopback host or one of `hosts`; `keys`
    and `synap` as in `Terms`."""
    if keys not in (True, False, None):
        raise InvalidArguments(f"keys: expected True, False or None, got {keys!r}")
    return over(Service(app), Terms(hosts=texts(hosts, "hosts"), keys=keys, synap=synap))


def over(service: Service, terms: Terms) -> ASGIApp:
    """The same over a service that whoever runs it may close itself."""

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        yield
        service.close()

    routes = routes_over(service, synap=terms.synap)
    router = Router(routes, redirect_slashes=False, default=_nothing, lifespan=lifespan)
    paths = Paths(router)
    return Guard(paths, service, terms, open_paths(routes))


def routes_over(service: Service, *, synap: bool = False) -> list[BaseRoute]:
    """All that can be asked; of what is at the same path, what is there for Synap."""
    nouns = (
        TaskRoutes,
        EventRoutes,
        QueueRoutes,
        MessageRoutes,
        KeyValueRoutes,
        TopicRoutes,
        WorkerRoutes,
        KeyRoutes,
        AuditRoutes,
        HealthRoutes,
    )
    told: list[BaseRoute] = [route for noun in nouns for route in noun(service).routes()]
    # What this library's engine says, and what Synap's clients do, is described elsewhere.
    routes = [*told, *OpenApiRoutes(told).routes(), *StoreRoutes(service).routes()]
    if not synap:
        return routes
    first = SynapRoutes(service).routes()
    taken = {getattr(route, "path", None) for route in first}
    return [*first, *(each for each in routes if getattr(each, "path", None) not in taken)]


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    # By itself a router closes a WebSocket without a word.
    raise HTTPException(404)
