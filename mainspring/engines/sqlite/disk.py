"""Disk: when a commit reaches it: before others see it, before it is answered, or soon after.

SQLite syncs its log while it holds the write lock, and shows a commit only afterwards. What nobody
was promised before the answer need not be hidden so long: a job that is being inserted may begin
while its insert is still on its way to the disk, and other processes write meanwhile.
"""

import enum
import logging
import os
import threading
import time
from contextlib import suppress
from sqlite3 import Connection

from mainspring.engines.sqlite.address import Address

log = logging.getLogger("mainspring")

SOON_SECONDS = 0.003
"""What was answered before it was synced waits so long for a commit that is synced anyway."""


class Sync(enum.IntEnum):
    """When a transaction must be on the disk; of several that share one, the highest holds."""

    SOON = 0
    BEFORE_THE_ANSWER = 1
    BEFORE_IT_SHOWS = 2


class Disk:
    """The log of one connection, used by one thread at a time, and a thread that comes after it.

    `in_doubt` says that the system could not write what was committed, and has forgotten so by
    now: only a checkpoint, which writes it elsewhere, makes it sure.
    """

    def __init__(self, address: Address) -> None:
        self.in_doubt = False
        self._is_full = address.path is not None and address.durability == "full"
        self._can_sync = hasattr(os, "fdatasync")
        self._path = f"{address.path}-wal"
        self._lock = threading.Lock()
        self._file: int | None = None
        self._owes = threading.Event()
        self._follower: threading.Thread | None = None
        self._pragma = "FULL"

    def prepare(self, connection: Connection, sync: Sync) -> None:
        """Have the next transaction of this connection synced by SQLite, or not."""
        if not self._is_full:
            return
        by_sqlite = sync is Sync.BEFORE_IT_SHOWS or not self._can_sync
        pragma = "FULL" if by_sqlite else "NORMAL"
        if pragma != self._pragma:
            connection.execute(f"PRAGMA synchronous={pragma}")
            self._pragma = pragma

    def bring(self, sync: Sync) -> None:
        """See to it that what was committed gets to the disk in time. `OSError`.

        Also if this transaction wrote nothing: it may rest on another's that is still on its way.
        """
        if not self._is_full or not self._can_sync:
            return
        if sync is Sync.BEFORE_IT_SHOWS:
            self._owes.clear()
        elif sync is Sync.BEFORE_THE_ANSWER:
            self._owes.clear()
            self._sync()
        else:
            self._owes.set()
            if self._follower is None or not self._follower.is_alive():
                self._follow()

    def forget(self) -> None:
        """The connection is closed: another one may have another log."""
        self._pragma = "FULL"
        with self._lock:
            if self._file is not None:
                with suppress(OSError):
                    os.close(self._file)
                self._file = None

    def _sync(self) -> None:
        with self._lock:
            if self._file is None:
                # SQLite holds no lock on the log, so closing this drops none.
                self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fdatasync(self._file)
            except OSError:
                self.in_doubt = True
                raise

    def _follow(self) -> None:
        name = "mainspring-disk"
        follower = threading.Thread(target=self._come_after, name=name, daemon=True)
        try:
            follower.start()
        except RuntimeError:  # no thread can be had: then now
            self._owes.clear()
            self._sync()
        else:
            self._follower = follower

    def _come_after(self) -> None:
        # It ends when it is idle: stores come and go, and a fork has none of it.
        while self._owes.wait(1.0):
            time.sleep(SOON_SECONDS)
            if self._owes.is_set():
                self._owes.clear()
                try:
                    self._sync()
                except OSError as error:
                    log.error("%s could not be synced: %s", self._path, error)
