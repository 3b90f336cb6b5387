"""Transactions of others: inserting within a caller's own, and lending one that settles a job.

Neither takes part in the writers' queue the way a verb does: who holds such a transaction holds
SQLite's write lock for as long as it likes. So a thread that holds one may not wait for the
ordinary writer, which would wait for it.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from mainspring.engines.sqlite.address import Address
from mainspring.engines.sqlite.connection import connect
from mainspring.engines.sqlite.locks import QueueLock
from mainspring.engines.sqlite.names import Names
from mainspring.engines.sqlite.sections import sections
from mainspring.engines.sqlite.settle import settle
from mainspring.engines.sqlite.step import Step
from mainspring.engines.sqlite.trouble import BUSY, primary_code, trouble
from mainspring.engines.sqlite.writer import Writer
from mainspring.errors import LeaseLost, NotImmediate, TransactionError
from mainspring.job import Claimed, Now, Transition

SQL = sections(__file__)

T = TypeVar("T")


class Callers:
    """Which threads hold a transaction on this file, and what may be done in it."""

    def __init__(self, address: Address, writer: Writer) -> None:
        self._address = address
        self._place = address.place
        self._writer = writer
        self._own = threading.local()

    def forbid(self) -> None:
        """`TransactionError` if this thread would wait for itself."""
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            return
        if not _in_transaction(connection):
            self._own.connection = None
            return
        raise TransactionError(
            f"{self._place}: this thread has a transaction open on the file; give its connection"
            " (tx=...), or commit first: waiting for it here would never end"
        )

    def lent(self) -> sqlite3.Connection | None:
        """The connection that this thread was lent and has not given back."""
        lent: sqlite3.Connection | None = getattr(self._own, "lent", None)
        return lent

    def run(self, connection: Any, verb: Callable[[Step], T], now: Now | None) -> T:
        """Do this inside the caller's transaction: all of it, or none and an exception."""
        if connection is not self.lent():
            self._examine(connection)
        self._own.connection = connection
        try:
            connection.execute(SQL["no_checkpoint"])
            connection.execute(SQL["savepoint"])
            try:
                step = self._step(connection, now)
                answer = verb(step)
                step.finish()
            except BaseException:
                if connection.in_transaction:
                    connection.execute(SQL["undo"])
                    connection.execute(SQL["release"])
                raise
            connection.execute(SQL["release"])
        except sqlite3.OperationalError as error:
            if primary_code(error) not in BUSY:
                with trouble(self._place):
                    raise
            raise NotImmediate(
                f"{self._place}: the transaction could not be made to write ({error});"
                " begin it with BEGIN IMMEDIATE"
            ) from error
        return answer

    def _examine(self, connection: Any) -> None:
        if not isinstance(connection, sqlite3.Connection):
            raise TransactionError(
                f"expected an sqlite3.Connection on {self._place}, got {type(connection).__name__}"
            )
        cursor = connection.cursor()
        cursor.row_factory = None
        (file,) = [row[2] for row in cursor.execute(SQL["files"]) if row[1] in ("main", b"main")]
        file = os.fsdecode(file or "")
        path = self._address.path
        if not file or path is None or not os.path.samefile(file, path):
            raise TransactionError(
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
        started = time.monotonic()
        with self._begun() as connection:
            self._must_hold(connection, job)
            self._own.connection = self._own.lent = connection
            try:
                yield connection
            finally:
                self._own.connection = self._own.lent = None
            with trouble(self._place):
                step = self._end(connection, job, transition, lease / 3e6, started)
        for action in step.afterwards:
            action()
        self._writer.ring()

    @contextmanager
    def _begun(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction; what is not committed in the block is rolled back."""
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
            connection = connect(self._address)
        try:
            with queue.held():
                with trouble(self._place):
                    connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                finally:
                    _roll_back(connection)
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
        most: float,
        started: float,
    ) -> Step:
        if not _in_transaction(connection):
            raise TransactionError("the transaction was ended inside the block; leave that to it")
        if (lasted := time.monotonic() - started) > most:
            raise TransactionError(
                f"the transaction was open for {lasted:.1f} s, {most:.1f} s are allowed"
                " (a third of the lease); nothing was committed"
            )
        step = self._step(connection)
        if settle(step, [transition]).lost:
            raise LeaseLost(f"job #{job.number} is no longer held under this grant")
        step.finish()
        connection.execute("COMMIT")
        return step


def _roll_back(connection: sqlite3.Connection) -> None:
    if _in_transaction(connection):
        connection.execute("ROLLBACK")


def _in_transaction(connection: sqlite3.Connection) -> bool:
    try:
        return connection.in_transaction
    except sqlite3.ProgrammingError:  # closed
        return False
