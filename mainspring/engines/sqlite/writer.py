"""The one writer of a process: verbs that are called at the same time share a transaction.

A lone caller does its work itself, in its own thread. Who comes while somebody is at work waits;
then one of those waiting does the work of all of them in one transaction.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from sqlite3 import Connection, Error
from typing import Any, TypeVar

from mainspring.engines.sqlite import clock, statistics
from mainspring.engines.sqlite.address import Address
from mainspring.engines.sqlite.checkpoint import Checkpoints
from mainspring.engines.sqlite.connection import connect
from mainspring.engines.sqlite.handed import Handed
from mainspring.engines.sqlite.locks import QueueLock
from mainspring.engines.sqlite.names import Names
from mainspring.engines.sqlite.statistics import Statistics
from mainspring.engines.sqlite.step import Step
from mainspring.engines.sqlite.trouble import trouble
from mainspring.engines.sqlite.wake import Bell
from mainspring.errors import StoreFull, StoreUnavailable
from mainspring.job import Now

T = TypeVar("T")
Verb = Callable[[Step], T]


class _Ticket:
    """A verb that waits for its turn, and what became of it."""

    __slots__ = ("answer", "error", "leads", "now", "turn", "verb")

    def __init__(self, verb: Verb[Any] | None, now: Now | None) -> None:
        self.verb = verb
        self.now = now
        self.answer: Any = None
        self.error: BaseException | None = None
        self.leads = False
        self.turn = threading.Lock()
        self.turn.acquire()


class Writer:
    """Runs steps, one transaction after the other, on the only connection that writes."""

    def __init__(self, address: Address, bell: Bell) -> None:
        self.names = Names()
        self.handed = Handed()
        self.statistics = Statistics()
        self._address = address
        self._place = address.place
        self._bell = bell
        self._queue = QueueLock(f"{address.path}-lock") if address.path else None
        self._checkpoints = Checkpoints()
        self._connection: Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._mutex = threading.Lock()
        self._waiting: list[_Ticket] = []
        self._busy = False
        with trouble(self._place):
            self._identity = self._identify()
            self._connection = connect(address)

    # --- turns ------------------------------------------------------------------------------

    def run(self, verb: Verb[T], now: Now | None = None, *, first: bool = False) -> T:
        """Do this in a transaction, and return when it is committed. `first` goes before all
        others that wait."""
        ticket = _Ticket(verb, now)
        self._take_turn(ticket, first)
        if ticket.leads:
            try:
                with self._mutex:
                    batch = [each for each in self._waiting if each.verb is not None]
                    self._waiting = [each for each in self._waiting if each.verb is None]
                self._do(batch)
                for each in batch:
                    each.turn.release()
            finally:
                self._end_turn()
        if ticket.error is not None:
            raise ticket.error
        answer: T = ticket.answer
        return answer

    @contextmanager
    def alone(self) -> Iterator[Connection]:
        """The connection itself, with nobody else at work."""
        self._take_turn(ticket := _Ticket(None, None), False)
        try:
            with self._mutex:
                self._waiting.remove(ticket)
            if self._connection is None:
                raise StoreUnavailable(f"{self._place}: the store is closed")
            yield self._connection
        finally:
            self._end_turn()

    def _take_turn(self, ticket: _Ticket, first: bool) -> None:
        """Return when the ticket has been dealt with, or it is its turn to lead."""
        with self._mutex:
            self._waiting.insert(0 if first else len(self._waiting), ticket)
            if not self._busy:
                self._busy = ticket.leads = True
                return
        try:
            ticket.turn.acquire()
        except BaseException:
            self._give_up(ticket)
            raise

    def _give_up(self, ticket: _Ticket) -> None:
        """Nobody waits for this ticket any more: an interrupt ended its caller."""
        with self._mutex:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
        if ticket.leads:
            self._end_turn()

    def _end_turn(self) -> None:
        with self._mutex:
            if not self._waiting:
                self._busy = False
                return
            successor = self._waiting[0]
            successor.leads = True
            successor.turn.release()

    def close(self) -> None:
        """Write what is left to write and close; later calls are refused."""
        if self._connection is None:
            return
        if self.statistics.pending():
            with suppress(StoreUnavailable):
                self.run(self._flush)
        with self.alone() as connection:
            if self._queue:
                with suppress(Error), self._queue.held():
                    self._checkpoints.run(connection, truncate=True)
                self._queue.close()
            connection.close()
            self._connection = None

    def _flush(self, step: Step) -> None:
        taken = self.statistics.take()
        try:
            statistics.write(step.connection, taken)
        except BaseException:
            self.statistics.give_back(taken)
            raise

    # --- work -------------------------------------------------------------------------------

    def _do(self, batch: list[_Ticket]) -> None:
        try:
            self._together(batch)
        except BaseException as error:
            away = isinstance(error, StoreUnavailable) and not isinstance(error, StoreFull)
            if len(batch) == 1 or away or not isinstance(error, Exception):
                for ticket in batch:
                    ticket.error = error
                return
            for ticket in batch:
                self._do([ticket])

    def _together(self, batch: list[_Ticket]) -> None:
        with trouble(self._place), self.transaction() as connection:
            steps = []
            for ticket in batch:
                assert ticket.verb is not None
                step = self.step(connection, ticket.now)
                ticket.answer = ticket.verb(step)
                step.finish()
                steps.append(step)
        for step in steps:
            for action in step.afterwards:
                action()
        if any(step.matters for step in steps):
            self._bell.ring()

    def step(self, connection: Connection, now: Now | None, names: Names | None = None) -> Step:
        """A step on this connection."""
        return Step(
            connection, now or clock.now(), names or self.names, self.handed, self.statistics
        )

    def ring(self) -> None:
        """Tell of a commit that another connection made."""
        self._bell.ring()

    def tend(self) -> None:
        """Write statistics that lie about, and see to the log."""
        if self.statistics.due():
            self.run(lambda step: None)
        if self._queue and self._checkpoints.due():
            with trouble(self._place), self.alone() as connection, self._queue.held():
                self._checkpoints.run(connection)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction that ends with the block: committed, or rolled back by an exception."""
        connection = self._connection
        if connection is None:
            raise StoreUnavailable(f"{self._place}: the store is closed")
        if self._identify() != self._identity:
            raise StoreUnavailable(
                f"{self._place}: the file was removed or replaced while it was in use;"
                " nothing is written to it until the store is opened again"
            )
        with self._queue.held() if self._queue else nullcontext():
            before = connection.total_changes
            connection.execute("BEGIN IMMEDIATE")
            taken = self.statistics.take() if self.statistics.due() else {}
            try:
                yield connection
                if taken:
                    statistics.write(connection, taken)
                connection.execute("COMMIT")
            except BaseException:
                # SQLite may have rolled back by itself, as it does when the disk is full.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self.names.forget()
                self.statistics.give_back(taken)
                raise
            self._checkpoints.note(connection.total_changes - before)
            if self._checkpoints.due() and self._queue:
                self._checkpoints.run(connection)

    def _identify(self) -> tuple[int, int] | None:
        if self._address.path is None:
            return None
        try:
            found = os.stat(self._address.path)
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino
