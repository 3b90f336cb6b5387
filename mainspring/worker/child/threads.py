"""Threads: run plain functions, each job on one of a few standing threads."""

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from operator import itemgetter
from queue import SimpleQueue

from mainspring.context import RUNNING, Context
from mainspring.job import Claimed
from mainspring.worker.child import frames
from mainspring.worker.child.backlog import Backlog, Entry, Key, Running
from mainspring.worker.child.runner import Runner

_clock = time.monotonic_ns


class Threads:
    """So many threads. One whose function outlives its time limit is given up and replaced."""

    def __init__(self, runner: Runner, count: int, worn: Callable[[str], None]) -> None:
        self.backlog = Backlog()
        self._runner = runner
        self._count = count
        self._worn = worn
        self._lock = threading.Lock()
        self._stuck = self._alive = 0
        self._running: dict[Key, tuple[Context, Claimed, int, int]] = {}
        self._bell: SimpleQueue[bool] = SimpleQueue()
        for _ in range(count):
            self._start()

    def feed(self, entries: list[Entry]) -> None:
        """Run these jobs as soon as threads are free."""
        self.backlog.extend(entries)
        for _ in range(min(len(entries), self._count)):
            self._bell.put(True)

    def stop(self, number: int) -> bool:
        """Ask the function of this job to stop; False if it does not run here."""
        found = [run for run in list(self._running.values()) if run[1].number == number]
        for context, *_ in found:
            context.cancel()
        return bool(found)

    def stop_all(self) -> None:
        """Ask all functions to stop."""
        for context, *_ in list(self._running.values()):
            context.cancel()

    def drop(self, tokens: set[int]) -> None:
        """End the jobs of these grants; what becomes of them is not reported."""
        self.backlog.drop(tokens)
        for key, (context, job, *_) in list(self._running.items()):
            if job.token in tokens and self._give_up(key):
                context.cancel()

    def sweep(self) -> None:
        """Give up functions that are beyond their time limit."""
        for key, (context, job, began, _) in list(self._running.items()):
            left = context.remaining
            if left is not None and left <= 0 and self._give_up(key):
                context.cancel()
                self._runner.time_out(job, (_clock() - began) // 1000)

    def forget(self) -> None:
        """In a fork of this process: run nothing more."""
        self.backlog.clear()

    @property
    def busy(self) -> bool:
        """Whether anything waits or runs."""
        return self.backlog.busy or bool(self._running)

    def oldest(self) -> Running | None:
        """What has run longest."""
        runs = list(self._running.values())
        if not runs:
            return None
        _, job, began, ident = min(runs, key=itemgetter(2))
        return Running(job, began, partial(frames.of_thread, ident))

    def close(self) -> None:
        """Let threads end when they are free."""
        for _ in range(self._count):
            self._bell.put(False)

    def _give_up(self, key: Key) -> bool:
        """Take the job from its thread, which ends when its function does. False: just ended."""
        # Whoever takes the entry out of `_running` says what became of the job.
        if self._running.pop(key, None) is None:
            return False
        with self._lock:
            self._stuck += 1
            bearable = self._stuck <= self._count
        if bearable:
            self._start()
        else:
            self._worn(f"{self._stuck} functions on threads outlived their time limit")
        return True

    def _is_replaced(self) -> bool:
        """A function that had been given up has ended after all: is there another thread for it?"""
        with self._lock:
            self._stuck -= 1
            replaced = self._alive - self._stuck > self._count
            self._alive -= replaced
        return replaced

    def _start(self) -> None:
        with self._lock:
            self._alive += 1
        threading.Thread(target=self._run, name="mainspring-thread", daemon=True).start()

    def _run(self) -> None:
        backlog, me = self.backlog, threading.get_ident()
        with self._runner.program.here():
            while self._bell.get():
                while (entry := backlog.take(me)) is not None:
                    if not self._run_one(entry) and self._is_replaced():
                        return
                backlog.leave(me)

    def _run_one(self, entry: Entry) -> bool:
        """Run a job. False: it was taken from this thread meanwhile."""
        job, spot, fed = entry
        runner = self._runner
        recipe = runner.recipes[job.task]
        context = runner.context(job, recipe)
        began = _clock()
        if began - fed > self.backlog.waited:
            self.backlog.waited = began - fed
        key = (job.number, job.token)
        me = threading.get_ident()
        self._running[key] = (context, job, began, me)
        self.backlog.leave(me)
        runner.begin(job, spot)
        RUNNING.set(context)
        try:
            # A copy, so that what a function sets is gone when the next one runs here.
            result = copy_context().run(runner.call, recipe, job.payload, context)
        except BaseException as error:
            if self._running.pop(key, None) is None:
                return False
            runner.fail(job, (_clock() - began) // 1000, error, context.settled)
        else:
            if self._running.pop(key, None) is None:
                return False
            runner.succeed(job, (_clock() - began) // 1000, result, context.settled)
        return True
