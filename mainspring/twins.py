"""The async twin of a blocking method: the same call, made on a thread."""

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")


def in_thread(
    method: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """The method, or what overrides it, as a coroutine with the same signature. What was begun is
    not cancelled."""

    @functools.wraps(method)
    async def twin(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        from asyncio import to_thread

        blocking: Callable[P, R] = getattr(self, method.__name__)
        return await to_thread(blocking, *args, **kwargs)

    return twin
