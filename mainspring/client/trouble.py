"""Trouble: what the answers of a server that are none mean, as the errors of this library."""

import re
from collections.abc import Mapping
from uuid import UUID

import msgspec
from msgspec import Struct

from mainspring import errors
from mainspring.errors import (
    ConfigError,
    KeyRefused,
    MainspringError,
    StoreFull,
    StoreUnavailable,
    UniqueTaken,
    VersionConflict,
)

PROBLEM = "urn:mainspring:problem:"

OTHERS: Mapping[str, type[MainspringError]] = {
    "content-too-large": errors.PayloadTooLarge,
    "idempotency-key-reused": errors.IdConflict,
    "unfinished-task": errors.InvalidState,
}
"""Problems that go by another name than an error does."""

BY_STATUS: Mapping[int, type[MainspringError]] = {
    401: KeyRefused,
    403: KeyRefused,
    408: StoreUnavailable,
    421: ConfigError,
    429: StoreUnavailable,
    500: StoreUnavailable,
    502: StoreUnavailable,
    503: StoreUnavailable,
    504: StoreUnavailable,
    507: StoreFull,
}
"""What an answer means of which only the status tells, such as that of a proxy."""


class Problem(Struct):
    """A problem document, with the members that some errors have."""

    type: str = ""
    detail: str = ""
    holder: str = ""
    key: str = ""
    expected: int = 0
    found: int | bool = 0


def _named() -> dict[str, type[MainspringError]]:
    """Every error by the name of its problem: `UnknownJob` is "unknown-job"."""
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    return {
        re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower(): kind
        for kind in kinds
        if issubclass(kind, MainspringError)
    }


NAMED = {**_named(), **OTHERS}

_decode = msgspec.json.Decoder(Problem).decode


def trouble(status: int, headers: Mapping[str, str], body: bytes) -> MainspringError:
    """The error that an answer tells of."""
    try:
        problem = _decode(body)
    except (ValueError, RecursionError):
        problem = Problem()
    words = problem.detail or f"expected a mainspring server, got an answer of status {status}"
    if status in (429, 503) and (after := headers.get("retry-after")):
        words += f"; it may be tried again in {after} s"
    name = problem.type.removeprefix(PROBLEM)
    if name == "unique-taken":
        return UniqueTaken(words, _id(problem.holder))
    if name == "version-conflict":
        return VersionConflict(words, problem.key, problem.expected, int(problem.found))
    return NAMED.get(name, BY_STATUS.get(status, MainspringError))(words)


def _id(text: str) -> bytes:
    try:
        return UUID(text).bytes
    except ValueError:
        return b""
