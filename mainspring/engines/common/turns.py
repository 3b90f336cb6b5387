"""Turns: one thread at a time does the work of all that came while another was at work.

Who comes when nobody works leads at once, in its own thread. Who comes later waits; when the
leader has finished, the first of those waiting leads, and takes the work of all of them along.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Turn:
    """Somebody's work, and what became of it. `work` is None for who wants to be alone."""

    __slots__ = ("answer", "called", "done", "error", "leads", "work")

    def __init__(self, work: Any) -> None:
        self.work = work
        self.answer: Any = None
        self.error: BaseException | None = None
        self.done = False
        self.leads = False
        self.called = threading.Lock()
        self.called.acquire()


class Turns:
    """Who is at work, and who waits."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: list[Turn] = []
        self._led: list[Turn] = []
        self._busy = False

    def run(self, turn: Turn, do: Callable[[list[Turn]], None], *, first: bool = False) -> None:
        """Have the turn's work done: by `do`, with that of all who wait, or by whoever leads."""
        try:
            self.wait(turn, first=first)
            if turn.leads:
                do(self.together())
        finally:
            # An interrupt, as by Ctrl-C, may land anywhere, here as well.
            try:
                self.end(turn)
            except BaseException:
                self.end(turn)
                raise

    def wait(self, turn: Turn, *, first: bool = False, timeout: float = -1) -> None:
        """Return when the turn leads, or its work was done by another, or after `timeout` seconds
        in vain. Whatever happened, `end` must follow."""
        with self._mutex:
            self._waiting.insert(0 if first else len(self._waiting), turn)
            if not self._busy:
                self._busy = turn.leads = True
                return
        turn.called.acquire(timeout=timeout)

    def together(self) -> list[Turn]:
        """What the leader is to do: the work of all that wait."""
        with self._mutex:
            batch = [each for each in self._waiting if each.work is not None]
            rest = [each for each in self._waiting if each.work is None]
            self._led, self._waiting = batch, rest
        return batch

    def end(self, turn: Turn) -> None:
        """The turn is over: if it led, wake those whose work was done and let the next one lead.
        Repeatable, as long as the first time came to nothing."""
        with self._mutex:
            if turn in self._waiting:
                self._waiting.remove(turn)
            if not turn.leads:
                return
            for done in self._led:
                if done.called.locked():
                    done.called.release()
            self._led = []
            if self._waiting:
                successor = self._waiting[0]
                successor.leads = True
                turn.leads = False
                successor.called.release()
            else:
                self._busy = turn.leads = False

    def take(self, timeout: float = -1) -> Turn | None:
        """Have nobody else at work until this turn's `end`; None after so many seconds in vain."""
        turn = Turn(None)
        try:
            self.wait(turn, timeout=timeout)
        except BaseException:
            self.end(turn)
            raise
        if not turn.leads:
            self.end(turn)
        return turn if turn.leads else None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else is at work in the block."""
        turn = self.take()
        assert turn is not None
        try:
            yield
        finally:
            self.end(turn)
