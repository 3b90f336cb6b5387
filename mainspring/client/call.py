"""Call: one request to a server and how its answer is read, as values. Does no I/O."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote
from uuid import uuid4

import msgspec
from msgspec import Raw, Struct

from mainspring import codec
from mainspring.client.trouble import trouble
from mainspring.durations import SECOND, Duration, microseconds
from mainspring.errors import InvalidArguments, StoreUnavailable

R = TypeVar("R")
S = TypeVar("S", bound=Struct)


KEY = "Idempotency-Key"
"""The header by which the server knows a request that is sent again."""


class Answer(NamedTuple):
    """What came back. Names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Call(Generic[R]):
    """A request, and how its answer is read.

    `repeatable`: it may be sent again although it may have been carried out. `wait` is how many
    seconds the server may take on purpose. `absent` is what an answer of 404 means, where that is
    no error.
    """

    method: str
    path: str
    read: Callable[[Answer], R]
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    wait: float = 0.0
    absent: Callable[[], R] | None = None

    def result(self, answer: Answer) -> R:
        """What the answer says, or the error that it tells of."""
        if answer.status == 404 and self.absent is not None and b'"found":false' in answer.body:
            return self.absent()
        if answer.status >= 300:
            raise trouble(answer.status, answer.headers, answer.body)
        return self.read(answer)


def form(kind: type[S]) -> Callable[[Answer], S]:
    """Reads an answer into a struct; what a newer server says beside it is passed over."""
    decode = msgspec.json.Decoder(kind).decode

    def read(answer: Answer) -> S:
        try:
            return decode(answer.body)
        except (ValueError, RecursionError) as error:
            raise StoreUnavailable(
                f"expected the answer of a mainspring server, got what is none: {error}"
            ) from None

    return read


def place(*parts: str) -> str:
    """A path of these parts, whatever characters are in them."""
    return "".join(f"/{_quoted(part)}" for part in parts)


def _quoted(part: str) -> str:
    if not isinstance(part, str):
        raise InvalidArguments(f"expected text, got {part!r}")
    try:
        quoted = quote(part, safe=":")
    except UnicodeEncodeError:
        raise InvalidArguments(f"text with lone surrogates cannot be sent: {part!a}") from None
    # A client would take these for folders.
    return quoted.replace(".", "%2E") if quoted in (".", "..") else quoted


def body(**members: Any) -> bytes:
    """A JSON object of those members that are not None; values of users go in as `raw`."""
    given = {name: value for name, value in members.items() if value is not None}
    try:
        return msgspec.json.encode(given)
    except (TypeError, ValueError) as error:
        raise InvalidArguments(f"cannot be sent: {error}") from None


def raw(value: object, what: str) -> Raw:
    """A value as JSON; `InvalidArguments` if it cannot be."""
    if isinstance(value, bytes | bytearray | memoryview):
        raise InvalidArguments(f"{what}: expected a JSON value, got bytes")
    return Raw(codec.to_json(value, what))


def members(
    options: Mapping[str, Any], known: Any, readers: Mapping[str, Callable[[Any, str], Any]]
) -> dict[str, Any]:
    """Options as members of a request: those of the TypedDict `known`, in camelCase.
    `InvalidArguments` for any other."""
    names = known.__annotations__
    if unknown := [name for name in options if name not in names]:
        expected = ", ".join(names)
        raise InvalidArguments(f"unknown option {unknown[0]!r}; expected one of {expected}")
    return {
        _camel(name): readers[name](value, name) if name in readers else _plain(value)
        for name, value in options.items()
        if value is not None
    }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def milliseconds(duration: Duration, what: str) -> float:
    """A duration as the routes of tasks take it."""
    return microseconds(duration, what) / 1000


def seconds(duration: Duration | None, what: str) -> float | None:
    """A duration as all other routes take it."""
    return None if duration is None else microseconds(duration, what) / SECOND


def once() -> dict[str, str]:
    """The header of a request that counts once however often it is sent."""
    return {KEY: uuid4().hex}
