"""Connections to the file: how every one of them is set up, and the pool of readers."""

import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mainspring.engines.sqlite.address import Address
from mainspring.engines.sqlite.trouble import trouble

BUSY_SECONDS = 5.0
"""How long SQLite's own lock is waited for; within a third of the default lease."""

_IDLE_READERS = 8
_CACHE_KIB, _READER_CACHE_KIB = 16_000, 2_000


def connect(
    address: Address,
    *,
    reader: bool = False,
    busy: float = BUSY_SECONDS,
    factory: type[sqlite3.Connection] = sqlite3.Connection,
) -> sqlite3.Connection:
    """A new connection, set up; the file must exist and be ours."""
    connection = sqlite3.connect(
        address.path or ":memory:",
        timeout=busy,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
        factory=factory,
    )
    full = address.durability == "full"
    connection.execute(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")
    # On macOS an fsync alone does not reach the disk; elsewhere this does nothing.
    connection.execute(f"PRAGMA fullfsync={'ON' if full else 'OFF'}")
    # Checkpoints are made by one chore under the writer's lock: see checkpoint.py.
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute(f"PRAGMA cache_size=-{_READER_CACHE_KIB if reader else _CACHE_KIB}")
    connection.execute("PRAGMA temp_store=MEMORY")
    connection.execute("PRAGMA trusted_schema=OFF")
    if reader:
        connection.execute("PRAGMA query_only=ON")
    return connection


def create_private(path: str) -> None:
    """Make an empty file that only its owner may read, unless there is one.

    It is made under another name and linked into place: opening and closing the file itself
    would drop the locks that SQLite holds on it elsewhere in this process.
    """
    if os.path.exists(path):
        return
    folder = os.path.dirname(path)
    descriptor, draft = tempfile.mkstemp(prefix=".mainspring-", dir=folder)
    os.close(descriptor)
    try:
        with suppress(FileExistsError):
            os.link(draft, path)
    except OSError:  # a file system without links
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    finally:
        os.unlink(draft)


class Readers:
    """Connections that only read, lent one at a time to any thread."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._idle: list[sqlite3.Connection] = []
        self._lent = 0
        self._paused = False
        self._closed = False
        self._changed = threading.Condition()

    @contextmanager
    def lend(self) -> Iterator[sqlite3.Connection]:
        """A connection for the block, whose statements all see the same moment."""
        with self._changed:
            while self._paused:
                self._changed.wait()
            self._lent += 1
            connection = self._idle.pop() if self._idle else None
        good = False
        try:
            with trouble(self._address.place):
                if connection is None:
                    connection = connect(self._address, reader=True)
                connection.execute("BEGIN")
                yield connection
                connection.execute("ROLLBACK")
                good = True
        finally:
            self._take_back(connection, good)

    def _take_back(self, connection: sqlite3.Connection | None, good: bool) -> None:
        with self._changed:
            keep = good and not self._closed and len(self._idle) < _IDLE_READERS
            if connection is not None and keep:
                self._idle.append(connection)
            self._lent -= 1
            self._changed.notify_all()
        if connection is not None and not keep:
            connection.close()

    def pause(self, timeout: float) -> bool:
        """Let go of the file until `resume`; False when somebody reads for too long."""
        with self._changed:
            self._paused = True
            quiet = self._changed.wait_for(lambda: self._lent == 0, timeout)
            self._close_idle()
        return quiet

    def resume(self) -> None:
        """Go on."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def close(self) -> None:
        """Close the idle connections now and those lent when they come back."""
        with self._changed:
            self._closed = True
            self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()
