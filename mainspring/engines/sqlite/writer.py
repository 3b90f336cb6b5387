"""The one writer of a process: verbs that are called at the same time share a transaction."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from sqlite3 import Connection
from typing import TypeVar

from mainspring.engines.sqlite import clock, statistics
from mainspring.engines.sqlite.address import Address
from mainspring.engines.sqlite.checkpoint import Checkpoints
from mainspring.engines.sqlite.connection import connect
from mainspring.engines.sqlite.handed import Handed
from mainspring.engines.sqlite.locks import QueueLock
from mainspring.engines.sqlite.names import Names
from mainspring.engines.sqlite.statistics import Statistics
from mainspring.engines.sqlite.step import Step
from mainspring.engines.sqlite.trouble import translated, trouble
from mainspring.engines.sqlite.turns import Turn, Turns
from mainspring.engines.sqlite.wake import Bell
from mainspring.errors import StoreFull, StoreUnavailable
from mainspring.job import Now

T = TypeVar("T")
Verb = Callable[[Step], T]

IDENTITY_SECONDS = 0.1
"""How often the writer looks whether the file is still the one that it opened."""


class Writer:
    """Runs steps, one transaction after the other, on the only connection that writes."""

    def __init__(self, address: Address, bell: Bell) -> None:
        self.names = Names()
        self.handed = Handed()
        self.statistics = Statistics()
        self._address = address
        self._bell = bell
        self._turns = Turns()
        self._queue = QueueLock(address.path and f"{address.path}-lock")
        self._checkpoints = Checkpoints()
        self._connection: Connection | None = None
        self._closed = False
        self._paused: Turn | None = None
        with trouble(address.place):
            self._identity = self._identify()
            self._identified = time.monotonic()
            self._connection = connect(address)

    def run(self, verb: Verb[T], now: Now | None = None, *, first: bool = False) -> T:
        """Do this in a transaction, and return when it is committed. `first` goes before all
        others that wait."""
        turn = Turn((verb, now))
        try:
            self._turns.wait(turn, first=first)
            if turn.leads:
                self._do(self._turns.together())
        finally:
            # An interrupt, as by Ctrl-C, may land anywhere, here as well.
            try:
                self._turns.end(turn)
            except BaseException:
                self._turns.end(turn)
                raise
        if not turn.done:
            # The thread that led was interrupted, as by Ctrl-C: that was not meant for this one.
            raise StoreUnavailable(f"{self._address.place}: interrupted; try again")
        if turn.error is not None:
            raise turn.error
        answer: T = turn.answer
        return answer

    @contextmanager
    def alone(self) -> Iterator[Connection]:
        """The connection itself, with nobody else at work."""
        with self._turns.alone():
            yield self._usable()

    def step(self, connection: Connection, now: Now | None, names: Names | None = None) -> Step:
        """A step on this connection."""
        return Step(
            connection, now or clock.now(), names or self.names, self.handed, self.statistics
        )

    def ring(self) -> None:
        """Tell of a commit that another connection made."""
        self._bell.ring()

    def tend(self) -> None:
        """Write statistics that lie about, and make a checkpoint that is due."""
        if self.statistics.due():
            self.run(lambda step: None)
        if self._checkpoints.due():
            place = self._address.place
            with trouble(place), self.alone() as connection, self._queue.held():
                self._checkpoint(connection)

    def close(self) -> None:
        """Write what is left to write and close; later calls are refused."""
        if self.statistics.pending():
            with suppress(StoreUnavailable):
                self.run(self._flush)
        with self._turns.alone():
            self._closed = True
            if self._connection is not None:
                with self._queue.held():
                    self._checkpoint(self._connection, truncate=True)
                self._connection.close()
                self._connection = None
        self._queue.close()

    # --- forks ------------------------------------------------------------------------------

    def pause(self, timeout: float) -> bool:
        """Let go of the file until `resume`; False when somebody is at work for too long."""
        self._paused = self._turns.take(timeout)
        if self._paused is None:
            return False
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
        return True

    def resume(self) -> None:
        """Go on."""
        if self._paused is not None:
            self._turns.end(self._paused)
            self._paused = None

    def leave(self) -> None:
        """In a child process: do not hold a lock of the parent's."""
        self._queue.close()

    # --- transactions -----------------------------------------------------------------------

    def _do(self, batch: list[Turn]) -> None:
        """Do the work of all in one transaction; if that fails, of each in its own."""
        try:
            self._together(batch)
        except Exception as error:
            if batch[0].done:  # and committed
                raise
            told = translated(error, self._address.place) or error
            away = isinstance(told, StoreUnavailable) and not isinstance(told, StoreFull)
            if len(batch) > 1 and not away:
                for turn in batch:
                    self._do([turn])
                return
            for turn in batch:
                turn.error, turn.done = told, True

    def _together(self, batch: list[Turn]) -> None:
        connection = self._usable()
        try:
            self._queue.acquire()
            rows = connection.total_changes
            steps = self._transaction(connection, batch)
            self._checkpoints.note(connection.total_changes - rows)
            if self._checkpoints.due():
                self._checkpoint(connection)
        finally:
            self._queue.release()
        for step in steps:
            for action in step.afterwards:
                action()
        if any(step.matters for step in steps):
            self._bell.ring()

    def _transaction(self, connection: Connection, batch: list[Turn]) -> list[Step]:
        """All steps, committed together, or an exception and nothing."""
        taken = self.statistics.take() if self.statistics.due() else {}
        steps = []
        try:
            _roll_back(connection)  # of an interrupt that no handler was left for
            connection.execute("BEGIN IMMEDIATE")
            for turn in batch:
                verb, now = turn.work
                step = self.step(connection, now)
                turn.answer = verb(step)
                step.finish()
                steps.append(step)
            if taken:
                statistics.write(connection, taken)
            connection.execute("COMMIT")
            for turn in batch:
                turn.done = True
        except BaseException:
            # SQLite may have rolled back by itself, as it does when the disk is full.
            _roll_back(connection)
            self.names.forget()
            self.statistics.give_back(taken)
            raise
        return steps

    def _usable(self) -> Connection:
        if self._closed:
            raise StoreUnavailable(f"{self._address.place}: the store is closed")
        self.recognise()
        if self._connection is None:
            self._connection = connect(self._address)
        return self._connection

    def recognise(self) -> None:
        """See now and then that the file is still the one that was opened."""
        if time.monotonic() - self._identified > IDENTITY_SECONDS:
            self._identified = time.monotonic()
            if self._identify() != self._identity:
                self._identified = 0
                raise StoreUnavailable(
                    f"{self._address.place}: the file was removed or replaced while it was in"
                    " use; nothing is written to it until the store is opened again"
                )

    def _identify(self) -> tuple[int, int] | None:
        if self._address.path is None:
            return None
        try:
            found = os.stat(self._address.path)
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _checkpoint(self, connection: Connection, *, truncate: bool = False) -> None:
        # What was committed stays committed, whatever becomes of this chore.
        if self._address.path is not None:
            with suppress(sqlite3.Error):
                self._checkpoints.run(connection, truncate=truncate)

    def _flush(self, step: Step) -> None:
        taken = self.statistics.take()
        try:
            statistics.write(step.connection, taken)
        except BaseException:
            self.statistics.give_back(taken)
            raise


def _roll_back(connection: Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
