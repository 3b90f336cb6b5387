"""Application: all routes over one app, behind the guard, as one ASGI application."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.routing import Route, Router
from starlette.types import ASGIApp

from mainspring.app import Mainspring
from mainspring.server.events import EventRoutes
from mainspring.server.guard import Guard
from mainspring.server.health import HealthRoutes
from mainspring.server.paths import Paths
from mainspring.server.queues import QueueRoutes
from mainspring.server.service import Service
from mainspring.server.synap.routes import SynapRoutes
from mainspring.server.tasks import TaskRoutes
from mainspring.server.workers import WorkerRoutes


def application(app: Mainspring, *, hosts: Sequence[str] = (), synap: bool = False) -> ASGIApp:
    """The ASGI application over this app, for requests to a loopback host or one of `hosts`; with
    `synap` it answers in Synap's way, too."""
    return over(Service(app), hosts, synap)


def over(service: Service, hosts: Sequence[str] = (), synap: bool = False) -> ASGIApp:
    """The same over a service that whoever runs it may close itself."""

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        yield
        service.close()

    nouns = (TaskRoutes, EventRoutes, QueueRoutes, WorkerRoutes, HealthRoutes)
    routes = [route for noun in nouns for route in noun(service).routes()]
    if synap:
        routes = instead(SynapRoutes(service).routes(), routes)
    return Guard(Paths(Router(routes, redirect_slashes=False, lifespan=lifespan)), hosts)


def instead(first: list[Route], others: list[Route]) -> list[Route]:
    """The first, and those of the others that have paths of their own."""
    taken = {route.path for route in first}
    return [*first, *(route for route in others if route.path not in taken)]
