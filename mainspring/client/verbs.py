"""Verbs: what can be asked is described once, and asked by clients of both kinds.

A noun describes each verb as a function that makes a `Call`. In a `Blocking` noun the verb returns
what the server answers, in an `Awaiting` one an awaitable of that.
"""

from collections.abc import Callable, Coroutine
from functools import update_wrapper
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from mainspring.client.call import Call
from mainspring.client.lines import AsyncLine, Line

P = ParamSpec("P")
R = TypeVar("R")


class Blocking:
    """A noun whose verbs wait for their answers."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def do(self, call: Call[R]) -> R:
        """Ask."""
        return self._line.send(call)


class Awaiting:
    """A noun whose verbs are awaited."""

    def __init__(self, line: AsyncLine) -> None:
        self._line = line

    async def do(self, call: Call[R]) -> R:
        """Ask."""
        return await self._line.send(call)


class verb(Generic[P, R]):
    """A verb of a noun, from the function that describes it."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Call[R]]) -> None:
        self._describe = describe
        update_wrapper(self, describe)  # type: ignore[arg-type]

    @overload
    def __get__(self, noun: Blocking, owner: object = None) -> Callable[P, R]: ...
    @overload
    def __get__(
        self, noun: Awaiting, owner: object = None
    ) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __get__(self, noun: None, owner: object = None) -> Self: ...

    def __get__(self, noun: Any, owner: object = None) -> Any:
        if noun is None:
            return self

        def ask(*args: P.args, **kwargs: P.kwargs) -> Any:
            return noun.do(self._describe(noun, *args, **kwargs))

        return update_wrapper(ask, MethodType(self._describe, noun))
