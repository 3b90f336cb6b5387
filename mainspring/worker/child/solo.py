"""Solo: run one job at a time on the main thread of a process that can be stopped and killed.

A function that has to end is told by an exception, `Interrupted`, wherever it is in Python; one
that does not listen, or is in C, is killed by the parent, which finds the moment on the board.
"""

import signal
import threading
import time
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from types import FrameType

from mainspring.context import RUNNING, Context
from mainspring.errors import Interrupted
from mainspring.job import Cancelled, Claimed, HandedBack
from mainspring.worker.child import frames
from mainspring.worker.child.backlog import Backlog, Entry, Running
from mainspring.worker.child.runner import Recipe, Runner
from mainspring.worker.link.board import Board, Why
from mainspring.worker.link.capture import Capture, notes

_clock = time.monotonic_ns

PATIENCE = 2_000_000_000
"""Nanoseconds that a function may go on after it was told to end."""

WORTHY = 1000
"""Microseconds: a job that ran longer is known to have ended before the next one begins."""

WORDS = {
    Why.TIME: "time limit",
    Why.CANCEL: "cancelled",
    Why.LOST: "lease lost",
    Why.QUIT: "worker stops",
}


class _Run:
    """A job that runs, and why it was told to end if it was. `armed`: inside the function."""

    __slots__ = ("armed", "began", "context", "job", "why")

    def __init__(self, job: Claimed, context: Context, began: int) -> None:
        self.job, self.context, self.began = job, context, began
        self.why = Why.NOTHING
        self.armed = False


class Solo:
    """The one place of this process. `serve` is the main thread's, all else anybody's."""

    def __init__(self, runner: Runner, board: Board, capture: Capture) -> None:
        self.backlog = Backlog()
        self._runner = runner
        self._board = board
        self._capture = capture
        self._run: _Run | None = None
        self._ending = threading.Lock()
        self._bell: SimpleQueue[bool] = SimpleQueue()
        self._main = threading.main_thread().ident or 0

    def feed(self, entries: list[Entry]) -> None:
        """Run these jobs, one after the other."""
        self.backlog.extend(entries)
        self._bell.put(True)

    def stop(self, number: int) -> bool:
        """Tell the function of this job to end; False if it does not run here."""
        run = self._run
        if run is None or run.job.number != number:
            return False
        self._tell(run, Why.CANCEL)
        return True

    def stop_all(self) -> None:
        """Tell what runs to end; it is handed back."""
        if (run := self._run) is not None:
            self._tell(run, Why.QUIT)

    def drop(self, tokens: set[int]) -> None:
        """End the jobs of these grants; what becomes of them is not reported."""
        self.backlog.drop(tokens)
        run = self._run
        if run is not None and run.job.token in tokens:
            self._tell(run, Why.LOST)

    def sweep(self) -> None:
        """Tell a function that its time is over, and pass on what it printed."""
        run = self._run
        if run is None:
            return
        left = run.context.remaining
        if left is not None and left <= 0:
            self._tell(run, Why.TIME)
        with self._ending:
            if run is self._run:
                self._pass_on(run, self._capture.look())

    def forget(self) -> None:
        """In a fork of this process: run nothing more."""
        self.backlog.clear()

    @property
    def busy(self) -> bool:
        """Whether anything waits or runs."""
        return self.backlog.busy or self._run is not None

    def oldest(self) -> Running | None:
        """What runs."""
        run = self._run
        if run is None:
            return None
        return Running(run.job, run.began, partial(frames.of_thread, self._main))

    def close(self) -> None:
        """Let `serve` return when it is free."""
        self._bell.put(False)

    def serve(self) -> None:
        """Run what is fed until closed. For the main thread, which signals interrupt."""
        with self._runner.program.here():
            while self._bell.get():
                while (entry := self.backlog.take(self)) is not None:
                    self._run_one(entry)
                self.backlog.leave(self)

    def _run_one(self, entry: Entry) -> None:
        job, spot, fed = entry
        runner = self._runner
        recipe = runner.recipes[job.task]
        context = runner.context(job, recipe)
        began = _clock()
        if began - fed > self.backlog.waited:
            self.backlog.waited = began - fed
        # Each time: the last function may have taken the signal for itself.
        signal.signal(signal.SIGTERM, self._interrupt)
        self._run = run = _Run(job, context, began)
        self.backlog.leave(self)
        self._capture.begin()
        left = context.remaining
        kill_at = 0 if left is None else began + int(left * 1e9) + PATIENCE
        self._board.begin(job.number, kill_at, recipe.memory or 0)
        runner.begin(job, spot)
        RUNNING.set(context)
        result, error = self._called(run, recipe)
        took = (_clock() - began) // 1000
        with self._ending:
            # Whoever has something to do with this job has done it by now: later it would be lost,
            # or meant for the next one. From here on a kill would be for nothing that still runs.
            self._board.end()
            self._pass_on(run, self._capture.end())
            self._run = None
        runner.marks[spot] = 2
        self._ended(run, took, result, error)
        if took > WORTHY:
            # Else, if the next job crashes, this one would run again.
            runner.reporter.flush()

    def _called(self, run: _Run, recipe: Recipe) -> tuple[bytes | None, BaseException | None]:
        """What the function returned, encoded, or raised."""
        try:
            try:
                run.armed = True
                call = self._runner.call
                # A copy, so that what a function sets is gone when the next one runs here.
                result = copy_context().run(call, recipe, run.job.payload, run.context)
                run.armed = False
            except BaseException as error:
                run.armed = False
                return None, error
        except Interrupted as late:  # between the end of the function and what stands above
            run.armed = False
            return None, late
        return result, None

    def _ended(
        self, run: _Run, took: int, result: bytes | None, error: BaseException | None
    ) -> None:
        runner, job = self._runner, run.job
        yielded = isinstance(error, Interrupted)
        if run.why == Why.LOST:
            return
        if error is None:
            runner.succeed(job, took, result, run.context.settled)
        elif run.why == Why.TIME and yielded:
            runner.time_out(job, took)
        elif run.why == Why.CANCEL and yielded:
            runner.end(job, took, Cancelled("cancelled while it ran"))
        elif run.why == Why.QUIT and yielded:
            runner.end(job, took, HandedBack())
        else:
            runner.fail(job, took, error, run.context.settled)

    def _pass_on(self, run: _Run, told: list[str]) -> None:
        for note in notes(run.job.number, run.job.token, told):
            self._runner.reporter.note(note)
        self._board.collected(self._capture.told)

    def _tell(self, run: _Run, why: Why) -> None:
        """Tell a function to end, if it still runs; once is enough."""
        with self._ending:
            if run.why or run is not self._run:
                return
            run.why = why
            run.context.cancel()
            self._board.hurry(_clock() + PATIENCE, why)
            signal.pthread_kill(self._main, signal.SIGTERM)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """In the main thread. A signal that nobody here has sent is left to the parent."""
        run = self._run
        if run is not None and run.why and run.armed:
            run.armed = False
            raise Interrupted(WORDS[run.why])
