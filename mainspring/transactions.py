"""Transactions that belong to an event loop, for a store's blocking code in a thread.

Each statement runs in the loop, on the caller's connection; what decides on the next one waits for
it in a thread, so that the loop goes on meanwhile.
"""

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from asyncio import Future, Task

T = TypeVar("T")


def is_async(connection: object) -> bool:
    """Whether statements of this connection or session are awaited."""
    execute = inspect.unwrap(getattr(type(connection), "execute", is_async))
    return inspect.iscoroutinefunction(execute)


class OnLoop:
    """A connection of the running event loop's, to be used in a thread; None: one that the store
    is to make there."""

    def __init__(self, connection: Any = None) -> None:
        from asyncio import get_running_loop

        self.connection = connection
        self._loop = get_running_loop()
        self._statement: Task[Any] | None = None
        self._stopped = False

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Have the loop run this, and wait for it. For the thread."""
        from asyncio import run_coroutine_threadsafe

        return run_coroutine_threadsafe(self._carry_out(coroutine), self._loop).result()

    async def _carry_out(self, coroutine: Coroutine[Any, Any, T]) -> T:
        from asyncio import CancelledError, current_task

        if self._stopped:
            self._stopped = False  # what is undone now may use the connection again
            coroutine.close()
            raise CancelledError
        self._statement = current_task()
        try:
            return await coroutine
        finally:
            self._statement = None

    async def lend(self, work: Callable[[], T]) -> T:
        """Do this in a thread. Cancelled, its statement is, and `work` comes to its end before
        this returns: nobody uses the connection any more."""
        from asyncio import ensure_future, to_thread

        return await self._end_of(ensure_future(to_thread(work)), self._stop)

    @asynccontextmanager
    async def within(self, manager: AbstractContextManager[T]) -> AsyncIterator[T]:
        """Enter and leave this in a thread, while the block is the loop's. Neither is cancelled
        on its way."""
        from asyncio import ensure_future, to_thread

        entering = ensure_future(to_thread(manager.__enter__))
        try:
            yield await self._end_of(entering)
        except BaseException as error:
            if entering.exception() is None:
                leave = to_thread(manager.__exit__, type(error), error, error.__traceback__)
                await self._end_of(ensure_future(leave))
            raise
        await self._end_of(ensure_future(to_thread(manager.__exit__, None, None, None)))

    async def _end_of(self, work: "Future[T]", stop: Callable[[], object] | None = None) -> T:
        from asyncio import CancelledError, shield, wait

        try:
            return await shield(work)
        except CancelledError:
            if stop is not None and not work.done():
                stop()
            while not work.done():
                with suppress(CancelledError):
                    await wait([work])
            work.exception()
            raise

    def _stop(self) -> None:
        if self._statement is not None:
            self._statement.cancel()
        else:
            self._stopped = True
