"""Forms: how calls of a function, items of a batch and payloads of a handler become bytes.

Types are looked at when the first job is made or run, so that modules may refer to each other.
"""

import contextlib
import functools
import importlib
import inspect
import types
from collections.abc import Callable, Sequence
from inspect import Parameter
from typing import Annotated, Any, Literal, Protocol, TypeAlias, Union, get_args, get_origin

from mainspring import codec
from mainspring.arguments import Arguments, evaluated, signature_of
from mainspring.context import Context
from mainspring.errors import ConfigError, InvalidArguments, TaskError

Colour = Literal["thread", "async"]
Packed: TypeAlias = tuple[bytes, Any]
"""A payload, and the values in it as the function will see them."""


class Form(Protocol):
    """One way to carry arguments. `place` says in messages where the task was declared."""

    place: str

    @property
    def function(self) -> Callable[..., Any]:
        """What is called; a handler given by its place is imported by asking."""
        ...

    @property
    def colour(self) -> Colour:
        """Where the function runs by its nature."""
        ...

    def resolve(self) -> None:
        """Look at all types now; `TaskError` if one cannot be stored."""
        ...

    def pack(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Packed:
        """A call as a payload; `InvalidArguments`."""
        ...

    def pack_object(self, payload: object) -> Packed:
        """The same from one object, as programs give it that only know the task's name."""
        ...

    def unpack(self, payload: bytes) -> Any:
        """What a stored payload holds; `InvalidArguments` if it does not fit."""
        ...

    def call(self, payload: bytes, context: Context) -> Any:
        """Call the function; `InvalidArguments` if the payload does not fit."""
        ...

    def decode_result(self, data: bytes) -> Any:
        """What the function had returned."""
        ...


class FunctionForm:
    """A payload of named arguments."""

    def __init__(self, name: str, place: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.place = place
        self.function = function
        self.signature = signature_of(function, place)
        self.colour = colour(function)

    @functools.cached_property
    def arguments(self) -> Arguments:
        """The parameters, their types looked at."""
        return Arguments(self.name, self.place, self.function)

    @functools.cached_property
    def _result(self) -> codec.Shape:
        what = f"{self.place}: return type"
        return _result_shape(evaluated(self.function, self.signature.return_annotation, what), what)

    def resolve(self) -> None:
        _ = self.arguments, self._result

    def pack(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Packed:
        return self.arguments.pack(args, kwargs)

    def pack_object(self, payload: object) -> Packed:
        return self.arguments.pack_object(payload)

    def unpack(self, payload: bytes) -> Any:
        return _stored(payload, self.arguments.unpack)

    def call(self, payload: bytes, context: Context) -> Any:
        arguments = self.arguments
        return arguments.call(self.function, _stored(payload, arguments.unpack), context)

    def decode_result(self, data: bytes) -> Any:
        return self._result.decode(data, f"result of {self.name}")


class BatchForm:
    """A payload that is one item of the list a batch function takes."""

    def __init__(self, name: str, place: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.place = place
        self.function = function
        self.signature = signature_of(function, place)
        self.colour = colour(function)
        if self.colour == "async":
            raise TaskError(f"{place}: a batch function must be a plain def")
        if len(self.signature.parameters) != 1:
            raise TaskError(
                f"{place}: a batch function takes one list, got parameters {self.signature}"
            )
        with contextlib.suppress(_NotYet):
            self._list()

    @functools.cached_property
    def _item(self) -> codec.Shape:
        hint, what = self._list()
        return codec.Shape(_member(hint), what)

    def _list(self) -> tuple[Any, str]:
        """What the one parameter is annotated as, and what to call it in messages."""
        [parameter] = self.signature.parameters.values()
        what = f"{self.place}: parameter {parameter.name!r}"
        try:
            hint = evaluated(self.function, parameter.annotation, what)
        except TaskError as error:
            raise _NotYet(str(error)) from None
        if not _takes_list(hint):
            raise TaskError(f"{what}: a batch function takes a list, such as list[int], got {hint}")
        return hint, what

    @functools.cached_property
    def _result(self) -> codec.Shape:
        what = f"{self.place}: return type"
        hint = _member(evaluated(self.function, self.signature.return_annotation, what))
        kept = [part for part in get_args(hint) or (hint,) if not _is_exception(part)]
        if len(kept) < len(get_args(hint)):
            hint = functools.reduce(lambda a, b: a | b, kept)
        return _result_shape(hint, what)

    def resolve(self) -> None:
        _ = self._item, self._result

    def pack(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Packed:
        if len(args) != 1 or kwargs:
            raise InvalidArguments(f"{self.name}: expected one item, got {len(args)} and {kwargs}")
        return self.pack_object(args[0])

    def pack_object(self, payload: object) -> Packed:
        data = codec.encode(payload, self.name)
        return data, self._item.decode(data, self.name)

    def unpack(self, payload: bytes) -> Any:
        return _stored(payload, self._item.decode, self.name)

    def call(self, payload: bytes, context: Context) -> Any:
        [outcome] = self.call_many([self.unpack(payload)])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def call_many(self, items: Sequence[Any]) -> list[Any]:
        """Call the function with many items; one outcome per item, an exception if it failed."""
        outcomes = self.function(list(items))
        if outcomes is None:
            return [None] * len(items)
        if not isinstance(outcomes, list | tuple) or len(outcomes) != len(items):
            got = f"{len(outcomes)}" if isinstance(outcomes, list | tuple) else repr(outcomes)
            raise TaskError(f"{self.place}: expected {len(items)} outcomes or None, got {got}")
        return list(outcomes)

    def decode_result(self, data: bytes) -> Any:
        return self._result.decode(data, f"result of {self.name}")


class HandlerForm:
    """A payload taken whole, by a function or `execute`: (payload) or (payload, context)."""

    def __init__(self, name: str, handler: Any) -> None:
        self.name = name
        self.place = f"handler {name!r}"
        self._handler = handler
        if isinstance(handler, str):
            module, _, path = handler.partition(":")
            if not module or not path:
                raise TaskError(f'{self.place}: expected "module:attribute", got {handler!r}')
        else:
            _ = self.function, self._takes_context

    @functools.cached_property
    def function(self) -> Callable[..., Any]:
        """The function itself; imported now if the handler was given by its place."""
        found = self._handler
        if isinstance(found, str):
            found = imported(found, self.place)
        if isinstance(found, types.ModuleType) or not callable(found):
            found = getattr(found, "execute", None)
        if isinstance(found, type):
            raise TaskError(f"{self.place}: is a class; give an object, {found.__name__}()")
        if not callable(found):
            raise TaskError(
                f"{self.place}: expected a function or something with execute, got {found!r}"
            )
        function: Callable[..., Any] = found
        return function

    @functools.cached_property
    def _takes_context(self) -> bool:
        """Whether the second argument is asked for, and not just some option with a default."""
        parameters = list(inspect.signature(self.function).parameters.values())
        many = any(p.kind is Parameter.VAR_POSITIONAL for p in parameters)
        places = [p for p in parameters if p.kind in _POSITIONAL]
        needed = [p for p in places if p.default is Parameter.empty]
        forced = [
            p for p in parameters if p.kind is Parameter.KEYWORD_ONLY and p.default is p.empty
        ]
        if forced or len(needed) > 2 or not (places or many):
            told = ", ".join(map(str, parameters))
            raise TaskError(f"{self.place}: expected (payload) or (payload, context), got ({told})")
        if len(places) < 2:
            return many
        return len(needed) == 2 or places[1].name == "context"

    @functools.cached_property
    def _payload(self) -> codec.Shape:
        parameters = list(inspect.signature(self.function).parameters.values())
        what = f"{self.place}: parameter {parameters[0].name!r}"
        if parameters[0].kind is Parameter.VAR_POSITIONAL:
            return codec.Shape(Any, what)
        return codec.Shape(evaluated(self.function, parameters[0].annotation, what), what)

    @functools.cached_property
    def _result(self) -> codec.Shape:
        what = f"{self.place}: return type"
        annotation = inspect.signature(self.function).return_annotation
        return _result_shape(evaluated(self.function, annotation, what), what)

    @property
    def colour(self) -> Colour:
        return colour(self.function)

    def resolve(self) -> None:
        _ = self._takes_context, self._payload, self._result

    def pack(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Packed:
        if len(args) != 1 or kwargs:
            raise InvalidArguments(f"{self.name}: expected one payload, got {args} and {kwargs}")
        return self.pack_object(args[0])

    def pack_object(self, payload: object) -> Packed:
        data = codec.encode(payload, self.name)
        if isinstance(self._handler, str) and "function" not in vars(self):
            # A program that only enqueues need not have what the handler needs to be imported.
            return data, codec.decode(data)
        return data, self._payload.decode(data, self.name)

    def unpack(self, payload: bytes) -> Any:
        return _stored(payload, self._payload.decode, self.name)

    def call(self, payload: bytes, context: Context) -> Any:
        value = self.unpack(payload)
        return self.function(value, context) if self._takes_context else self.function(value)

    def decode_result(self, data: bytes) -> Any:
        return self._result.decode(data, f"result of {self.name}")


def _stored(payload: bytes, read: Callable[..., Any], *more: str) -> Any:
    """What the store gave, read; what does not fit now is told apart from the function's errors."""
    try:
        return read(payload, *more)
    except InvalidArguments as error:
        error.permanent = True
        raise


_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def colour(function: Any) -> Colour:
    """Whether calling it gives a coroutine, as far as that can be seen from outside."""
    called = getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)
    return "async" if is_async else "thread"


def check_runs_in(form: Form, wish: str | None) -> None:
    """`TaskError` if the function of this form cannot run where the policy says.

    "async" may be said of a plain function that is a wrapper around a coroutine function.
    """
    if isinstance(form, BatchForm):
        if wish not in (None, "thread"):
            raise TaskError(
                f"{form.place}: runs_in={wish!r}: a batch function runs on a thread of its own;"
                " leave runs_in away, or declare a task that takes one item"
            )
    elif wish == "async" and form.colour != "async" and not _wraps_coroutine(form.function):
        raise TaskError(
            f'{form.place}: runs_in="async": a plain def would stop all others on the event'
            ' loop; make it an async def, or say "thread" or "process"'
        )


def _wraps_coroutine(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(inspect.unwrap(function))


def imported(path: str, place: str) -> Any:
    """What "module:attribute" names; `ConfigError` if it cannot be had."""
    module, _, attributes = path.partition(":")
    try:
        return functools.reduce(getattr, attributes.split("."), importlib.import_module(module))
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{place}: cannot import {path!r}: {error}") from error


class _NotYet(TaskError):
    """An annotation cannot be evaluated; it may name what stands further down in its module."""


def _takes_list(hint: Any) -> bool:
    """Whether a list is what a parameter annotated like this wants."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _takes_list(parts[0])
    if origin in (Union, types.UnionType):
        return any(map(_takes_list, parts))
    kind = origin or hint
    return kind is Any or not isinstance(kind, type) or issubclass(list, kind)


def _member(hint: Any) -> Any:
    """What a list annotated like this holds."""
    origin, parts = get_origin(hint), get_args(hint)
    if isinstance(origin, type) and issubclass(origin, Sequence) and parts:
        return parts[0]
    return Any


def _is_exception(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, BaseException)


def _result_shape(hint: Any, what: str) -> codec.Shape:
    """Return types are only read by, so one that says too little is no mistake."""
    try:
        return codec.Shape(hint, what)
    except TaskError:
        return codec.Shape(Any, what)
