"""Trouble: what the answers of a server that are none mean, as the errors a store raises.

The errors are those of a list: nothing is looked up by a name that came over the wire.
"""

from uuid import UUID

import msgspec
from msgspec import Struct

from mainspring.engines.http.lines import Answer
from mainspring.errors import (
    ConfigError,
    IdConflict,
    InvalidArguments,
    InvalidState,
    KeyRefused,
    LeaseLost,
    MainspringError,
    NotInteger,
    PayloadTooLarge,
    QueueFull,
    ResultTooLarge,
    SchemaError,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
    UniqueBusy,
    UniqueTaken,
    UnknownDependency,
    UnknownJob,
    Unsupported,
    VersionConflict,
)

PROBLEM = "urn:mainspring:problem:"


class Problem(Struct):
    """A problem document, with the members that some errors have."""

    type: str = ""
    detail: str = ""
    holder: str = ""
    key: str = ""
    expected: int = 0
    found: int = 0
    queue: str = ""


_PLAIN: dict[str, type[MainspringError]] = {
    "config-error": ConfigError,
    "unsupported": Unsupported,
    "invalid-arguments": InvalidArguments,
    "payload-too-large": PayloadTooLarge,
    "result-too-large": ResultTooLarge,
    "content-too-large": PayloadTooLarge,
    "unknown-job": UnknownJob,
    "invalid-state": InvalidState,
    "id-conflict": IdConflict,
    "unknown-dependency": UnknownDependency,
    "not-integer": NotInteger,
    "lease-lost": LeaseLost,
    "schema-error": SchemaError,
    "store-damaged": StoreDamaged,
    "store-full": StoreFull,
    "unique-busy": UniqueBusy,
}

_BY_STATUS: dict[int, type[MainspringError]] = {
    401: KeyRefused,
    403: KeyRefused,
    404: SchemaError,
    405: SchemaError,
    408: StoreUnavailable,
    415: SchemaError,
    421: ConfigError,
    429: StoreUnavailable,
    502: StoreUnavailable,
    503: StoreUnavailable,
    504: StoreUnavailable,
    507: StoreFull,
}
"""What an answer means of which only the status tells: that of another server, or of a proxy."""

_decode = msgspec.json.Decoder(Problem).decode


def trouble(place: str, answer: Answer) -> MainspringError:
    """The error that an answer tells of."""
    try:
        problem = _decode(answer.body)
    except (ValueError, RecursionError):
        problem = Problem()
    words = problem.detail or f"{place}: expected a mainspring server, got status {answer.status}"
    kind = problem.type.removeprefix(PROBLEM)
    if kind == "unique-taken":
        return UniqueTaken(words, _id(problem.holder))
    if kind == "version-conflict":
        return VersionConflict(words, problem.key, problem.expected, problem.found)
    if kind == "queue-full":
        return QueueFull(words, problem.queue)
    if found := _PLAIN.get(kind):
        return found(words)
    if answer.status == 404:
        words = f"{place}: expected a mainspring server of this version, got none ({words})"
    by_status = _BY_STATUS.get(answer.status, MainspringError)
    return by_status(words if place in words else f"{place}: {words}")


def _id(text: str) -> bytes:
    try:
        return UUID(text).bytes
    except ValueError:
        return b""
