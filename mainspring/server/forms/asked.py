"""What was asked: bodies and query strings, read within limits into structs."""

import asyncio
from base64 import b64decode
from typing import Any, Generic, TypeVar, cast, get_origin

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.json import Decoder
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.types import Message

from mainspring.codec import misfit
from mainspring.errors import InvalidArguments
from mainspring.server.forms.problems import Problem

T = TypeVar("T")
Q = TypeVar("Q", bound=msgspec.Struct)

JSON = b"application/json"

LARGEST_BODY = 8_000_000
"""Bytes."""

SLOWEST_BODY = 30.0
LEAST_SENT = 30_000
"""Seconds in which a client has to send what is left of a body, or so many bytes of it."""

DEEPEST = 64
MOST_NESTED = 200_000
"""Levels of arrays and objects in a body, and how many of them there may be: each costs memory far
beyond its two bytes."""

_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


GIVEN = "mainspring.headers"
"""Where a scope holds its headers as a mapping."""


def header(request: HTTPConnection, name: bytes, otherwise: str = "") -> str:
    """A header, by its name in small letters; the last, if there are several."""
    value: bytes | None = request.scope[GIVEN].get(name)
    return otherwise if value is None else value.decode("latin-1")


async def body(request: Request, decoder: Decoder[T]) -> T:
    """The body of a request, which must be JSON of that form."""
    if request.scope[GIVEN].get(b"content-type") != JSON:
        _take_only(JSON.decode(), header(request, b"content-type"))
    if b"content-encoding" in request.scope[GIVEN]:
        _take_nothing_packed(header(request, b"content-encoding"))
    return _decoded(await _read(request, LARGEST_BODY), decoder)


async def bytes_of(request: Request, media_type: str, largest: int) -> bytes:
    """The body of a request, which must be of that type and size."""
    _take_only(media_type, header(request, b"content-type"))
    if b"content-encoding" in request.scope[GIVEN]:
        _take_nothing_packed(header(request, b"content-encoding"))
    return await _read(request, largest)


def _take_only(media_type: str, kind: str) -> None:
    if kind.partition(";")[0].strip().lower() != media_type:
        got = ascii(kind) if kind else "none"
        raise Problem(
            415, "unsupported-media-type", f"expected Content-Type: {media_type}, got {got}"
        )


def _take_nothing_packed(how: str) -> None:
    if how.lower() != "identity":
        detail = f"expected a body as it is, without Content-Encoding, got {how!a}"
        raise Problem(415, "unsupported-media-type", detail, {"Accept-Encoding": "identity"})


async def body_or(request: Request, decoder: Decoder[T], otherwise: T) -> T:
    """The same where a request may come without a body."""
    length = header(request, b"content-length", "0")
    if length == "0" and b"transfer-encoding" not in request.scope[GIVEN]:
        return otherwise
    return await body(request, decoder)


def value_of(value: Any, base64: str | UnsetType, what: str) -> Any:
    """The JSON value, or the bytes, of which one was given; `InvalidArguments`."""
    if (value is UNSET) == (base64 is UNSET):
        raise InvalidArguments(f"expected {what} or base64, one of them")
    if base64 is UNSET:
        return value
    try:
        return b64decode(base64, validate=True)
    except ValueError as error:
        raise InvalidArguments(f"base64: expected bytes in base64: {error}") from None


async def _read(request: Request, largest: int) -> bytes:
    declared = request.scope[GIVEN].get(b"content-length", b"0")
    if declared.isdigit() and (len(declared) > 18 or int(declared) > largest):
        raise _too_large(declared.decode(), largest)
    message = await request.receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        return cast(bytes, message.get("body", b""))
    data, more = _chunk(message)
    chunks, received = [data], len(data)
    try:
        while more:
            goal = received + LEAST_SENT
            async with asyncio.timeout(SLOWEST_BODY):
                while more and received < goal:
                    data, more = _chunk(await request.receive())
                    chunks.append(data)
                    received += len(data)
                    if received > largest:
                        raise _too_large(f"{received} or more", largest)
    except TimeoutError:
        detail = f"expected the body, or {LEAST_SENT:,} bytes more of it, in {SLOWEST_BODY:g} s"
        raise Problem(408, "request-timeout", detail, {"Connection": "close"}) from None
    return b"".join(chunks)


def _chunk(message: Message) -> tuple[bytes, bool]:
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message.get("body", b""), message.get("more_body", False)


def _too_large(got: str, largest: int) -> Problem:
    detail = f"expected at most {largest} bytes, got {got}"
    return Problem(413, "content-too-large", detail, {"Connection": "close"})


def _decoded(data: bytes, decoder: Decoder[T]) -> T:
    if refused := refusal(data):
        raise Problem(400, "invalid-json", refused)
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise Problem(422, "invalid-arguments", misfit(error)) from None
    except (ValueError, RecursionError) as error:
        raise Problem(400, "invalid-json", f"expected JSON: {misfit(error)}") from None


def refusal(data: bytes) -> str | None:
    """What is wrong with how arrays and objects nest, if anything. Pairs are taken off level by
    level, since that costs less than a look at each byte."""
    if data.count(b"[") + data.count(b"{") <= DEEPEST:
        return None
    outside_strings = data.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2]
    left = b"".join(outside_strings).translate(_BRACKETS, _NO_BRACKETS)
    if len(left) > 2 * MOST_NESTED:
        return f"expected at most {MOST_NESTED:,} arrays and objects"
    for _ in range(DEEPEST):
        left = left.replace(b"[]", b"")
        if not left:
            return None
    return f"expected closed brackets, in at most {DEEPEST} levels"


class Query(Generic[Q]):
    """Reads query strings; what may come more than once is a tuple in the struct."""

    def __init__(self, form: type[Q]) -> None:
        self._form = form
        fields = msgspec.structs.fields(form)
        self._many = {each.encode_name for each in fields if get_origin(each.type) is tuple}

    def read(self, request: HTTPConnection) -> Q:
        """What the query string says; a `Problem` if it does not fit."""
        given: dict[str, Any] = {}
        for name, value in request.query_params.multi_items():
            if name in self._many:
                given.setdefault(name, []).append(value)
            elif name in given:
                raise Problem(422, "invalid-arguments", f"{name}: expected one value, got more")
            else:
                given[name] = value
        try:
            return msgspec.convert(given, self._form, strict=False)
        except msgspec.ValidationError as error:
            raise Problem(422, "invalid-arguments", misfit(error)) from None
