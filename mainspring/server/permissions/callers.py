"""Callers: who makes a request, and what that one may do."""

from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from fnmatch import fnmatchcase

from msgspec import Struct
from starlette.requests import HTTPConnection

from mainspring.keys import Permission
from mainspring.server.forms.problems import Problem
from mainspring.store import Presence

CALLER = "mainspring.caller"
"""Where a scope holds who asks."""


class Caller(Struct, frozen=True):
    """Who asks. `only` are patterns (`*` any run of characters, `?` one) of the names of queues,
    entries and topics that it may use; none: all. `key` is the id of its key, if it has one."""

    name: str
    permissions: frozenset[Permission]
    only: Sequence[str] = ()
    key: str = ""

    def may(self, permission: Permission) -> bool:
        """Whether it has that permission."""
        held = self.permissions
        if permission in held or Permission.ADMIN in held or permission is Permission.OPEN:
            return True
        return permission is Permission.ANY and bool(held)

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

    def known(self, names: Iterable[str]) -> list[str]:
        """Those of these names that it may use."""
        return [name for name in names if self.knows(name)]

    def knows_worker(self, worker: Presence) -> bool:
        """Whether all that a worker takes from is what it may use."""
        queues = worker.queues
        return not self.only or (bool(queues) and all(self.knows(name) for name in queues))


EVERYBODY = Caller("everybody", frozenset({Permission.ADMIN}))
"""Who asks where no keys are asked for."""

NOBODY = Caller("nobody", frozenset())
"""Who asks without a key what is open to all."""

ASKING: ContextVar[Caller] = ContextVar("mainspring.caller", default=EVERYBODY)
"""Who makes the request that is being answered, for what is counted without a route's help."""


def caller_of(connection: HTTPConnection) -> Caller:
    """Who makes this request."""
    caller: Caller = connection.scope.get(CALLER, EVERYBODY)
    return caller
