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
from mainspring.engines.postgres.connection import aconnect
from mainspring.engines.postgres.drivers import Caller, is_of_a_driver, own_errors
from mainspring.engines.postgres.insert import are_plain, insert, insert_plain, learn
from mainspring.engines.postgres.settle import settle
from mainspring.engines.postgres.step import Again, Step
from mainspring.engines.postgres.trouble import trouble
from mainspring.engines.postgres.wake import notice
from mainspring.engines.postgres.writer import BEGIN, Writer
from mainspring.errors import ForeignConnection, LeaseLost, StoreUnavailable, TransactionError
from mainspring.job import Claimed, Inserted, NewJob, Now, Transition
from mainspring.store import News
from mainspring.transactions import OnLoop

SQL = sections(__file__)

_TRIES = 5

Connection = psycopg.Connection[Any]


class Callers:
    """Which threads hold a transaction on this database, and what may be done in it."""

    def __init__(self, address: Address, writer: Writer, identity: str) -> None:
        self._address = address
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
        if connection is not None and connection.info.transaction_status != TransactionStatus.IDLE:
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
        lent = self._lent()
        caller = Caller(connection)
        session = caller.session
        if session is not lent:
            caller.must_be_open()
        learn(self._writer.names, jobs, self._writer.read)
        step = self._writer.step(session, now or self._writer.now())
        try:
            with own_errors():
                answers = self._within(step, jobs)
        except psycopg.errors.UndefinedTable as error:
            raise self._elsewhere() from error
        if isinstance(session, psycopg.Connection) and session is not lent:
            (transaction,) = step.row(SQL["transaction"])
            self._own.inserted = weakref.ref(session), transaction
        return answers

    def _within(self, step: Step, jobs: Sequence[NewJob[Any]]) -> list[Inserted]:
        self._must_be_ours(step)
        for _ in range(_TRIES):
            step.run(SQL["savepoint"])
            try:
                answers = insert_plain(step, jobs) if jobs and are_plain(jobs) else None
                if answers is None:
                    step.run(SQL["undo"])
                    answers = insert(step, jobs)
                    step.finish()
                if step.news:
                    step.rows(notice(step.news))
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

    def _must_be_ours(self, step: Step) -> None:
        (there,) = step.row(SQL["ours"], (f"{self._address.tables}meta",))
        found = step.row(SQL["identity"]) if there else None
        if found is None or found[0] != self._identity:
            raise self._elsewhere()

    def _elsewhere(self) -> TransactionError:
        return ForeignConnection(
            f"expected a connection on {self._place}, where the tables {self._address.tables}* are"
            " this store's; got one on another database"
        )

    # --- lend -------------------------------------------------------------------------------

    @contextmanager
    def lend(
        self, job: Claimed, transition: Transition, lease: int, connection: Any = None
    ) -> Iterator[Any]:
        """A connection in a transaction that ends with the job's settlement: the caller's, or one
        of ours."""
        if not isinstance(connection, OnLoop):  # else this is not the thread of who asks
            self.forbid()
        most, started = lease / 3e6, time.monotonic()
        with ExitStack() as stack:
            with trouble(self._place):
                caller = stack.enter_context(self._caller(connection))
                stack.callback(caller.roll_back)
                caller.begin()
                step = self._writer.step(caller.session, self._now(caller))
                if not caller.ours:
                    self._must_be_ours(step)
                self._must_hold(step, job, most)
            lent = caller.session
            self._own.lent = lent if isinstance(lent, psycopg.Connection) else None
            try:
                yield caller.given
            except Exception as error:
                # When the time is up the server ends the transaction, whatever it is doing.
                if is_of_a_driver(error):
                    _must_be_in_time(started, most, error)
                raise
            finally:
                self._own.lent = None
            _must_be_in_time(started, most)
            with trouble(self._place), own_errors():
                caller.flush()
                self._end(caller, job, transition)
        self._writer.ring(News.JOBS)

    @contextmanager
    def _caller(self, connection: Any) -> Iterator[Caller]:
        """The caller's connection, or one of ours."""
        if connection is None:
            with self._writer.lend() as ours:
                yield Caller(ours, begin=BEGIN)
        elif isinstance(connection, OnLoop) and connection.connection is None:
            connection.connection = connection.run(aconnect(self._address.conninfo))
            try:
                yield Caller(connection, begin=BEGIN)
            finally:
                connection.run(connection.connection.close())
        else:
            yield Caller(connection)

    def _now(self, caller: Caller) -> Now:
        # A transaction of the caller's gets no statement of the clock's.
        if caller.ours and isinstance(caller.given, psycopg.Connection):
            return self._writer.clock.now(caller.given)
        return self._writer.now()

    def _must_hold(self, step: Step, job: Claimed, most: float) -> None:
        limit = f"{max(1, int(most * 1000))}ms"
        step.rows(SQL["limit"], (limit, limit))
        if step.row(SQL["holds"], (job.number, job.token)) is None:
            raise LeaseLost(f"job #{job.number} is no longer held under this grant")

    def _end(self, caller: Caller, job: Claimed, transition: Transition) -> None:
        caller.must_have_stayed_open()
        step = self._writer.step(caller.session, self._now(caller))
        # With a memory of its own, which is written at once: this process may never write again.
        tallies = Statistics()
        step.statistics = tallies
        if settle(step, [transition]).lost:
            raise LeaseLost(f"job #{job.number} is no longer held under this grant")
        step.finish()
        for action in step.afterwards:
            action()
        statistics.write(step, tallies.take())
        caller.commit()


def _must_be_in_time(started: float, most: float, cause: BaseException | None = None) -> None:
    if (lasted := time.monotonic() - started) > most:
        raise TransactionError(
            f"the transaction was open for {lasted:.1f} s, {most:.1f} s are allowed"
            " (a third of the lease); nothing was committed"
        ) from cause
