"""Signals: a waiter learns of a commit by whichever machine, without asking again and again.

After a commit that matters the server is asked to notify, but not more often than it can be
useful, in between by a thread of its own: inside the transaction, or once for each, it would halve
the rate.
One connection per store listens. Behind every signal its owner looks now and then by itself.
"""

import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg

from mainspring.engines.postgres.address import Address
from mainspring.engines.postgres.connection import Connection, Pool, connect, is_pooled
from mainspring.engines.postgres.reader import qualified
from mainspring.errors import MainspringError
from mainspring.store import Signal

_REST_SECONDS = 0.005
"""Between two notifications."""
_RETRY_SECONDS = (0.1, 5.0)
_IDLE_SECONDS = 30.0

_NOTIFY = "SELECT pg_notify('mainspring', 'mainspring.')"


class Bell:
    """Rings after a commit."""

    def __init__(self, address: Address, pool: Pool) -> None:
        self._statement = qualified(_NOTIFY, address.tables).encode()
        self._pool = pool
        self._rung = threading.Event()
        self._mutex = threading.Lock()
        self._ringer: threading.Thread | None = None
        self._closed = False
        self._last = 0.0

    def ring(self, connection: Connection | None = None) -> None:
        """Tell everybody who listens: at once on this connection, if that was not done a moment
        ago, else soon. Never fails: a signal is a hint."""
        present = time.monotonic()
        if connection is not None and present - self._last > _REST_SECONDS:
            self._last = present
            with suppress(psycopg.Error):
                connection.execute(self._statement)
            return
        self._rung.set()
        if self._ringer is None:
            with self._mutex:
                if self._ringer is None and not self._closed:
                    self._ringer = threading.Thread(
                        target=self._work, name="mainspring-bell", daemon=True
                    )
                    self._ringer.start()

    def _work(self) -> None:
        while True:
            if not self._rung.wait(_IDLE_SECONDS):
                with self._mutex:
                    if not self._rung.is_set():
                        self._ringer = None
                        return
            self._rung.clear()
            with (
                suppress(psycopg.Error, MainspringError, OSError),
                self._pool.lend() as connection,
            ):
                self._last = time.monotonic()
                connection.execute(self._statement)
            if self._closed:
                return
            time.sleep(_REST_SECONDS)

    def close(self) -> None:
        """Ring once more if that is due, and no more."""
        with self._mutex:
            self._closed = True
            ringer = self._ringer
        if ringer is not None:
            self._rung.set()
            ringer.join(1.0)


class Ear:
    """Listens for all signals of a store, on a connection of its own that it makes anew."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._payload = qualified("mainspring.", address.tables)
        self._signals: set[_Heard] = set()
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._closed = False
        self._deaf = False
        """Whether there is nothing but a pooler to listen to, which gives the next transaction to
        another session."""
        self._end: tuple[socket.socket, socket.socket] | None = None

    @property
    def listens(self) -> bool:
        """Whether notifications reach this store, or can do so."""
        return self._address.listen != "off" and not self._deaf

    def listen(self) -> Signal:
        """A signal for every commit from now on."""
        heard = _Heard(self._leave)
        with self._mutex:
            self._signals.add(heard)
            if self.listens and self._thread is None and not self._closed:
                self._end = near, _ = socket.socketpair()
                self._thread = threading.Thread(
                    target=self._work, args=(near,), name="mainspring-listener", daemon=True
                )
                self._thread.start()
        if self.listens:
            self._ready.wait(5.0)
        return heard

    def _leave(self, heard: "_Heard") -> None:
        with self._mutex:
            self._signals.discard(heard)

    def _ring(self) -> None:
        with self._mutex:
            signals = list(self._signals)
        for each in signals:
            each.ring()

    def _work(self, end: socket.socket) -> None:
        pause, longest = _RETRY_SECONDS
        while not self._closed:
            try:
                with connect(self._address.listen) as connection:
                    self._deaf = self._address.listens_by_chance and is_pooled(connection)
                    if self._deaf:
                        self._ready.set()
                        return
                    connection.execute("LISTEN mainspring")
                    pause = _RETRY_SECONDS[0]
                    self._ready.set()
                    self._ring()  # for what was missed
                    self._hear(connection, end)
            except (psycopg.Error, OSError):
                self._ready.set()
                select.select([end], [], [], pause)
                pause = min(2 * pause, longest)

    def _hear(self, connection: Connection, end: socket.socket) -> None:
        while not self._closed:
            ready, _, _ = select.select([connection.fileno(), end.fileno()], [], [], _IDLE_SECONDS)
            if not ready:
                connection.execute("SELECT 1")  # is anybody there?
            for told in connection.notifies(timeout=0):
                if told.payload == self._payload:
                    self._ring()

    def close(self) -> None:
        """Listen no more."""
        self._closed = True
        if self._end is None or self._thread is None:
            return
        near, far = self._end
        far.send(b"!")
        self._thread.join(5.0)
        near.close()
        far.close()


class _Heard:
    """A signal."""

    def __init__(self, leave: Callable[["_Heard"], None]) -> None:
        self._event = threading.Event()
        self._leave = leave
        self._rung = False

    def ring(self) -> None:
        self._rung = True
        self._event.set()

    def wait(self, timeout: float) -> bool:
        self._event.wait(timeout)
        self._event.clear()
        rung, self._rung = self._rung, False
        return rung

    def wake(self) -> None:
        self._event.set()

    def close(self) -> None:
        self._leave(self)
