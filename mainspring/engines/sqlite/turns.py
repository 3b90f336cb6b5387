"""Turns: one thread at a time does the work of all that came while another was at work.

Who comes when nobody works leads at once, in its own thread. Who comes later waits; when the
leader has finished, the first of those waiting leads, and takes the work of all of them along.
"""

import threading
from collections.abc import Iterator
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
        self._busy = False

    def wait(self, turn: Turn, *, first: bool = False, timeout: float = -1) -> None:
        """Return when the turn leads, or its work was done by another, or after `timeout` seconds
        in vain. Who leads must `end`."""
        with self._mutex:
            self._waiting.insert(0 if first else len(self._waiting), turn)
            if not self._busy:
                self._busy = turn.leads = True
                return
        try:
            if not turn.called.acquire(timeout=timeout):
                self._give_up(turn)
        except BaseException:
            self._give_up(turn)
            raise

    def together(self) -> list[Turn]:
        """What the leader is to do: the work of all that wait."""
        with self._mutex:
            batch = [each for each in self._waiting if each.work is not None]
            self._waiting = [each for each in self._waiting if each.work is None]
        return batch

    def end(self, done: list[Turn]) -> None:
        """Wake those whose work was done, and let the next one lead."""
        for turn in done:
            turn.called.release()
        with self._mutex:
            if not self._waiting:
                self._busy = False
                return
            successor = self._waiting[0]
            successor.leads = True
            successor.called.release()

    def take(self, timeout: float = -1) -> bool:
        """Have nobody else at work until `end`; False after so many seconds in vain."""
        turn = Turn(None)
        self.wait(turn, timeout=timeout)
        if turn.leads:
            with self._mutex:
                self._waiting.remove(turn)
        return turn.leads

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else is at work in the block."""
        self.take()
        try:
            yield
        finally:
            self.end([])

    def _give_up(self, turn: Turn) -> None:
        """The wait has ended: nobody will lead in this turn."""
        with self._mutex:
            if turn in self._waiting:
                self._waiting.remove(turn)
            called, turn.leads = turn.leads, False
        if called:
            self.end([])
