"""Transactions of others: inserting within a caller's own, and lending one that settles a job.

Neither takes part in the writers' queue the way a verb does: who holds such a transaction holds
SQLite's write lock for as long as it likes. So a thread that holds one may not wait for the
ordinary writer, which would wait for it.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

from mainspring.engines.common.sections import sections
from mainspring.engines.common.tallies import Statistics
from mainspring.engines.sqlite import clock, statistics
from mainspring.engines.sqlite.address import Address
from mainspring.engines.sqlite.connection import Readers, connect
from mainspring.engines.sqlite.insert import insert
from mainspring.engines.sqlite.lent import Lent
from mainspring.engines.sqlite.locks import QueueLock
from mainspring.engines.sqlite.names import Names
from mainspring.engines.sqlite.settle import settle
from mainspring.engines.sqlite.step import Step
from mainspring.engines.sqlite.trouble import BUSY, primary_code, trouble
from mainspring.engines.sqlite.writer import Writer
from mainspring.errors import ForeignConnection, LeaseLost, NotImmediate, TransactionError
from mainspring.job import Claimed, Inserted, NewJob, Now, Transition
from mainspring.store import News
from mainspring.transactions import OnLoop

SQL = sections(__file__)

_GLANCE_SECONDS = 0.2
_NO_NUMBER = 0
"""A number that no job has."""


class Callers:
    """Which threads hold a transaction on this file, and what may be done in it."""

    def __init__(self, address: Address, writer: Writer, readers: Readers) -> None:
        self._address = address
        self._place = address.place
        self._writer = writer
        self._readers = readers
        self._own = threading.local()

    def forbid(self) -> None:
        """`TransactionError` if this thread would wait for itself."""
        if self.lent() is None and not self._holds_lock():
            return
        raise TransactionError(
            f"{self._place}: this thread has a transaction open on the file; give its connection"
            " (tx=...), or commit first: waiting for it here would never end"
        )

    def _holds_lock(self) -> bool:
        """Whether a transaction in which this thread inserted is still open. The connection was
        not kept, since that would keep it from being closed: so look at what became of the job,
        and if it is not there, whether the file can be written to."""
        number: int | None = getattr(self._own, "inserted", None)
        if number is None:
            return False
        with self._readers.lend() as connection:
            committed = bool(connection.execute(SQL["exists"], (number,)).fetchall())
        if not committed and not self._can_be_written():
            return True
        self._own.inserted = None
        return False

    def _can_be_written(self) -> bool:
        with closing(connect(self._address, busy=_GLANCE_SECONDS)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                return primary_code(error) not in BUSY
            connection.execute("ROLLBACK")
        return True

    def lent(self) -> sqlite3.Connection | None:
        """The connection that this thread was lent and has not given back."""
        lent: sqlite3.Connection | None = getattr(self._own, "lent", None)
        return lent

    def insert(
        self, connection: Any, jobs: Sequence[NewJob[Any]], now: Now | None
    ) -> list[Inserted]:
        """Insert within the caller's transaction: all of them, or none and an exception."""
        if (lent := self.lent()) is not None and connection is lent:
            return self._within(lent, jobs, now)
        self._examine(connection)
        self._own.inserted = _NO_NUMBER
        try:
            connection.execute(SQL["no_checkpoint"])
            answers = self._within(connection, jobs, now)
        except sqlite3.OperationalError as error:
            if primary_code(error) not in BUSY:
                with trouble(self._place):
                    raise
            self._own.inserted = None
            raise NotImmediate(
                f"{self._place}: the transaction could not be made to write ({error});"
                " begin it with BEGIN IMMEDIATE"
            ) from error
        self._writer.expect()
        fresh = (each for each in answers if not each.repeated and each.duplicate_of is None)
        self._own.inserted = next((each.number for each in fresh), _NO_NUMBER)
        return answers

    def _within(
        self, connection: sqlite3.Connection, jobs: Sequence[NewJob[Any]], now: Now | None
    ) -> list[Inserted]:
        connection.execute(SQL["savepoint"])
        try:
            step = self._step(connection, now)
            answers = insert(step, jobs)
            step.finish()
        except BaseException:
            if connection.in_transaction:
                connection.execute(SQL["undo"])
                connection.execute(SQL["release"])
            raise
        connection.execute(SQL["release"])
        return answers

    def _examine(self, connection: Any) -> None:
        if not isinstance(connection, sqlite3.Connection):
            given = connection.connection if isinstance(connection, OnLoop) else connection
            raise ForeignConnection(
                f"expected an sqlite3.Connection on {self._place}, got {type(given).__name__}"
            )
        cursor = connection.cursor()
        cursor.row_factory = None
        (file,) = [row[2] for row in cursor.execute(SQL["files"]) if row[1] in ("main", b"main")]
        file = os.fsdecode(file or "")
        path = self._address.path
        if not file or path is None or not os.path.samefile(file, path):
            raise ForeignConnection(
                f"expected a connection on {self._place}, got one on {file or 'memory'}"
            )
        if not connection.in_transaction:
            raise NotImmediate(
                f"{self._place}: the connection has no transaction open;"
                " begin one with BEGIN IMMEDIATE"
            )

    def _step(self, connection: sqlite3.Connection, now: Now | None = None) -> Step:
        # Names of its own: what it adds to them may be rolled back by the owner, unseen.
        return self._writer.step(connection, now, Names())

    @contextmanager
    def lend(
        self, job: Claimed, transition: Transition, lease: int
    ) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction that ends with the job's settlement."""
        self.forbid()
        most, started = lease / 3e6, time.monotonic()
        with self._begun(most) as connection:
            self._must_hold(connection, job)
            self._own.lent = connection
            try:
                yield connection
            finally:
                self._own.lent = None
            with trouble(self._place):
                if (lasted := time.monotonic() - started) > most:
                    raise TransactionError(
                        f"the transaction was open for {lasted:.1f} s, {most:.1f} s are allowed"
                        " (a third of the lease); nothing was committed"
                    )
                self._end(connection, job, transition)
        self._writer.ring(News.JOBS)

    @contextmanager
    def _begun(self, most: float) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction; what is not committed in the block, or in so many
        seconds, is rolled back."""
        if self._address.path is None:
            with self._writer.alone() as connection:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                finally:
                    _roll_back(connection)
            return
        queue = QueueLock(f"{self._address.path}-lock")
        with trouble(self._place):
            connection = connect(self._address, factory=Lent)
            assert isinstance(connection, Lent)
        try:
            with queue.held():
                with trouble(self._place):
                    connection.execute("BEGIN IMMEDIATE")
                try:
                    with connection.limited(most, queue.release):
                        yield connection
                finally:
                    with suppress(sqlite3.ProgrammingError):  # closed by the user
                        connection.roll_back()
        finally:
            connection.close()
            queue.close()

    def _must_hold(self, connection: sqlite3.Connection, job: Claimed) -> None:
        if not connection.execute(SQL["holds"], (job.number, job.token)).fetchall():
            raise LeaseLost(f"job #{job.number} is no longer held under this grant")

    def _end(
        self,
        connection: sqlite3.Connection,
        job: Claimed,
        transition: Transition,
    ) -> None:
        if isinstance(connection, Lent):
            connection.must_be_lent()
        if not _in_transaction(connection):
            raise TransactionError("the transaction was ended inside the block; leave that to it")
        # With a memory of its own, which is written at once: this process may never write again.
        tallies = Statistics()
        step = Step(connection, clock.now(), Names(), self._writer.handed, tallies)
        if settle(step, [transition]).lost:
            raise LeaseLost(f"job #{job.number} is no longer held under this grant")
        step.finish()
        for action in step.afterwards:
            action()
        statistics.write(connection, tallies.take())
        connection.execute("COMMIT")


def _roll_back(connection: sqlite3.Connection) -> None:
    if _in_transaction(connection):
        connection.execute("ROLLBACK")


def _in_transaction(connection: sqlite3.Connection) -> bool:
    try:
        return connection.in_transaction
    except sqlite3.ProgrammingError:  # closed
        return False
