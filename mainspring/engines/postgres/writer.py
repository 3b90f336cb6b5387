"""Transactions of our own: each verb in one, done again when another was in its way."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from mainspring.engines.common.handed import Handed
from mainspring.engines.common.tallies import Statistics
from mainspring.engines.postgres import statistics
from mainspring.engines.postgres.address import Address
from mainspring.engines.postgres.afar import Afar
from mainspring.engines.postgres.clock import Clock
from mainspring.engines.postgres.connection import Connection, Pool
from mainspring.engines.postgres.names import Names
from mainspring.engines.postgres.reader import Reader
from mainspring.engines.postgres.step import Again, Step
from mainspring.engines.postgres.trouble import AGAIN, is_lost, translated
from mainspring.engines.postgres.wake import Bell
from mainspring.errors import StoreUnavailable
from mainspring.job import Now
from mainspring.store import News

T = TypeVar("T")
Verb = Callable[[Step], T]

TRIES = 20
"""How often a verb is done anew when others are in its way."""
LOST_TRIES = 2
"""And how often when the connection is lost: as many as show that not only one was stale."""

BEGIN = (
    b"BEGIN ISOLATION LEVEL READ COMMITTED;"
    b" SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '10s'"
)
"""Each statement sees what was committed before it, whatever the server's default is. A lock that
somebody keeps is not waited for beyond a third of a lease, and who stands still or vanishes in the
middle keeps his own for less than one. (All of it for this transaction: a pooler gives the next
one to another session.)"""


class Writer:
    """Runs steps and reads, on connections of the pool."""

    def __init__(self, address: Address, pool: Pool, bell: Bell) -> None:
        self.names = Names()
        self.handed = Handed()
        self.statistics = Statistics()
        self.clock = Clock()
        self._address = address
        self._pool = pool
        self._bell = bell

    def run(self, verb: Verb[T], now: Now | None = None, *, repeatable: bool = True) -> T:
        """Do this in a transaction, and return when it is committed. One that is not `repeatable`
        is not done anew once it may have been committed."""
        return self._insist(lambda connection: self._once(connection, verb, now), repeatable)

    def alone(self, verb: Verb[T], now: Now | None = None) -> T:
        """Do this, of which one statement writes at most, without a transaction around it."""

        def act(connection: Connection) -> T:
            step = self.step(connection, now or self.clock.now(connection))
            answer = verb(step)
            self._conclude(step, connection)
            return answer

        return self._insist(act, repeatable=True)

    def read(self, look: Callable[[Reader], T]) -> T:
        """Look, outside of any transaction."""
        return self._insist(
            lambda connection: look(Reader(connection, self._address.tables)), repeatable=True
        )

    def now(self) -> Now:
        """The present."""
        return self._insist(self.clock.now, repeatable=True)

    def step(self, connection: "psycopg.Connection[tuple[object, ...]] | Afar", now: Now) -> Step:
        """A step on this connection."""
        return Step(connection, self._address.tables, now, self.names, self.handed, self.statistics)

    def ring(self, news: News) -> None:
        """Tell of a commit that another connection made."""
        self._bell.ring(news)

    def flush(self) -> None:
        """Write statistics that lie about."""
        taken = self.statistics.take()
        if taken:
            try:
                self.run(lambda step: statistics.write(step, taken))
            except BaseException:
                self.statistics.give_back(taken)
                raise

    def _once(self, connection: Connection, verb: Verb[T], now: Now | None) -> T:
        step = self.step(connection, now or self.clock.now(connection))
        with _transaction(connection):
            answer = verb(step)
            step.finish()
        self._conclude(step, connection)
        return answer

    def _conclude(self, step: Step, connection: Connection) -> None:
        for action in step.afterwards:
            action()
        self._bell.ring(step.news, connection)

    def _insist(self, act: Callable[[Connection], T], repeatable: bool) -> T:
        tries = lost = 0
        while True:
            try:
                with self._pool.lend() as connection:
                    return act(connection)
            except (Again, *AGAIN) as error:
                tries += 1
                if tries > TRIES:
                    raise StoreUnavailable(
                        f"{self._address.place}: others were in the way {TRIES} times; try again"
                    ) from error
                time.sleep(random.random() * 0.002 * tries)
            except (psycopg.Error, OSError) as error:
                lost += 1
                unsure = not repeatable and isinstance(error, _AtCommit)
                if not is_lost(_cause(error)) or lost > LOST_TRIES or unsure:
                    told = translated(_cause(error), self._address.place)
                    if told is None:
                        raise
                    raise told from error

    def lend(self) -> AbstractContextManager[Connection]:
        """A connection for a transaction of the user's."""
        return self._pool.lend_beyond()


class _AtCommit(psycopg.OperationalError):
    """The connection was lost at the commit: nobody knows whether it happened."""


def _cause(error: BaseException) -> BaseException:
    return error.__cause__ if isinstance(error, _AtCommit) and error.__cause__ else error


@contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    connection.execute(BEGIN)
    try:
        yield
    except BaseException:
        roll_back(connection)
        raise
    try:
        connection.execute(b"COMMIT")
    except psycopg.OperationalError as error:
        if is_lost(error):
            raise _AtCommit(str(error)) from error
        raise


def roll_back(connection: "psycopg.Connection[object]") -> None:
    """End the transaction, if there is one and the server is there."""
    if connection.closed or connection.info.transaction_status == TransactionStatus.IDLE:
        return
    try:
        connection.execute(b"ROLLBACK")
    except psycopg.Error:
        connection.close()
