"""Callers: who makes a request, and what that one may do."""

from collections.abc import Sequence
from enum import StrEnum
from fnmatch import fnmatchcase

from msgspec import Struct
from starlette.requests import HTTPConnection

from mainspring.server.problems import Problem

CALLER = "mainspring.caller"
"""Where a scope holds who asks."""


class Permission(StrEnum):
    """What a caller may do. `ADMIN` may all of it, `OPEN` is for everybody."""

    OPEN = "open"
    READ = "read"
    ENQUEUE = "enqueue"
    WORK = "work"
    ADMIN = "admin"


class Caller(Struct, frozen=True):
    """Who asks. `only` are patterns (`*` any run of characters, `?` one) of the names of queues,
    entries and topics that it may use; none: all."""

    name: str
    permissions: frozenset[Permission]
    only: Sequence[str] = ()

    def may(self, permission: Permission) -> bool:
        """Whether it has that permission."""
        held = self.permissions
        return permission is Permission.OPEN or permission in held or Permission.ADMIN in held

    def require(self, permission: Permission) -> None:
        """`Problem` unless it has that permission."""
        if not self.may(permission):
            held = ", ".join(sorted(self.permissions)) or "none"
            raise Problem(
                403, "forbidden", f"expected a key with {permission}, got one with {held}"
            )

    def knows(self, name: str) -> bool:
        """Whether it may use a queue, an entry or a topic of that name. What it may not use is
        for it as if it were not there."""
        return not self.only or any(fnmatchcase(name, pattern) for pattern in self.only)


EVERYBODY = Caller("everybody", frozenset({Permission.ADMIN}))
"""Who asks where no keys are asked for."""


def caller_of(connection: HTTPConnection) -> Caller:
    """Who makes this request."""
    caller: Caller = connection.scope.get(CALLER, EVERYBODY)
    return caller
