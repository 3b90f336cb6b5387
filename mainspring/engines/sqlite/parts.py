"""What an open store is made of: a writer, readers, a bell, and the way through a fork."""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from sqlite3 import Connection
from typing import TypeVar

from mainspring.engines.sqlite.address import Address
from mainspring.engines.sqlite.callers import Callers
from mainspring.engines.sqlite.connection import Readers
from mainspring.engines.sqlite.disk import Sync
from mainspring.engines.sqlite.migrate import migrate, prepare_file, require_version
from mainspring.engines.sqlite.prune import Walk
from mainspring.engines.sqlite.step import Step
from mainspring.engines.sqlite.trouble import trouble
from mainspring.engines.sqlite.wake import Bell
from mainspring.engines.sqlite.writer import Writer
from mainspring.errors import StoreUnavailable
from mainspring.job import Now
from mainspring.store import News, Signal

T = TypeVar("T")

FORK_SECONDS = 5.0
"""How long a fork waits for others at work. A child that is forked nevertheless has no store."""


class Parts:
    """Everything that is there between `open` and `close`."""

    def __init__(self, address: Address, *, create: bool) -> None:
        self._address = address
        self._let_go = False, False
        require_version()
        if address.path is not None and create:
            prepare_file(address)
        self.bell = Bell(address.path)
        self.readers = Readers(address)
        self.writer = Writer(address, self.bell)
        self.callers = Callers(address, self.writer, self.readers)
        self.walk = Walk()
        if address.path is None:
            with self.writer.alone() as connection:
                migrate(connection, address.place)

    def write(self, verb: Callable[[Step], T], now: Now | None = None, *, first: bool = False) -> T:
        """Do this in a transaction; see `Writer.run`."""
        self.callers.forbid()
        return self.writer.run(verb, now, first=first)

    def insert(self, verb: Callable[[Step], T], now: Now | None = None) -> T:
        """Insert jobs, or write entries, in a transaction. Jobs may begin and entries be read
        before the disk has them, but it has them before whoever brought them is told."""
        self.callers.forbid()
        return self.writer.run(verb, now, sync=Sync.BEFORE_THE_ANSWER)

    def claim(
        self,
        verb: Callable[[Step], T],
        look: Callable[[Connection], T | None],
        now: Now | None = None,
    ) -> T:
        """Claim in a transaction; when another program keeps the file locked, `look` may show that
        there is nothing to claim. Jobs begin before the disk has their claim: when the power
        fails, whoever held it is gone too. Careful ones and suspects, which may be what makes it
        fail, do not (`Step.surely`)."""
        self.callers.forbid()
        return self.writer.run(verb, now, look=look, sync=Sync.SOON)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection whose statements all see the same moment."""
        if self._address.path is not None:
            with self.readers.lend() as connection:
                yield connection
        elif (lent := self.callers.lent()) is not None:
            yield lent
        else:
            with trouble(self._address.place), self.writer.alone() as connection:
                yield connection

    def listen(self, news: News) -> Signal:
        """A signal for every such commit from now on."""
        with self.reading() as connection:
            connection.execute("SELECT 1 FROM meta").fetchall()  # so that there is a log to watch
        return self.bell.listen(news)

    def close(self) -> None:
        """Finish and let go."""
        self.readers.close()
        self.writer.close()
        self.bell.close()

    # --- forks ------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Let go of the file. What SQLite remembers of locks is inherited and the locks are not:
        with a connection open, parent and child would destroy each other's work."""
        if self._address.path is not None and self.callers.lent() is None:
            self._let_go = self.writer.pause(FORK_SECONDS), self.readers.pause(FORK_SECONDS)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        writer, _ = self._let_go
        self._let_go = False, False
        if writer:
            self.writer.resume()
        self.readers.resume()

    def after_fork_in_child(self) -> "Parts | None":
        """Parts of the child's own; None where it cannot have any."""
        # Whatever is still open stays open: one reference is given that nobody gives back.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))
        self.writer.leave()
        try:
            return Parts(self._address, create=False) if all(self._let_go) else None
        except StoreUnavailable:
            return None
