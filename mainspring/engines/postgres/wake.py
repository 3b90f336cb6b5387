"""Signals: a waiter learns of a commit by whichever machine, without asking again and again.

After a commit that is news the server is asked to notify, but not more often than it can be
useful, in between by a thread of its own: inside the transaction, or once for each, it would halve
the rate.
One connection per store listens, to the channels of what somebody waits for. Behind every signal
its owner looks now and then by itself.
"""

import select
import socket
import threading
import time
from contextlib import suppress
from functools import cache

import psycopg

from mainspring.engines.common.audience import NOTHING, Audience
from mainspring.engines.postgres.address import Address
from mainspring.engines.postgres.connection import Connection, Pool, connect, is_pooled
from mainspring.engines.postgres.reader import qualified
from mainspring.errors import MainspringError
from mainspring.store import News, Signal

_REST_SECONDS = 0.005
"""Between two notifications."""
_RETRY_SECONDS = (0.1, 5.0)
_IDLE_SECONDS = 30.0
_LISTEN_SECONDS = 5.0
_POKES = 4096

_CHANNELS = {
    News.WORK: "mainspring_work",
    News.ENDS: "mainspring_ends",
    News.POSTS: "mainspring_posts",
}
_NEWS = {channel: news for news, channel in _CHANNELS.items()}


@cache
def notice(news: News) -> str:
    """The statement that tells all who listen."""
    told = (f"pg_notify('{_CHANNELS[each]}', 'mainspring.')" for each in news)
    return f"SELECT {', '.join(told)}"


class Bell:
    """Rings after a commit."""

    def __init__(self, address: Address, pool: Pool) -> None:
        self._tables = address.tables
        self._pool = pool
        self._due = NOTHING
        self._rung = threading.Event()
        self._mutex = threading.Lock()
        self._ringer: threading.Thread | None = None
        self._closed = False
        self._last = 0.0

    def ring(self, news: News, connection: Connection | None = None) -> None:
        """Tell everybody who listens: at once on this connection, if that was not done a moment
        ago, else soon. Never fails: a signal is a hint."""
        if not news:
            return
        present = time.monotonic()
        if connection is not None and present - self._last > _REST_SECONDS:
            self._last = present
            with suppress(psycopg.Error):
                self._notify(connection, news)
            return
        with self._mutex:
            self._due |= news
            self._rung.set()
            if self._ringer is None and not self._closed:
                self._ringer = threading.Thread(
                    target=self._work, name="mainspring-bell", daemon=True
                )
                self._ringer.start()

    def _notify(self, connection: Connection, news: News) -> None:
        connection.execute(qualified(notice(news), self._tables).encode())

    def _work(self) -> None:
        while True:
            if not self._rung.wait(_IDLE_SECONDS):
                with self._mutex:
                    if not self._rung.is_set():
                        self._ringer = None
                        return
            with self._mutex:
                self._rung.clear()
                news, self._due = self._due, NOTHING
            with (
                suppress(psycopg.Error, MainspringError, OSError),
                self._pool.lend() as connection,
            ):
                self._last = time.monotonic()
                if news:
                    self._notify(connection, news)
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
        self._audience = Audience(self._reach)
        self._changed = threading.Condition()
        self._hears = NOTHING
        self._thread: threading.Thread | None = None
        self._away = False
        """Whether the server was not there when it was last tried."""
        self._closed = False
        self._deaf = False
        """Whether there is nothing but a pooler to listen to, which gives the next transaction to
        another session."""
        self._end: tuple[socket.socket, socket.socket] | None = None

    @property
    def listens(self) -> bool:
        """Whether notifications reach this store, or can do so."""
        return self._address.listen != "off" and not self._deaf

    def listen(self, news: News) -> Signal:
        """A signal for every such commit from now on."""
        return self._audience.join(news)

    def _reach(self, news: News) -> None:
        if not self.listens:
            return
        with self._changed:
            if self._thread is None and not self._closed:
                self._end = near, _ = socket.socketpair()
                self._thread = threading.Thread(
                    target=self._work, args=(near,), name="mainspring-listener", daemon=True
                )
                self._thread.start()
            elif news not in self._hears:
                self._poke()
            self._changed.wait_for(lambda: news in self._hears or self._away, _LISTEN_SECONDS)

    def _poke(self) -> None:
        if self._end is not None:
            self._end[1].send(b"!")

    def _work(self, end: socket.socket) -> None:
        pause, longest = _RETRY_SECONDS
        while not self._closed:
            try:
                with connect(self._address.listen) as connection:
                    self._deaf = self._address.listens_by_chance and is_pooled(connection)
                    if self._deaf:
                        self._now_hears(NOTHING)
                        return
                    pause = _RETRY_SECONDS[0]
                    self._hear(connection, end)
            except (psycopg.Error, OSError):
                self._now_hears(NOTHING)
                if select.select([end], [], [], pause)[0]:
                    end.recv(_POKES)
                pause = min(2 * pause, longest)

    def _hear(self, connection: Connection, end: socket.socket) -> None:
        heard = NOTHING
        while not self._closed:
            if more := self._audience.news & ~heard:
                for each in more:
                    connection.execute(f"LISTEN {_CHANNELS[each]}".encode())
                heard |= more
                self._audience.ring(heard)  # for what was missed
                self._now_hears(heard)
            ready, _, _ = select.select([connection.fileno(), end.fileno()], [], [], _IDLE_SECONDS)
            if not ready:
                connection.execute("SELECT 1")  # is anybody there?
            if end.fileno() in ready:
                end.recv(_POKES)
            for told in connection.notifies(timeout=0):
                if told.payload == self._address.tables:
                    self._audience.ring(_NEWS.get(told.channel, NOTHING))

    def _now_hears(self, news: News) -> None:
        with self._changed:
            self._hears, self._away = news, not news
            self._changed.notify_all()

    def close(self) -> None:
        """Listen no more."""
        self._closed = True
        if self._end is None or self._thread is None:
            return
        self._poke()
        self._thread.join(5.0)
        for end in self._end:
            end.close()
