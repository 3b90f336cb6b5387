"""What an open store is made of: a writer, readers, a bell, and the way through a fork."""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from sqlite3 import Connection
from typing import TypeVar

from mainspring.engines.sqlite.address import Address
from mainspring.engines.sqlite.callers import Callers
from mainspring.engines.sqlite.connection import Readers, connect
from mainspring.engines.sqlite.migrate import migrate, prepare_file
from mainspring.engines.sqlite.prune import Walk
from mainspring.engines.sqlite.step import Step
from mainspring.engines.sqlite.trouble import trouble
from mainspring.engines.sqlite.wake import Bell
from mainspring.engines.sqlite.writer import Writer
from mainspring.errors import StoreUnavailable
from mainspring.job import Now

T = TypeVar("T")


class Parts:
    """Everything that is there between `open` and `close`."""

    def __init__(self, address: Address, *, create: bool) -> None:
        self._address = address
        self._process = os.getpid()
        if address.path is not None and create:
            prepare_file(address)
        self.bell = Bell(address.path, lambda: connect(address, reader=True))
        self.readers = Readers(address)
        self.writer = Writer(address, self.bell)
        self.callers = Callers(address, self.writer)
        self.walk = Walk()
        if address.path is None:
            with self.writer.alone() as connection:
                migrate(connection, address.place)

    def write(self, verb: Callable[[Step], T], now: Now | None = None, *, first: bool = False) -> T:
        """Do this in a transaction; see `Writer.run`."""
        self.callers.forbid()
        return self.writer.run(verb, now, first=first)

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

    def close(self) -> None:
        """Finish and let go."""
        self.readers.close()
        self.writer.close()
        self.bell.close()

    def after_fork(self) -> "Parts | None":
        """In a child process: parts of its own, and nothing of its parent's touched again."""
        # Closing an inherited connection would do damage to the parent's file, so it must
        # never be collected: it is given one reference that nobody gives back.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))
        self.writer.abandon()
        if self._address.path is None:
            return None
        try:
            return Parts(self._address, create=False)
        except StoreUnavailable:
            return None
