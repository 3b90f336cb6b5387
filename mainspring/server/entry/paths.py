"""Paths: what can be asked at each, with the scope it takes and the forms that go in and out."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeAlias

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from mainspring.keys import Permission
from mainspring.server.entry.recorder import record
from mainspring.server.permissions.callers import caller_of

READING = frozenset({"GET", "HEAD"})

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class Events:
    """A stream of Server-Sent Events."""


class Page:
    """A page for a browser."""


class Operation(Struct, frozen=True):
    """One method of a path: what answers it, and what a caller needs for it.

    `query` and `body` are the forms of what comes (None: nothing comes; a body that may be left
    out is a union with None), `answers` those of what goes out, by status: None for nothing,
    `Events` and `Page` where it is no JSON. The endpoint's docstring tells what it does; `changes`
    is False where it changes nothing though it is no GET.
    """

    permission: Permission
    endpoint: Endpoint
    query: type | None = None
    body: Any = None
    answers: Mapping[int, Any] = {}
    changes: bool = True


anybody = partial(Operation, Permission.OPEN)
holder = partial(Operation, Permission.ANY)
read = partial(Operation, Permission.READ)
enqueue = partial(Operation, Permission.ENQUEUE)
work = partial(Operation, Permission.WORK)
admin = partial(Operation, Permission.ADMIN)


def path(place: str, **operations: Operation) -> Route:
    """A route for a path; HEAD goes with GET, any method not named is answered with those that
    are."""
    if "GET" in operations:
        operations["HEAD"] = operations["GET"]
    return Route(place, Operations(operations), methods=list(operations))


Talk: TypeAlias = Callable[[WebSocket], Awaitable[None]]


def socket(place: str, permission: Permission, talk: Talk) -> WebSocketRoute:
    """A route for a WebSocket."""
    return WebSocketRoute(place, Socket(permission, talk))


class Socket:
    """What Starlette takes as an application, for a WebSocket."""

    def __init__(self, permission: Permission, talk: Talk) -> None:
        self.permission = permission
        self._talk = talk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = WebSocket(scope, receive, send)
        caller_of(connection).require(self.permission)
        await self._talk(connection)


def open_paths(routes: Iterable[BaseRoute]) -> frozenset[str]:
    """The paths of which nothing needs a key."""
    return frozenset(
        route.path
        for route in routes
        if isinstance(route, Route)
        and isinstance(route.app, Operations)
        and all(each.permission is Permission.OPEN for each in route.app.by_method.values())
    )


class Operations:
    """What Starlette takes as an application of its own, and leaves its errors to the guard."""

    def __init__(self, operations: Mapping[str, Operation]) -> None:
        self.by_method = operations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operation = self.by_method[scope["method"]]
        request = Request(scope, receive, send)
        caller_of(request).require(operation.permission)
        response = await operation.endpoint(request)
        changes = operation.changes and scope["method"] not in READING
        if operation.permission is Permission.ADMIN and changes:
            await record(request, response.status_code)
        await response(scope, receive, send)


class Paths:
    """A router that finds paths without parameters at once."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._fixed = {
            route.path: route.app
            for route in router.routes
            if isinstance(route, Route) and "{" not in route.path
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operations = self._fixed.get(scope.get("path", "")) if not scope.get("root_path") else None
        if isinstance(operations, Operations) and scope.get("method") in operations.by_method:
            await operations(scope, receive, send)
        else:
            await self._router(scope, receive, send)
