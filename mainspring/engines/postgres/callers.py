"""Transactions of others: inserting within a caller's own, and lending one that settles a job.

A thread that has inserted in a transaction of its own and then inserts beside it has most likely
forgotten to give the connection along; it is told so.
"""

import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from mainspring.engines.common.sections import sections
from mainspring.engines.common.tallies import Statistics
from mainspring.engines.postgres import statistics
from mainspring.engines.postgres.address import Address
from mainspring.engines.postgres.insert import are_plain, insert, insert_plain, learn
from mainspring.engines.postgres.reader import qualified
from mainspring.engines.postgres.settle import settle
from mainspring.engines.postgres.step import Again, Step
from mainspring.engines.postgres.trouble import trouble
from mainspring.engines.postgres.writer import BEGIN, Writer, roll_back
from mainspring.errors import LeaseLost, StoreUnavailable, TransactionError
from mainspring.job import Claimed, Inserted, NewJob, Now, Transition

SQL = sections(__file__)

_TRIES = 5
_OPEN = (TransactionStatus.INTRANS, TransactionStatus.INERROR, TransactionStatus.ACTIVE)

Connection = psycopg.Connection[Any]


class Callers:
    """Which threads hold a transaction on this database, and what may be done in it."""

    def __init__(self, address: Address, writer: Writer, identity: str) -> None:
        self._schema = address.schema
        self._place = address.place
        self._writer = writer
        self._identity = identity
        self._own = threading.local()

    def forbid(self) -> None:
        """`TransactionError` if this thread has a transaction open in which it inserted."""
        if self._lent() is None and not self._is_open():
            return
        raise TransactionError(
            f"{self._place}: this thread has a transaction open on the database; give its"
            " connection (tx=...), or commit first"
        )

    def _lent(self) -> Connection | None:
        lent: Connection | None = getattr(self._own, "lent", None)
        return lent

    def _is_open(self) -> bool:
        known = getattr(self._own, "inserted", None)
        if known is None:
            return False
        reference, transaction = known
        connection: Connection | None = reference()
        if connection is not None and connection.info.transaction_status in _OPEN:
            row = self._writer.read(lambda reader: reader.row(SQL["status"], (transaction,)))
            if row[0] == "in progress":
                return True
        self._own.inserted = None
        return False

    # --- insert -----------------------------------------------------------------------------

    def insert(
        self, connection: Any, jobs: Sequence[NewJob[Any]], now: Now | None
    ) -> list[Inserted]:
        """Insert within the caller's transaction: all of them, or none and an exception."""
        raw = _raw(connection)
        lent = self._lent()
        if raw is not lent:
            self._examine(raw)
        learn(self._writer.names, jobs, self._writer.read)
        # No statement of the clock's in a transaction of the caller's.
        step = self._writer.step(raw, now or self._writer.now())
        try:
            answers = self._within(step, jobs)
        except psycopg.errors.UndefinedTable as error:
            raise self._elsewhere() from error
        if raw is not lent:
            (transaction,) = step.row(SQL["transaction"])
            self._own.inserted = weakref.ref(raw), transaction
        return answers

    def _within(self, step: Step, jobs: Sequence[NewJob[Any]]) -> list[Inserted]:
        found = step.row(SQL["identity"]) if step.row(SQL["ours"], (self._schema,)) else None
        if found is None or found[0] != self._identity:
            raise self._elsewhere()
        for _ in range(_TRIES):
            step.run(SQL["savepoint"])
            try:
                answers = insert_plain(step, jobs) if jobs and are_plain(jobs) else None
                if answers is None:
                    step.run(SQL["undo"])
                    answers = insert(step, jobs)
                    step.finish()
                step.rows(SQL["notify"], (qualified("mainspring.", self._schema),))
            except BaseException as error:
                step.moved.clear()
                with suppress(psycopg.Error):
                    step.run(SQL["undo"])
                    step.run(SQL["release"])
                if not isinstance(error, Again):
                    raise
                continue
            step.run(SQL["release"])
            return answers
        raise StoreUnavailable(f"{self._place}: others were in the way; try again")

    def _examine(self, connection: Connection) -> None:
        status = connection.info.transaction_status
        if status == TransactionStatus.IDLE and not connection.autocommit:
            return  # the first statement begins a transaction
        if status != TransactionStatus.INTRANS:
            raise TransactionError(
                f"{self._place}: the connection has no transaction open that can go on"
                f" ({status.name}); begin one"
            )

    def _elsewhere(self) -> TransactionError:
        return TransactionError(
            f"expected a connection on {self._place}, where the schema {self._schema!r} is this"
            " store's; got one on another database"
        )

    # --- lend -------------------------------------------------------------------------------

    @contextmanager
    def lend(self, job: Claimed, transition: Transition, lease: int) -> Iterator[Connection]:
        """A connection in a transaction that ends with the job's settlement."""
        self.forbid()
        most, started = lease / 3e6, time.monotonic()
        with ExitStack() as stack:
            with trouble(self._place):
                connection = stack.enter_context(self._writer.lend())
                stack.callback(roll_back, connection)
                self._begin(connection, most)
                self._must_hold(connection, job)
            self._own.lent = connection
            try:
                yield connection
            except psycopg.Error as error:
                # When the time is up the server ends the transaction, whatever it is doing.
                _must_be_in_time(started, most, error)
                raise
            finally:
                self._own.lent = None
            _must_be_in_time(started, most)
            with trouble(self._place):
                self._end(connection, job, transition)
        self._writer.ring()

    def _begin(self, connection: Connection, most: float) -> None:
        connection.execute(BEGIN)
        limit = f"{max(1, int(most * 1000))}ms"
        connection.execute(SQL["limit"], (limit, limit))

    def _must_hold(self, connection: Connection, job: Claimed) -> None:
        statement = qualified(SQL["holds"], self._schema).encode()
        if connection.execute(statement, (job.number, job.token)).fetchone() is None:
            raise LeaseLost(f"job #{job.number} is no longer held under this grant")

    def _end(self, connection: Connection, job: Claimed, transition: Transition) -> None:
        if connection.info.transaction_status != TransactionStatus.INTRANS:
            raise TransactionError("the transaction was ended inside the block; leave that to it")
        # With a memory of its own, which is written at once: this process may never write again.
        tallies = Statistics()
        step = self._writer.step(connection)
        step.statistics = tallies
        if settle(step, [transition]).lost:
            raise LeaseLost(f"job #{job.number} is no longer held under this grant")
        step.finish()
        for action in step.afterwards:
            action()
        statistics.write(step, tallies.take())
        connection.execute(b"COMMIT")


def _must_be_in_time(started: float, most: float, cause: BaseException | None = None) -> None:
    if (lasted := time.monotonic() - started) > most:
        raise TransactionError(
            f"the transaction was open for {lasted:.1f} s, {most:.1f} s are allowed"
            " (a third of the lease); nothing was committed"
        ) from cause


def _raw(connection: Any) -> Connection:
    """The driver's connection: given itself, or a session or connection of SQLAlchemy's."""
    given = connection
    if not isinstance(given, psycopg.Connection) and callable(getattr(given, "connection", None)):
        given = given.connection()  # of a session
    if not isinstance(given, psycopg.Connection):
        pooled = getattr(given, "connection", None)
        given = getattr(pooled, "driver_connection", given)
    if not isinstance(given, psycopg.Connection):
        raise TransactionError(
            "expected a psycopg.Connection, or a session or connection of SQLAlchemy's with that"
            f" driver, got {type(connection).__name__}"
        )
    return given
