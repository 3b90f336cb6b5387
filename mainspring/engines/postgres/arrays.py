"""Parameters that hold many values: arrays in PostgreSQL's binary form, made in few calls.

The driver would write them value by value, which costs more than everything else an insert does.
"""

import struct
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from psycopg import ProgrammingError
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper, PyFormat
from psycopg.pq import Format

_INT8, _BYTEA, _TEXT = 20, 17, 25
_INT8_ARRAY, _BYTEA_ARRAY, _TEXT_ARRAY = 1016, 1001, 1009
_NULL = b"\xff\xff\xff\xff"
_length = struct.Struct("!i").pack


class Array:
    """Values that become one parameter."""

    __slots__ = ("values",)

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = values


class Bigints(Array):
    """A `bigint[]`."""


class Blobs(Array):
    """A `bytea[]`."""


class Texts(Array):
    """A `text[]`."""


def bigints(values: Iterable[int | None]) -> Bigints:
    """Numbers, true and false as 1 and 0, None as NULL."""
    return Bigints(list(values))


def blobs(values: Sequence[bytes | None]) -> Blobs:
    """Bytes, None as NULL."""
    return Blobs(values)


def texts(values: Iterable[str | None]) -> Texts:
    """Texts, None as NULL; see `plain` about the one letter that PostgreSQL does not take."""
    return Texts([None if value is None else plain(value) for value in values])


def plain(text: str) -> str:
    """The text without the letter NUL, which no text in PostgreSQL can hold."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in text else text


def bare(parameter: Any) -> Any:
    """The parameter for a driver that knows nothing of these."""
    return parameter.values if isinstance(parameter, Array) else parameter


def _encoded_numbers(values: Sequence[int | None]) -> bytes:
    try:
        raw = array("q", values)  # type: ignore[type-var]
    except TypeError:
        return _head(_INT8, len(values)) + b"".join(
            _NULL if value is None else b"\0\0\0\x08" + value.to_bytes(8, "big", signed=True)
            for value in values
        )
    raw.byteswap()
    data, count = raw.tobytes(), len(values)
    body = bytearray(12 * count)
    body[3::12] = b"\x08" * count
    for place in range(8):
        body[4 + place :: 12] = data[place::8]
    return _head(_INT8, count) + bytes(body)


def _joined(values: Sequence[bytes | None]) -> bytes:
    pieces: list[bytes] = []
    for value in values:
        if value is None:
            pieces.append(_NULL)
        else:
            pieces += (_length(len(value)), value)
    return b"".join(pieces)


def _head(oid: int, count: int) -> bytes:
    if count == 0:
        return struct.pack("!iii", 0, 0, oid)
    return struct.pack("!iiiii", 1, 1, oid, count, 1)


class _BigintsDumper(Dumper):
    format = Format.BINARY
    oid = _INT8_ARRAY

    def dump(self, obj: Bigints) -> bytes:
        return _encoded_numbers(obj.values)


class _BlobsDumper(Dumper):
    format = Format.BINARY
    oid = _BYTEA_ARRAY

    def dump(self, obj: Blobs) -> bytes:
        return _head(_BYTEA, len(obj.values)) + _joined(obj.values)


class _TextsDumper(Dumper):
    format = Format.BINARY
    oid = _TEXT_ARRAY

    def dump(self, obj: Texts) -> bytes:
        texts = [None if value is None else value.encode() for value in obj.values]
        return _head(_TEXT, len(texts)) + _joined(texts)


def register(context: AdaptContext) -> None:
    """Have a connection or cursor know these parameters, if it does not."""
    adapters = context.adapters
    with suppress(ProgrammingError):
        adapters.get_dumper(Bigints, PyFormat.BINARY)
        return
    adapters.register_dumper(Bigints, _BigintsDumper)
    adapters.register_dumper(Blobs, _BlobsDumper)
    adapters.register_dumper(Texts, _TextsDumper)
