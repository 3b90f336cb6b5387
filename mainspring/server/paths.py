"""Paths: one route for each, that knows all its methods."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


def path(place: str, **methods: Endpoint) -> Route:
    """A route for a path; HEAD goes with GET, any method not named is answered with those that
    are."""

    async def dispatch(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await methods[method](request)

    return Route(place, dispatch, methods=list(methods))
