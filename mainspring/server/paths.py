"""Paths: one route for each, that knows all its methods."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


def path(place: str, **methods: Endpoint) -> Route:
    """A route for a path; HEAD goes with GET, any method not named is answered with those that
    are."""
    if "GET" in methods:
        methods["HEAD"] = methods["GET"]
    return Route(place, _Endpoints(methods), methods=list(methods))


class _Endpoints:
    """What Starlette takes as an application of its own, and leaves its errors to the guard."""

    def __init__(self, methods: Mapping[str, Endpoint]) -> None:
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        response = await self._methods[scope["method"]](request)
        await response(scope, receive, send)
