"""Recorder: a line for each change that only who may change everything can make, to the logger
`mainspring.audit` and to the store."""

import logging
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
from starlette.requests import Request
from starlette.types import Scope

from mainspring.audit import Deed
from mainspring.errors import MainspringError
from mainspring.server.backend.service import Service
from mainspring.server.entry import access
from mainspring.server.forms.problems import Problem
from mainspring.server.permissions.callers import caller_of

RECORDER = "mainspring.recorder"
"""Where a scope holds who writes down what was done."""

BEFORE, AFTER = "mainspring.before", "mainspring.after"

LARGEST = 4000
"""Bytes of JSON that are kept of what a change was, and was before."""

log = logging.getLogger("mainspring.audit")


def changed(request: Request, *, before: Any = None, after: Any = None) -> None:
    """Say what the request changed, for the line that tells of it."""
    request.scope[BEFORE], request.scope[AFTER] = _told(before), _told(after)


async def record(request: Request, status: int) -> None:
    """Write down that this was done."""
    recorder = cast(Recorder | None, request.scope.get(RECORDER))
    if recorder is not None:
        await recorder.record(request, status)


class Recorder:
    """Writes down what was done by way of one server process."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def record(self, request: Request, status: int) -> None:
        """Before it is answered, so that nothing is told to be done that left no line. What was
        done is done, though, where the store does not take that line."""
        deed = _deed(request, status)
        line = access.line(**msgspec.to_builtins(deed))
        log.info(line)
        try:
            await self._service.ask(self._service.app.audit.add, deed)
        except (MainspringError, Problem) as error:
            log.error("the store took no note of this: %s (%s)", line, error)


def _deed(request: Request, status: int) -> Deed:
    caller, scope = caller_of(request), request.scope
    client = scope.get("client")
    return Deed(
        at=datetime.now(UTC),
        name=caller.name,
        what=f"{scope['method']} {_place(scope)}",
        status=status,
        key=caller.key or None,
        address=client[0] if client else None,
        before=scope.get(BEFORE),
        after=scope.get(AFTER),
    )


def _told(value: Any) -> Any:
    """What is said of a change, if it is no more than a line can hold."""
    told = _said(msgspec.to_builtins(value))
    size = len(msgspec.json.encode(told))
    return told if size <= LARGEST else f"{size:,} bytes"


def _said(value: Any) -> Any:
    """The same without the fields that say nothing."""
    if isinstance(value, dict):
        return {name: _said(each) for name, each in value.items() if each is not None}
    return value


def _place(scope: Scope) -> str:
    path: str = scope["path"]
    return access.without_secrets(path.removeprefix(scope.get("root_path", "")))
