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
_CACHE_KIB = 32_000


def connect(address: Address, *, reader: bool = False) -> sqlite3.Connection:
    """A new connection, set up; the file must exist and be ours."""
    connection = sqlite3.connect(
        address.path or ":memory:",
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    full = address.durability == "full"
    connection.execute(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")
    # Checkpoints are made by one chore under the writer's lock: see checkpoint.py.
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
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
        self._place = address.place
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def lend(self) -> Iterator[sqlite3.Connection]:
        """A connection for the block, whose statements all see the same moment."""
        with trouble(self._place):
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                connection = connect(self._address, reader=True)
            try:
                connection.execute("BEGIN")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.close()
                raise
            with self._lock:
                if not self._closed and len(self._idle) < _IDLE_READERS:
                    self._idle.append(connection)
                    return
            connection.close()

    def close(self) -> None:
        """Close the idle connections now and those lent when they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
