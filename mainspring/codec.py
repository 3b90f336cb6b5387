"""Values to bytes and back: arguments, whole payloads, results. Knows no task, no store, no clock.

What is stored is JSON text, or raw bytes behind a zero byte (JSON never begins with one).
"""

import functools
import operator
import types
from collections.abc import Iterator
from datetime import datetime
from math import isfinite
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import Meta, inspect

from mainspring.errors import InvalidArguments, ResultTooLarge, TaskError

RAW = b"\x00"

_PLAIN = (type(None), bool, int, str, bytes)


def encode(value: object, what: str) -> bytes:
    """The value as it is stored; `InvalidArguments`, beginning with `what`, if it cannot be."""
    if isinstance(value, bytes | bytearray | memoryview):
        return RAW + bytes(value)
    return to_json(value, what)


def encode_result(value: object, what: str, most: int) -> bytes | None:
    """What a job resulted in, as it is stored: nothing for None.

    `InvalidArguments` if it cannot be, `ResultTooLarge` beyond `most` bytes.
    """
    if value is None:
        return None
    data = encode(value, what)
    if len(data) > most:
        raise ResultTooLarge(
            f"{what}: expected at most {most:,} bytes, got {len(data):,}; keep it elsewhere and"
            " return where it is, or give the app a larger max_result"
        )
    return data


def decode(data: bytes) -> Any:
    """The stored value as plain JSON values or bytes, without any type in mind."""
    return data[1:] if data[:1] == RAW else _decode(data)


def decode_headers(data: bytes | None) -> dict[str, str]:
    """A job's headers as they come with a claim: a msgpack map, or nothing."""
    return {} if data is None else _decode_headers(data)


def to_json(value: object, what: str) -> bytes:
    """The value as JSON text. NaN, infinity, lone surrogates and foreign classes are refused."""
    try:
        data = _encode(value)
        if b"null" in data:
            _refuse_nan(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArguments(f"{what}: {_lowered(error)}") from None
    return data


def canonical(value: object) -> str:
    """JSON text that is the same for equal values: members of objects and sets are sorted."""
    return _encode_sorted(value).decode()


class Shape:
    """What values of one annotation look like when stored. `TaskError` if that cannot be."""

    __slots__ = ("_read", "_takes_bytes", "_takes_naive", "hint")

    def __init__(self, hint: Any, what: str) -> None:
        self.hint = strict(hint)
        try:
            root = inspect.type_info(self.hint)
            kinds = list(_kinds(root))
            self._read = msgspec.json.Decoder(self.hint, dec_hook=_from_builtins).decode
        except TypeError as error:
            raise TaskError(f"{what}: {_lowered(error)}") from None
        for kind in kinds:
            if isinstance(kind, inspect.CustomType) and not _is_welcome(kind.cls):
                raise TaskError(
                    f"{what}: an object of type {kind.cls.__qualname__} cannot be stored as JSON;"
                    " expected JSON types, dataclasses, TypedDicts, msgspec Structs, pydantic"
                    " models, datetime, UUID, Decimal, Enum or bytes"
                )
        self._takes_bytes = _is_bytes(root)
        self._takes_naive = any(isinstance(k, inspect.DateTimeType) and not k.tz for k in kinds)

    def decode(self, data: bytes, what: str) -> Any:
        """The stored value again; `InvalidArguments` if it does not fit the annotation."""
        if data[:1] == RAW:
            if not self._takes_bytes:
                raise InvalidArguments(f"{what}: expected JSON, got {len(data) - 1} raw bytes")
            return data[1:]
        try:
            value = self._read(data)
            if self._takes_naive:
                _refuse_naive(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidArguments(f"{what}: {misfit(error)}") from None
        return value


def misfit(error: Exception) -> str:
    """What a decoder complains about, with the place first: "user.age: expected `int`, ..."."""
    text, _, place = str(error).partition(" - at `")
    if not text[:2].isupper():  # such as JSON
        text = text[:1].lower() + text[1:]
    place = place.rstrip("`").removeprefix("$").removeprefix(".")
    return f"{place}: {text}" if place else text


def strict(hint: Any) -> Any:
    """The annotation with what msgspec would pass over silently made binding.

    Datetimes must be aware, constraints of pydantic and annotated_types count, `object` is Any.
    """
    if hint is datetime:
        return Annotated[datetime, Meta(tz=True)]
    if hint is object:
        return Any
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _annotated(strict(parts[0]), parts[1:])
    if not parts or not any(isinstance(part, type) or get_origin(part) for part in parts):
        return hint
    tight = tuple(strict(part) if part is not ... else part for part in parts)
    if tight == parts:
        return hint
    if origin in (Union, types.UnionType):
        return functools.reduce(operator.or_, tight)
    return hint.copy_with(tight) if hasattr(hint, "copy_with") else origin[tight]


def _annotated(base: Any, notes: tuple[Any, ...]) -> Any:
    metas = [note for note in notes if isinstance(note, Meta)]
    bounds = _bounds([note for note in notes if not isinstance(note, Meta)])
    for meta in (*metas, *([Meta(**bounds)] if bounds else [])):
        base = Annotated[base, meta]
    return base


_BOUNDS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")


def _bounds(notes: list[Any]) -> dict[str, Any]:
    """Constraints by their usual names: on the note itself, or listed in its `metadata`."""
    found: dict[str, Any] = {}
    for note in notes:
        found |= _bounds(list(getattr(note, "metadata", ())))
        for name in _BOUNDS:
            value = getattr(note, name, None)
            if value is not None:
                found[name] = value
    return found


def _kinds(root: inspect.Type) -> Iterator[inspect.Type]:
    """Every type within a type, recursive ones once."""
    seen: set[int] = set()
    todo: list[Any] = [root]
    while todo:
        kind = todo.pop()
        if isinstance(kind, tuple):
            todo.extend(kind)
        elif isinstance(kind, inspect.Field):
            todo.append(kind.type)
        elif isinstance(kind, inspect.Type) and id(kind) not in seen:
            seen.add(id(kind))
            yield kind
            todo.extend(getattr(kind, name) for name in kind.__struct_fields__)


def _is_bytes(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.Metadata):
        return _is_bytes(kind.type)
    if isinstance(kind, inspect.UnionType):
        return any(map(_is_bytes, kind.types))
    return isinstance(kind, inspect.BytesType | inspect.ByteArrayType | inspect.AnyType)


def _is_welcome(kind: type) -> bool:
    return kind is object or hasattr(kind, "model_validate_json")


def _to_builtins(value: Any) -> Any:
    """Called by msgspec for what it does not know: pydantic models are known by their methods."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True)
    kind = type(value).__qualname__
    raise TypeError(f"an object of type {kind} cannot be stored as JSON")


def _from_builtins(kind: type[Any], value: Any) -> Any:
    if kind is object:
        return value
    try:
        return kind.model_validate_json(_encode(value))
    except ValueError as error:
        details = getattr(error, "errors", None)
        if details is None:
            raise
        told = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in details())
        raise ValueError("; ".join(told)) from None


def _refuse_nan(value: object) -> None:
    """msgspec writes NaN and infinity as null, so a null may be one of them."""
    if isinstance(value, _PLAIN):
        return
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"{value!r} cannot be stored as JSON")
    elif isinstance(value, dict):
        for member in value.items():
            _refuse_nan(member)
    elif isinstance(value, list | tuple | set | frozenset):
        for member in value:
            _refuse_nan(member)
    else:
        _refuse_nan(msgspec.to_builtins(value, enc_hook=_to_builtins))


def _refuse_naive(value: object) -> None:
    """msgspec can ask for aware datetimes in annotations, but not inside other people's classes."""
    todo = [msgspec.to_builtins(value, enc_hook=_to_builtins, builtin_types=(datetime,))]
    while todo:
        each = todo.pop()
        if isinstance(each, dict):
            todo.extend(each.values())
        elif isinstance(each, list):
            todo.extend(each)
        elif isinstance(each, datetime) and each.utcoffset() is None:
            raise ValueError(
                f"expected an aware datetime, got the naive {each.isoformat()};"
                " add tzinfo, for example datetime.now(UTC)"
            )


def _lowered(error: Exception) -> str:
    if isinstance(error, UnicodeEncodeError):
        return f"text with lone surrogates cannot be stored: {error.object[:40]!a}"
    if isinstance(error, RecursionError):
        return "nested too deeply, or in a circle"
    text = str(error)
    return text[:1].lower() + text[1:]


_encode = msgspec.json.Encoder(enc_hook=_to_builtins).encode
_encode_sorted = msgspec.json.Encoder(enc_hook=_to_builtins, order="deterministic").encode
_decode = msgspec.json.Decoder().decode
_decode_headers = msgspec.msgpack.Decoder(dict[str, str]).decode
