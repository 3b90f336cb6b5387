"""Trouble: errors on their way from a server, as problem documents (RFC 9457) name them.

An error goes by the name of its class, in another spelling, and by nothing else that comes over
the wire: whoever reads one chooses among the errors of this library.
"""

import re
from collections.abc import Mapping
from uuid import UUID

import msgspec
from msgspec import Struct, field

from mainspring import errors
from mainspring.errors import (
    ConfigError,
    KeyRefused,
    MainspringError,
    QueueFull,
    StoreFull,
    StoreUnavailable,
    UniqueTaken,
    VersionConflict,
)

URN = "urn:mainspring:problem:"

BY_STATUS: Mapping[int, type[MainspringError]] = {
    401: KeyRefused,
    403: KeyRefused,
    408: StoreUnavailable,
    421: ConfigError,
    429: StoreUnavailable,
    502: StoreUnavailable,
    503: StoreUnavailable,
    504: StoreUnavailable,
    507: StoreFull,
}
"""What an answer means of which only the status tells, such as that of a proxy."""


def name_of(error: type[MainspringError]) -> str:
    """How problem documents call it: `UnknownJob` is "unknown-job"."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", error.__name__).lower()


_NAMED: Mapping[str, type[MainspringError]] = {
    **{
        name_of(each): each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, MainspringError)
    },
    "content-too-large": errors.PayloadTooLarge,
    "idempotency-key-reused": errors.IdConflict,
    "unfinished-task": errors.InvalidState,
    # What the server has to open anew, and what it alone knows the rest of.
    "store-gone": StoreUnavailable,
    "partly-unavailable": StoreUnavailable,
}


class Told(Struct):
    """A problem document, with the members that some errors have. All empty: there was none."""

    kind: str = field(default="", name="type")
    detail: str = ""
    holder: str = ""
    key: str = ""
    expected: int = 0
    found: int | bool = 0
    queue: str = ""

    def error(self, words: str, by_status: type[MainspringError]) -> MainspringError:
        """The error that is named, or else that one, with those words."""
        error = _NAMED.get(self.kind.removeprefix(URN), by_status)
        if error is UniqueTaken:
            return UniqueTaken(words, _id(self.holder))
        if error is VersionConflict:
            return VersionConflict(words, self.key, self.expected, int(self.found))
        if error is QueueFull:
            return QueueFull(words, self.queue)
        return error(words)

    @property
    def named(self) -> bool:
        """Whether it names an error."""
        return self.kind.removeprefix(URN) in _NAMED


_decode = msgspec.json.Decoder(Told).decode


def told(body: bytes) -> Told:
    """What the body of an answer tells of."""
    try:
        return _decode(body)
    except (ValueError, RecursionError):
        return Told()


def _id(text: str) -> bytes:
    try:
        return UUID(text).bytes
    except ValueError:
        return b""
