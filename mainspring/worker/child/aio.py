"""Aio: run coroutine functions, up to thousands at once, on one event loop in its own thread.

Standing runner tasks take job after job, because a task per job costs more than most jobs; only
when the running ones are all suspended is another one started. Each job runs in a context of its
own.
"""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from contextvars import Context as Variables
from contextvars import copy_context
from functools import partial
from operator import attrgetter
from typing import Any

from mainspring.context import RUNNING, Context
from mainspring.job import Cancelled, Claimed, Failed, HandedBack
from mainspring.worker.child import frames
from mainspring.worker.child.backlog import Backlog, Entry, Key, Running
from mainspring.worker.child.runner import Runner, encoded

log = logging.getLogger("mainspring")

_clock = time.monotonic_ns

TURN = 5_000_000
"""Nanoseconds for which runners may go from job to job before others get a turn on the loop."""

PATIENCE = 1.0
"""Seconds a cancelled coroutine has to end before it is given up."""


class _Run:
    """A job that runs: its task on the loop, and why it was cancelled if it was."""

    __slots__ = ("awaited", "began", "context", "job", "task", "why")

    def __init__(
        self, job: Claimed, context: Context, task: "asyncio.Task[None]", began: int
    ) -> None:
        self.job, self.context, self.task, self.began = job, context, task, began
        self.why = ""
        self.awaited: object = None


class Aio:
    """At most `limit` coroutines at once."""

    def __init__(self, runner: Runner, limit: int, worn: Callable[[str], None]) -> None:
        self.backlog = Backlog()
        self._runner = runner
        self._limit = limit
        self._worn = worn
        self._running: dict[Key, _Run] = {}
        self._idle: list[asyncio.Future[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._spreading = self._closed = False
        self._variables = Variables()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="mainspring-aio", daemon=True)
        self._thread.start()

    def feed(self, entries: list[Entry]) -> None:
        """Run these jobs as soon as there is room."""
        self.backlog.extend(entries)
        self._call(self._spread_first)

    def stop(self, number: int) -> bool:
        """Cancel this job because somebody asked; False if it does not run here."""
        found = [key for key in list(self._running) if key[0] == number]
        for key in found:
            self._call(self._cancel, key, "cancel")
        return bool(found)

    def stop_all(self) -> None:
        """Cancel everything that runs; what yields is handed back."""
        for key in list(self._running):
            self._call(self._cancel, key, "quit")

    def drop(self, tokens: set[int]) -> None:
        """End the jobs of these grants; what becomes of them is not reported."""
        self.backlog.drop(tokens)
        for key in list(self._running):
            if key[1] in tokens:
                self._call(self._cancel, key, "drop")

    def sweep(self) -> None:
        """Cancel coroutines beyond their time limit, and give up those that will not end."""
        for key, run in list(self._running.items()):
            left = run.context.remaining
            if left is None or left > 0:
                continue
            if left > -PATIENCE:
                if not run.why:
                    self._call(self._cancel, key, "time")
            elif self._running.pop(key, None) is not None:
                # It ignores its cancellation, or blocks the loop for everybody.
                self._runner.time_out(run.job, (_clock() - run.began) // 1000)
                self._worn(f"{run.job.task} did not end when it was cancelled")

    def forget(self) -> None:
        """In a fork of this process: run nothing more."""
        self.backlog.clear()
        with contextlib.suppress(RuntimeError):  # the loop is closed, or another thread's
            self._loop.call_soon(os._exit, 0)

    @property
    def busy(self) -> bool:
        """Whether anything waits or runs."""
        return self.backlog.busy or bool(self._running)

    def oldest(self) -> Running | None:
        """What has run longest."""
        runs = list(self._running.values())
        if not runs:
            return None
        run = min(runs, key=attrgetter("began"))
        return Running(run.job, run.began, partial(self._where, run))

    def _where(self, run: _Run) -> str:
        # One that computes is in the stack of the loop's thread; the others are suspended.
        if getattr(run.awaited, "cr_running", False):
            return frames.of_thread(self._thread.ident)
        return frames.of_coroutine(run.awaited)

    def close(self) -> None:
        """End the loop, and what still runs on it."""
        self._closed = True
        self._call(self._end)

    def _call(self, what: Callable[..., object], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(what, *args)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with self._runner.program.here():
            self._variables = copy_context()
            while not self._closed:
                try:
                    self._loop.run_forever()
                except BaseException:
                    # A task some job left behind may raise SystemExit; the loop must go on.
                    log.exception("a background task of a job broke out of the event loop")
        self._loop.close()

    # --- on the loop ------------------------------------------------------------------------

    def _end(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.call_soon(self._loop.stop)

    def _spread_first(self) -> None:
        if not self._spreading:
            self._spreading = True
            self._spread(1)

    def _spread(self, most: int) -> None:
        """Set runners going, twice as many at each round for as long as work is left over.

        Between rounds the loop runs those already going: if none of them suspends, they take all.
        """
        room = self._limit - len(self._running)
        count = min(most, room, len(self.backlog))
        for _ in range(count):
            if (resting := self._resting()) is not None:
                resting.set_result(None)
            else:
                task = self._loop.create_task(self._take_turns(), context=self._variables.copy())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        if count > 0:
            self._loop.call_soon(self._spread, 2 * most)
        else:
            self._spreading = False

    def _resting(self) -> "asyncio.Future[None] | None":
        """What a runner without work waits for; None if there is no such runner."""
        while self._idle:
            rest = self._idle.pop()
            if not rest.done():  # a job may have left behind a timer that cancels its runner
                return rest
        return None

    async def _take_turns(self) -> None:
        """A standing runner: job after job, then wait to be woken."""
        me = asyncio.current_task()
        assert me is not None
        while True:
            since = _clock()
            while (entry := self.backlog.take(me)) is not None:
                if not await self._run_one(entry, me):
                    return
                if _clock() - since > TURN:
                    await asyncio.sleep(0)
                    since = _clock()
            self.backlog.leave(me)
            rest = self._loop.create_future()
            self._idle.append(rest)
            with contextlib.suppress(asyncio.CancelledError):
                await rest
            if self._closed:
                return
            if me.cancelling():
                await _calm(me)

    async def _run_one(self, entry: Entry, me: "asyncio.Task[None]") -> bool:
        """Run a job. False: it was given up, and another runner may have its place."""
        job, spot, fed = entry
        runner = self._runner
        recipe = runner.recipes[job.task]
        context = runner.context(job, recipe)
        began = _clock()
        if began - fed > self.backlog.waited:
            self.backlog.waited = began - fed
        key = (job.number, job.token)
        run = self._running[key] = _Run(job, context, me, began)
        self.backlog.leave(me)
        runner.begin(job, spot)
        RUNNING.set(context)
        variables = copy_context()
        try:
            run.awaited = answer = variables.run(runner.awaitable, recipe, job.payload, context)
            value = await _Within(variables, answer, runner.leave_if_copy)
            result = None if value is None else encoded(recipe.task, value)
        except BaseException as error:
            if isinstance(error, GeneratorExit) and self._closed:
                raise
            if me.cancelling():
                await _calm(me)
            if self._running.pop(key, None) is None:
                return False
            self._failed(run, error)
        else:
            if me.cancelling():
                await _calm(me)
            if self._running.pop(key, None) is None:
                return False
            if run.why != "drop":
                runner.succeed(job, (_clock() - began) // 1000, result, context.settled)
        return True

    def _failed(self, run: _Run, error: BaseException) -> None:
        took = (_clock() - run.began) // 1000
        yielded = isinstance(error, asyncio.CancelledError)
        if run.why == "drop":
            return
        if run.why == "time" and isinstance(error, asyncio.CancelledError | TimeoutError):
            self._runner.time_out(run.job, took)
        elif run.why == "cancel" and yielded:
            self._runner.end(run.job, took, Cancelled("cancelled while it ran"))
        elif run.why == "quit" and yielded:
            self._runner.end(run.job, took, HandedBack())
        elif not run.why and yielded:
            # By code of some job, perhaps another one's: no reason to rule out another attempt.
            told = self._runner.error(run.job, "CancelledError", "cancelled by code that runs here")
            self._runner.end(run.job, took, Failed(told))
        else:
            self._runner.fail(run.job, took, error, run.context.settled)

    def _cancel(self, key: Key, why: str) -> None:
        run = self._running.get(key)
        if run is not None and not run.why:
            run.why = why
            run.context.cancel()
            run.task.cancel()


class _Within:
    """Awaits something inside a set of context variables that is not the task's own. `look` is
    called whenever it suspends or ends."""

    __slots__ = ("_awaited", "_look", "_variables")

    def __init__(
        self, variables: Variables, awaited: Awaitable[Any], look: Callable[[], None]
    ) -> None:
        self._variables = variables
        self._awaited = awaited
        self._look = look

    def __await__(self) -> Generator[Any, Any, Any]:
        run = self._variables.run
        steps = self._awaited.__await__()
        step, argument = steps.send, None
        try:
            while True:
                pending = run(step, argument)
                self._look()
                try:
                    argument = yield pending
                    step = steps.send
                except BaseException as error:
                    step, argument = steps.throw, error
        except StopIteration as end:
            return end.value
        finally:
            self._look()


async def _calm(task: "asyncio.Task[None]") -> None:
    """Take back cancellations, also one asked for but not yet delivered to this task."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    while task.cancelling():
        task.uncancel()
