"""Disk: when a commit reaches it, before others see it, before it is answered, or with the next.

SQLite syncs its log while it holds the write lock, and shows a commit only afterwards. What nobody
was promised before the answer need not be hidden so long: a job that is being inserted may begin
while its insert is still on its way to the disk, and other processes write meanwhile.
"""

import enum
import os
from contextlib import suppress
from sqlite3 import Connection

from mainspring.engines.sqlite.address import Address


class Sync(enum.IntEnum):
    """When a transaction must be on the disk; of several that share one, the highest holds."""

    WITH_THE_NEXT = 0
    BEFORE_THE_ANSWER = 1
    BEFORE_IT_SHOWS = 2


class Disk:
    """The log of one connection. Used by one thread at a time."""

    def __init__(self, address: Address) -> None:
        self._is_full = address.path is not None and address.durability == "full"
        self._can_sync = hasattr(os, "fdatasync")
        self._path = f"{address.path}-wal"
        self._file: int | None = None
        self._pragma = "FULL"

    def prepare(self, connection: Connection, sync: Sync) -> None:
        """Have the next transaction of this connection synced by SQLite, or not."""
        if not self._is_full:
            return
        by_sqlite = sync is Sync.BEFORE_IT_SHOWS or not (self._can_sync or sync is Sync(0))
        pragma = "FULL" if by_sqlite else "NORMAL"
        if pragma != self._pragma:
            connection.execute(f"PRAGMA synchronous={pragma}")
            self._pragma = pragma

    def bring(self, sync: Sync) -> None:
        """Return when what was committed is on the disk, if SQLite has not seen to it. `OSError`.

        Also if this transaction wrote nothing: it may rest on another's that is still on its way.
        """
        if not self._is_full or not self._can_sync or sync is not Sync.BEFORE_THE_ANSWER:
            return
        if self._file is None:
            # SQLite holds no lock on the log, so closing this drops none.
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        os.fdatasync(self._file)

    def forget(self) -> None:
        """The connection is closed: another one may have another log."""
        self._pragma = "FULL"
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None
