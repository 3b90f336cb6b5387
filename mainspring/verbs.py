"""Verbs: how a store's verbs cross a wire, in msgpack: arguments and answers, made of the contract.

What `mainspring.store` says a verb takes and gives is what is sent: there is no second list of
forms to keep in step. Arguments go by their place, so that a later one may be left out.
"""

import inspect
from typing import Any, Final, get_type_hints

import msgspec
from msgspec import Struct

from mainspring.job import Inserted, NewJob, Transition
from mainspring.store import News, Store

PROTOCOL: Final = 1
"""Raised when one side could no longer understand the other; new verbs, and new arguments and
fields at the end, do not need that."""

MEDIA_TYPE = "application/msgpack"

LARGEST_CALL = 64_000_000
"""Bytes of the arguments of one call."""

MOST_LISTED = 1000
"""What one answer lists at most; it may also end where what it lists is too large."""

CUT = 206
"""The status of an answer that ends before its time: the rest is asked for behind its last."""

MOST_NAMED = 100
"""What one call may name to be read: each may be as large as a payload and its result."""

SIGNS = {News.WORK: b"w", News.ENDS: b"e", News.POSTS: b"p"}
STILL = b"."
"""What a stream of hints is made of: there are such news; there are none, but the line stands."""


class Greeting(Struct, frozen=True, kw_only=True):
    """What a server tells of itself."""

    protocol: int
    version: str


class Verb(Struct, frozen=True):
    """One verb: its name, what it takes (`positional` by place, the rest by name) and gives, and
    what it gives where of several stores that are one some do not answer."""

    name: str
    positional: tuple[str, ...]
    arguments: msgspec.msgpack.Decoder[Any]
    answer: msgspec.msgpack.Decoder[Any]
    partly: msgspec.msgpack.Decoder[Any]
    about: str


class Partly(Struct, frozen=True, array_like=True):
    """A `PartlyUnavailable` on its way."""

    message: str
    answer: Any
    missed: Any


AT_HOME = ("open", "close", "listen", "transaction")
"""Verbs that do not cross: what they give is of one process."""

_ANSWERED: dict[str, Any] = {"insert": list[Inserted | None]}
_MISSED: dict[str, Any] = {"insert": NewJob, "exchange": Transition}
"""What a `PartlyUnavailable` has that is not as in an answer, or not plain."""


def _verb(name: str) -> Verb:
    function = getattr(Store, name)
    hints = get_type_hints(function)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    fields: list[Any] = [
        (each.name, hints[each.name])
        if each.default is each.empty
        else (each.name, hints[each.name], each.default)
        for each in parameters
        if each.name != "connection"
    ]
    answer: Any = hints["return"]
    missed: Any = _MISSED.get(name, Any)
    partly: list[tuple[str, Any]] = [
        ("message", str),
        ("answer", _ANSWERED.get(name, answer)),
        ("missed", list[missed]),
    ]
    return Verb(
        name,
        tuple(each.name for each in parameters if each.kind is not each.KEYWORD_ONLY),
        msgspec.msgpack.Decoder(msgspec.defstruct(name, fields, frozen=True, array_like=True)),
        msgspec.msgpack.Decoder(answer),
        msgspec.msgpack.Decoder(msgspec.defstruct(f"partly_{name}", partly, array_like=True)),
        inspect.getdoc(function) or "",
    )


VERBS = {
    name: _verb(name)
    for name, _ in inspect.getmembers(Store, inspect.isfunction)
    if not name.startswith("_") and name not in AT_HOME
}

encode = msgspec.msgpack.Encoder().encode
