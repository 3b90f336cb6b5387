"""The one writer of a process: verbs that are called at the same time share a transaction."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from sqlite3 import Connection
from typing import Any, NamedTuple, TypeVar

from mainspring.engines.common.handed import Handed
from mainspring.engines.common.tallies import Statistics
from mainspring.engines.common.turns import Turn, Turns
from mainspring.engines.sqlite import clock, statistics
from mainspring.engines.sqlite.address import Address
from mainspring.engines.sqlite.checkpoint import Checkpoints
from mainspring.engines.sqlite.connection import connect
from mainspring.engines.sqlite.disk import Disk, Sync
from mainspring.engines.sqlite.identity import Identity
from mainspring.engines.sqlite.locks import QueueLock
from mainspring.engines.sqlite.names import Names
from mainspring.engines.sqlite.step import Step
from mainspring.engines.sqlite.trouble import BUSY, primary_code, translated, trouble
from mainspring.engines.sqlite.wake import Bell
from mainspring.errors import StoreFull, StoreUnavailable
from mainspring.job import Now
from mainspring.store import News

T = TypeVar("T")
Verb = Callable[[Step], T]


class Work(NamedTuple):
    """A verb, and how it may be done: `look` may find the answer by reading alone, if another
    program keeps the file locked."""

    verb: Verb[Any]
    now: Now | None
    look: Callable[[Connection], Any] | None
    sync: Sync


class Writer:
    """Runs steps, one transaction after the other, on the only connection that writes."""

    def __init__(self, address: Address, bell: Bell) -> None:
        self.names = Names()
        self.handed = Handed()
        self.statistics = Statistics()
        self._address = address
        self._bell = bell
        self._turns = Turns()
        self._disk = Disk(address)
        self._queue = QueueLock(address.path and f"{address.path}-lock")
        self._checkpoints = Checkpoints()
        self._connection: Connection | None = None
        self._closed = False
        self._paused: Turn | None = None
        with trouble(address.place):
            self._identity = Identity(address)
            self._connection = connect(address)

    def run(
        self,
        verb: Verb[T],
        now: Now | None = None,
        *,
        first: bool = False,
        look: Callable[[Connection], T | None] | None = None,
        sync: Sync = Sync.BEFORE_IT_SHOWS,
    ) -> T:
        """Do this in a transaction, and return when it is committed. `first` goes before all
        others that wait; for the rest see `Work`."""
        turn = Turn(Work(verb, now, look, sync))
        self._turns.run(turn, self._do, first=first)
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

    def ring(self, news: News) -> None:
        """Tell of a commit that another connection made."""
        self._bell.ring(news)

    def expect(self) -> None:
        """Tell that a caller's transaction, which is open, may bring news of jobs."""
        self._bell.expect()

    def tend(self) -> None:
        """Write statistics that lie about, and make a checkpoint that is due."""
        if self.statistics.due():
            self.run(lambda step: None)
        if self._checkpoints.due():
            place = self._address.place
            with trouble(place), self.alone() as connection, self._queue.held():
                self._checkpoint(connection)

    def flush(self) -> None:
        """Write statistics, however few."""
        if self.statistics.pending():
            self.run(self._flush)

    def close(self) -> None:
        """Write what is left to write and close; later calls are refused."""
        with suppress(StoreUnavailable):
            self.flush()
        with self._turns.alone():
            self._closed = True
            if self._connection is not None:
                with self._queue.held():
                    self._checkpoint(self._connection, truncate=True)
                self._connection.close()
                self._connection = None
                self._disk.forget()
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
            self._disk.forget()
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

    def _do(self, batch: list[Turn], *, apart: bool = False) -> None:
        """Do the work of all in one transaction. If that fails, do it again with each kept apart
        from the others, and if that fails too, each in a transaction of its own."""
        try:
            steps = self._together(batch, apart)
        except Exception as error:
            told = translated(error, self._address.place) or error
            full = isinstance(told, StoreFull)
            if full:
                self._checkpoints.hurry()  # it may be the log that has filled the disk
            away = isinstance(told, StoreUnavailable) and not full
            if len(batch) > 1 and not away:
                for some in [[turn] for turn in batch] if apart else [batch]:
                    self._do(some, apart=True)
                return
            for turn in batch:
                turn.error, turn.done = told, True
        else:
            self._conclude(batch, steps)

    def _together(self, batch: list[Turn], apart: bool) -> list[Step]:
        connection = self._usable()
        try:
            self._queue.acquire()
            self._clear_the_way(connection)
            rows = connection.total_changes
            try:
                steps = self._transaction(connection, batch, apart)
            except sqlite3.OperationalError as error:
                if primary_code(error) not in BUSY or not _answered_by_looking(connection, batch):
                    raise
                steps = []
            if written := connection.total_changes - rows:
                self._checkpoints.note(written)
            if self._checkpoints.due():
                self._checkpoint(connection)
        finally:
            self._queue.release()
        return steps

    def _clear_the_way(self, connection: Connection) -> None:
        """Make the checkpoint that must come before another commit, if there is one."""
        if self._checkpoints.urgent or self._disk.in_doubt:
            self._checkpoint(connection)
        if self._disk.in_doubt:
            raise StoreUnavailable(
                f"{self._address.place}: the disk failed to take what was written, and nothing"
                " more is taken until it has; try again"
            )

    def _conclude(self, batch: list[Turn], steps: list[Step]) -> None:
        """What follows a commit: others hear of it, the disk gets it, and those who asked are
        answered."""
        for step in steps:
            for action in step.afterwards:
                action()
        self._ring(steps, News.ENDS, News.POSTS)
        try:
            if steps:
                surely = any(step.surely for step in steps)
                least = Sync.BEFORE_THE_ANSWER if surely else Sync.SOON
                self._disk.bring(max(least, *(turn.work.sync for turn in batch)))
        except OSError as error:
            told = translated(error, self._address.place)
            for turn in batch:
                turn.error = turn.error or told
        for turn in batch:
            turn.done = True

    def _transaction(self, connection: Connection, batch: list[Turn], apart: bool) -> list[Step]:
        """All steps, committed together, or an exception and nothing. Kept apart, a step that
        fails is its turn's error and harms no other."""
        sync = max(turn.work.sync for turn in batch)
        # Who waits for no sync does not wait for statistics either.
        taken = self.statistics.take() if sync and self.statistics.due() else {}
        steps = []
        try:
            _roll_back(connection)  # of an interrupt that no handler was left for
            self._disk.prepare(connection, sync)
            connection.execute("BEGIN IMMEDIATE")
            for turn in batch:
                step = self.step(connection, turn.work.now)
                with self._kept_apart(connection, turn) if apart else nullcontext():
                    turn.answer = turn.work.verb(step)
                    step.finish()
                    steps.append(step)
            if taken:
                statistics.write(connection, taken)
            self._bell.expect_no_more()
            # Whoever claims now waits for this transaction to end, and so comes just in time.
            self._ring(steps, News.WORK)
            connection.execute("COMMIT")
        except BaseException:
            # SQLite may have rolled back by itself, as it does when the disk is full.
            _roll_back(connection)
            self.names.forget()
            self.statistics.give_back(taken)
            raise
        return steps

    def _ring(self, steps: Sequence[Step], *kinds: News) -> None:
        for news in kinds:
            if any(news in step.news for step in steps):
                self._bell.ring(news)

    @contextmanager
    def _kept_apart(self, connection: Connection, turn: Turn) -> Iterator[None]:
        turn.error = None
        connection.execute("SAVEPOINT turn")
        try:
            yield
        except Exception as error:
            if not connection.in_transaction:
                raise  # SQLite gave up the work of all, as it does when the disk is full
            connection.execute("ROLLBACK TO turn")
            self.names.forget()
            turn.error = translated(error, self._address.place) or error
        connection.execute("RELEASE turn")

    def _usable(self) -> Connection:
        if self._closed:
            raise StoreUnavailable(f"{self._address.place}: the store is closed")
        self._identity.verify()
        if self._connection is None:
            self._connection = connect(self._address)
        return self._connection

    def _checkpoint(self, connection: Connection, *, truncate: bool = False) -> None:
        # What was committed stays committed, whatever becomes of this chore.
        if self._address.path is not None:
            with suppress(sqlite3.Error):
                if self._checkpoints.run(connection, truncate=truncate):
                    self._disk.in_doubt = False

    def _flush(self, step: Step) -> None:
        taken = self.statistics.take()
        try:
            statistics.write(step.connection, taken)
        except BaseException:
            self.statistics.give_back(taken)
            raise


def _answered_by_looking(connection: Connection, batch: list[Turn]) -> bool:
    """Whether a lone turn found its answer without a transaction."""
    [turn, *others] = batch
    if others or turn.work.look is None:
        return False
    turn.answer = turn.work.look(connection)
    return turn.answer is not None


def _roll_back(connection: Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
