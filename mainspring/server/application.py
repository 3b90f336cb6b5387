"""Application: all routes over one app, behind the guard, as one ASGI application."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp

from mainspring.app import Mainspring
from mainspring.errors import InvalidArguments
from mainspring.options import texts
from mainspring.server.events import EventRoutes
from mainspring.server.guard import Guard
from mainspring.server.health import HealthRoutes
from mainspring.server.keys import KeyRoutes
from mainspring.server.kv import KeyValueRoutes
from mainspring.server.messages import MessageRoutes
from mainspring.server.openapi import OpenApiRoutes
from mainspring.server.paths import Paths, open_paths
from mainspring.server.queues import QueueRoutes
from mainspring.server.service import Service
from mainspring.server.store import StoreRoutes
from mainspring.server.tasks import TaskRoutes
from mainspring.server.terms import Terms
from mainspring.server.topics import TopicRoutes
from mainspring.server.workers import WorkerRoutes


def application(app: Mainspring, *, hosts: Sequence[str] = (), keys: bool | None = None) -> ASGIApp:
    """The ASGI application over this app, for requests to a loopback host or one of `hosts`; `keys`
    as in `Terms`."""
    if keys not in (True, False, None):
        raise InvalidArguments(f"keys: expected True, False or None, got {keys!r}")
    return over(Service(app), Terms(hosts=texts(hosts, "hosts"), keys=keys))


def over(service: Service, terms: Terms) -> ASGIApp:
    """The same over a service that whoever runs it may close itself."""

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        yield
        service.close()

    routes = routes_over(service)
    paths = Paths(Router(routes, redirect_slashes=False, lifespan=lifespan))
    return Guard(paths, service, terms, open_paths(routes))


def routes_over(service: Service) -> list[BaseRoute]:
    """All that can be asked."""
    nouns = (
        TaskRoutes,
        EventRoutes,
        QueueRoutes,
        MessageRoutes,
        KeyValueRoutes,
        TopicRoutes,
        WorkerRoutes,
        KeyRoutes,
        HealthRoutes,
    )
    routes: list[BaseRoute] = [route for noun in nouns for route in noun(service).routes()]
    # What this library's engine says is no part of what is described to others.
    return [*routes, *OpenApiRoutes(routes).routes(), *StoreRoutes(service).routes()]
