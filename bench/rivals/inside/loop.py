"""The event loop of the producer of an asynchronous rival: it turns while something is asked."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from itertools import islice
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")

_runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)


def wait(work: Coroutine[Any, Any, T]) -> T:
    """What comes of it."""
    return _runner.run(work)


def main(work: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Run a worker that has no command of its own, or one that cannot be tuned."""
    with _runner:
        _runner.run(work())


async def gather(calls: Iterable[Coroutine[Any, Any, object]], at_once: int) -> None:
    """Make the calls, so many at once."""
    waiting = iter(calls)
    while some := list(islice(waiting, at_once)):
        await asyncio.gather(*some)
