"""Arguments: binds calls of one function to an object of named arguments, and back.

Two generated Structs do the work, because `Signature.bind` would cost thirty times as much.
"""

import copy
import functools
import inspect
import sys
import types
from collections.abc import Callable, Mapping
from enum import Enum
from inspect import Parameter
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import astuple

from mainspring import codec
from mainspring.context import Context
from mainspring.errors import InvalidArguments, TaskError
from mainspring.options import Options

EMPTY = b"{}"


class Arguments:
    """The parameters of one function, their types resolved.

    A parameter annotated `Context` is filled in when the function is called; those behind it are
    given by name. `TaskError` if a parameter's type cannot be stored.
    """

    def __init__(self, name: str, place: str, function: Callable[..., Any]) -> None:
        self.name = name
        signature = inspect.signature(function)
        hints = resolved(function, signature, place)
        self.context = next((each for each in hints if _is_context(hints[each])), None)
        self.parameters = [p for p in signature.parameters.values() if p.name != self.context]
        self._check_context(signature, place)
        positional = self._positional(signature)
        self._split = len(positional)
        named = [p for p in self.parameters if p not in positional]
        self._names = tuple(p.name for p in named)
        first = msgspec.defstruct("Arguments", [_field(p, hints, place) for p in positional])
        self._struct: Callable[..., msgspec.Struct] = msgspec.defstruct(
            "Arguments",
            [_field(p, hints, place) for p in named],
            bases=(first,),
            kw_only=True,
            forbid_unknown_fields=True,
        )
        self._shape = codec.Shape(self._struct, place)

    def pack(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, msgspec.Struct]:
        """The payload of a call, and the arguments as the function will see them."""
        try:
            given = self._struct(*args, **kwargs)
        except TypeError as error:
            raise InvalidArguments(f"{self}: {self._mistake(error, kwargs)}") from None
        payload = codec.to_json(given, self.name)
        return payload, self._shape.decode(payload, self.name)

    def unpack(self, payload: bytes) -> Any:
        """The arguments in a payload; `InvalidArguments` if they do not fit."""
        return self._shape.decode(EMPTY if payload == b"null" else payload, self.name)

    def pack_object(self, payload: object) -> tuple[bytes, msgspec.Struct]:
        """The payload of an object of named arguments, defaults filled in."""
        if payload is None:
            payload = {}
        if not isinstance(payload, Mapping):
            kind = type(payload).__qualname__
            raise InvalidArguments(f"{self}: expected an object of named arguments, got {kind}")
        given = self.unpack(codec.to_json(payload, self.name))
        return codec.to_json(given, self.name), given

    def call(self, function: Callable[..., Any], given: msgspec.Struct, context: object) -> Any:
        """Call the function with these arguments."""
        values = astuple(given)
        if not self._names and self.context is None:
            return function(*values)
        named = dict(zip(self._names, values[self._split :], strict=True))
        if self.context is not None:
            named[self.context] = context
        return function(*values[: self._split], **named)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(_told, self.parameters))})"

    def _mistake(self, error: TypeError, kwargs: dict[str, Any]) -> str:
        if self.context in kwargs:
            return f"{self.context} is filled in by the worker"
        text = str(error)
        own = {parameter.name for parameter in self.parameters}
        options = [each for each in kwargs if each in Options.__annotations__ and each not in own]
        hint = f"; options of the job go into .using({options[0]}=...)" if options else ""
        return text[:1].lower() + text[1:] + hint

    def _positional(self, signature: inspect.Signature) -> list[Parameter]:
        found = []
        for parameter in signature.parameters.values():
            if parameter.name == self.context or parameter.kind is Parameter.KEYWORD_ONLY:
                break
            found.append(parameter)
        return found

    def _check_context(self, signature: inspect.Signature, place: str) -> None:
        if self.context is None:
            return
        behind = list(signature.parameters.values())
        behind = behind[[p.name for p in behind].index(self.context) :]
        if only := [p.name for p in behind if p.kind is Parameter.POSITIONAL_ONLY]:
            raise TaskError(f"{place}: {only[0]!r} must be allowed by name; move the / before it")


def signature_of(function: Callable[..., Any], place: str) -> inspect.Signature:
    """The signature, if a payload of named arguments can carry it; otherwise `TaskError`."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        raise TaskError(f"{place}: Python knows no signature of {function!r}") from None
    for at, (name, parameter) in enumerate(signature.parameters.items()):
        if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            raise TaskError(
                f"{place}: {parameter} has no names to be stored under; take a list or a dict"
                " instead (or, if this is a wrapper, give it functools.wraps)"
            )
        if at == 0 and name in ("self", "cls"):
            raise TaskError(
                f"{place}: is a method, and a job cannot carry its {name!r}; use @staticmethod"
            )
        if name.startswith("__"):
            raise TaskError(f"{place}: the parameter {name!r} must not begin with two underscores")
    return signature


def resolved(
    function: Callable[..., Any], signature: inspect.Signature, place: str
) -> dict[str, Any]:
    """The annotations of all parameters, evaluated; `TaskError` names the one that cannot be."""
    return {
        name: evaluated(function, parameter.annotation, f"{place}: parameter {name!r}")
        for name, parameter in signature.parameters.items()
    }


def evaluated(function: Callable[..., Any], annotation: Any, what: str) -> Any:
    """One annotation as a type, Any if there is none."""
    if annotation is Parameter.empty:
        return Any
    shim = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return get_type_hints(shim, _globals(function), include_extras=True)["it"]
    except Exception as error:  # an annotation is code, it may raise anything
        raise TaskError(
            f"{what}: cannot evaluate the annotation {annotation!r} ({error});"
            " it must be importable at run time, at the top level of a module"
        ) from None


def _globals(function: Any) -> dict[str, Any]:
    function = inspect.unwrap(function)
    while isinstance(function, functools.partial):
        function = inspect.unwrap(function.func)
    function = getattr(function, "__func__", function)
    if not hasattr(function, "__globals__"):
        function = getattr(type(function).__call__, "__wrapped__", type(function).__call__)
    return getattr(function, "__globals__", vars(sys.modules["builtins"]))


def _is_context(hint: Any) -> bool:
    if get_origin(hint) in (Union, types.UnionType):
        return Context in get_args(hint)
    return hint is Context


_CONSTANT = (type(None), bool, int, float, str, bytes, Enum)


def _field(parameter: Parameter, hints: dict[str, Any], place: str) -> Any:
    name, hint, default = parameter.name, hints[parameter.name], parameter.default
    what = f"{place}: parameter {name!r}"
    if default is None and hint is not Any:
        hint = hint | None
    shape = codec.Shape(hint, what)
    if default is Parameter.empty:
        return name, shape.hint
    try:
        shape.decode(codec.to_json(default, "default"), "default")
    except InvalidArguments as error:
        raise TaskError(f"{what}: {error}") from None
    if isinstance(default, _CONSTANT):
        return name, shape.hint, default
    fresh = functools.partial(copy.deepcopy, default)
    return name, shape.hint, msgspec.field(default_factory=fresh)


def _told(parameter: Parameter) -> str:
    return parameter.name if parameter.default is Parameter.empty else f"{parameter.name}=..."
