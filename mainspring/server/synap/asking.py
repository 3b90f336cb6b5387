"""Asking: a command with what came with it, and what a table of commands is made of."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias, TypeGuard

from msgspec import Struct
from starlette.requests import Request

from mainspring.keys import Permission
from mainspring.server.permissions.callers import Caller
from mainspring.server.synap.refusals import forbidden, invalid, missing

MOST = 2**64


class Asked(Struct, frozen=True):
    """What somebody wants of a command. Fields that nobody reads are ignored, as in Synap."""

    payload: Mapping[str, Any]
    caller: Caller
    request_id: str
    request: Request

    def text(self, field: str) -> str:
        """A text that must be there."""
        value = self.payload.get(field)
        if not isinstance(value, str):
            raise missing(field)
        return value

    def text_or(self, field: str, otherwise: str) -> str:
        """A text that may be there."""
        value = self.payload.get(field)
        return value if isinstance(value, str) else otherwise

    def value(self, field: str) -> Any:
        """Any value that must be there, null among them."""
        if field not in self.payload:
            raise missing(field)
        return self.payload[field]

    def count(self, field: str) -> int | None:
        """A whole number from 0 that may be there."""
        value = self.whole(field)
        if value is not None and not 0 <= value < MOST:
            raise invalid(f"'{field}' must be a number from 0, got {value}")
        return value

    def whole(self, field: str) -> int | None:
        """A whole number that may be there."""
        value = self.payload.get(field)
        if value is not None and not is_whole(value):
            raise invalid(f"'{field}' must be a whole number, got {str(value)[:40]!r}")
        return value

    def texts(self, field: str) -> list[str]:
        """A list of texts that must be there."""
        value = self.value(field)
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise invalid(f"'{field}' must be an array of strings")
        return value

    def members(self, field: str) -> dict[str, str]:
        """The texts by their names in an object that may be there."""
        value = self.payload.get(field)
        if not isinstance(value, dict):
            return {}
        return {name: each for name, each in value.items() if isinstance(each, str)}

    def permit(self, name: str) -> None:
        """Refuse what would need a name that this caller may not use."""
        if not self.caller.knows(name):
            raise forbidden(f"expected a name that this key may use, got {name!r}")


Run: TypeAlias = Callable[[Asked], Any]
Wait: TypeAlias = Callable[[Asked], Awaitable[Any]]


class Command(Struct, frozen=True):
    """What is done for a command, and what a caller needs for it. `run` asks the store and is
    called on a thread; `wait` is for the event loop."""

    permission: Permission
    run: Run | None = None
    wait: Wait | None = None


Table: TypeAlias = Mapping[str, Command]


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a number without a fraction."""
    return isinstance(value, int) and not isinstance(value, bool)
