"""Batches: collect the items of a batch task and call it with many of them at once.

Each batch task has a thread of its own: while one batch runs, the next one gathers.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from contextvars import copy_context
from functools import partial
from math import inf
from operator import itemgetter
from queue import Empty, SimpleQueue
from typing import Any

from mainspring.context import RUNNING, Context
from mainspring.errors import InvalidArguments
from mainspring.job import Claimed
from mainspring.worker.child import frames
from mainspring.worker.child.backlog import Backlog, Entry, Running
from mainspring.worker.child.program import BatchRunnable
from mainspring.worker.child.runner import Runner, encoded

_clock = time.monotonic_ns


class Batch:
    """One batch task: gathers up to `size` items, or whatever came within `wait` of the first."""

    def __init__(self, runner: Runner, task: BatchRunnable, worn: Callable[[str], None]) -> None:
        self.backlog = Backlog()
        self.wait = task.wait * 1000
        self.size = task.size
        self._runner = runner
        self._task = task
        self._worn = worn
        self._closed = False
        self._ident = 0
        self._running: dict[int, tuple[Context, list[Claimed]]] = {}
        self._bell: SimpleQueue[bool] = SimpleQueue()
        self._start()

    def feed(self, entries: list[Entry]) -> None:
        """Gather these items."""
        self.backlog.extend(entries)
        self._bell.put(True)

    def stop(self, number: int) -> bool:
        """A batch cannot be stopped for the sake of one item; False if it is not in it."""
        running = list(self._running.values())
        return any(job.number == number for _, jobs in running for job in jobs)

    def stop_all(self) -> None:
        """Ask the functions to stop."""
        for context, _ in list(self._running.values()):
            context.cancel()

    def drop(self, tokens: set[int]) -> None:
        """Forget the items of these grants; their outcomes will be refused by the store."""
        self.backlog.drop(tokens)

    def sweep(self) -> None:
        """Give up a batch beyond its time limit."""
        for began, (context, jobs) in list(self._running.items()):
            left = context.remaining
            if left is None or left > 0 or self._running.pop(began, None) is None:
                continue
            context.cancel()
            for job in jobs:
                self._runner.time_out(job, (_clock() - began) // 1000)
            self._start()
            self._worn(f"batch task {self._task.name} outlived its time limit")

    def forget(self) -> None:
        """In a fork of this process: run nothing more."""
        self.backlog.clear()

    @property
    def busy(self) -> bool:
        """Whether anything waits or runs."""
        return self.backlog.busy or bool(self._running)

    def oldest(self) -> Running | None:
        """What has run longest: the first job of the batch."""
        runs = list(self._running.items())
        if not runs:
            return None
        began, (_, jobs) = min(runs, key=itemgetter(0))
        return Running(jobs[0], began, partial(frames.of_thread, self._ident))

    def close(self) -> None:
        """Let the thread end when it is free."""
        self._closed = True
        self._bell.put(False)

    def _start(self) -> None:
        threading.Thread(target=self._run, name="mainspring-batch", daemon=True).start()

    def _run(self) -> None:
        self._ident = threading.get_ident()
        with self._runner.program.here():
            while self._bell.get() and not self._closed:
                while entries := self._gathered():
                    if not self._run_batch(entries) or self._closed:
                        return
                self.backlog.leave(self)

    def _gathered(self) -> list[Entry]:
        """The next batch: at most `size` items, waiting for more until the first is `wait` old."""
        backlog, size = self.backlog, self.size
        while backlog and len(backlog) < size:
            try:
                left = backlog[0][2] + self.wait - _clock()
                if left <= 0 or not self._bell.get(timeout=left / 1e9):
                    break
            except (Empty, IndexError):
                break  # time is up, or all was recalled from another thread
        entries: list[Entry] = []
        while len(entries) < size and (entry := backlog.take(self)) is not None:
            entries.append(entry)
        return entries

    def _run_batch(self, entries: list[Entry]) -> bool:
        """Run a batch. False: it was given up meanwhile."""
        began = _clock()
        for job, spot, _ in entries:
            self._runner.begin(job, spot)
        jobs, items = self._decoded([job for job, _, _ in entries])
        if not jobs:
            return True
        speaker, context = self._context(jobs)
        self._running[began] = (context, jobs)
        self.backlog.leave(self)
        outcomes = copy_context().run(self._outcomes, items, context)
        if self._running.pop(began, None) is None:
            return False
        took = (_clock() - began) // 1000
        for job, outcome in zip(jobs, outcomes, strict=True):
            self._finish(job, took, outcome, context.settled and job is speaker)
        return True

    def _context(self, jobs: list[Claimed]) -> tuple[Claimed, Context]:
        """What `current()` is in a batch: the job with the least time, or else the first."""
        recipe = self._runner.recipes[self._task.name]
        contexts = [(job, self._runner.context(job, recipe)) for job in jobs]
        return min(contexts, key=lambda pair: _left(pair[1]))

    def _decoded(self, jobs: list[Claimed]) -> tuple[list[Claimed], list[Any]]:
        """The jobs whose items can be decoded, and those items; the others fail here."""
        good: list[Claimed] = []
        items: list[Any] = []
        for job in jobs:
            try:
                items.append(self._task.decode(job.payload, job.version))
                good.append(job)
            except Exception as error:
                self._runner.fail(job, 0, error)
        return good, items

    def _outcomes(self, items: list[Any], context: Context) -> Sequence[Any]:
        """One value or exception for each item."""
        RUNNING.set(context)
        try:
            outcomes = self._call(items, context)
        except BaseException as error:
            return [error] * len(items)
        if len(outcomes) != len(items):
            text = f"{self._task.name}: expected {len(items)} outcomes, got {len(outcomes)}"
            return [InvalidArguments(text)] * len(items)
        return outcomes

    def _call(self, items: list[Any], context: Context) -> Sequence[Any]:
        with ExitStack() as stack:
            for middleware in self._task.middlewares:
                stack.enter_context(middleware(context))
            try:
                return self._task.call_many(items)
            finally:
                self._runner.leave_if_copy()
        return [None] * len(items)  # a middleware may swallow the error

    def _finish(self, job: Claimed, took: int, outcome: Any, settled: bool) -> None:
        try:
            if isinstance(outcome, BaseException):
                raise outcome
            result = None if outcome is None else encoded(self._task, outcome)
        except BaseException as error:
            self._runner.fail(job, took, error, settled)
        else:
            self._runner.succeed(job, took, result, settled)


def _left(context: Context) -> float:
    left = context.remaining
    return inf if left is None else left
