"""Connections to the database: how every one of them is set up, and the pool of them.

Nothing is set for a session: behind a pooler each transaction may meet another one.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from mainspring.engines.postgres import arrays
from mainspring.engines.postgres.address import Address
from mainspring.engines.postgres.trouble import is_lost
from mainspring.errors import StoreUnavailable

Connection: TypeAlias = psycopg.Connection[tuple[object, ...]]

CONNECTIONS = 8
"""The most that one store has open for its verbs."""
WAIT_SECONDS = 10.0
CONNECT_SECONDS = 5
IDLE_SECONDS = 300.0


def connect(conninfo: str) -> Connection:
    """A new connection, outside of any transaction."""
    connection = psycopg.connect(conninfo, **_options(conninfo))
    arrays.register(connection)
    return connection


async def aconnect(conninfo: str) -> psycopg.AsyncConnection[tuple[object, ...]]:
    """The same, of the running event loop's."""
    return await psycopg.AsyncConnection.connect(conninfo, **_options(conninfo))


def is_pooled(connection: psycopg.Connection[Any]) -> bool:
    """Whether a pooler stands between: it cannot tell by which process of the server it will be
    served."""
    row = connection.cursor(row_factory=tuple_row).execute("SELECT pg_backend_pid()").fetchone()
    return row is not None and row[0] != connection.info.backend_pid


def _options(conninfo: str) -> dict[str, Any]:
    return {
        "autocommit": True,
        "prepare_threshold": None,  # a pooler may give the next transaction to another session
        "client_encoding": "utf8",
        "application_name": "mainspring",
        **_patience(conninfo),
    }


def _patience(conninfo: str) -> dict[str, Any]:
    given = psycopg.conninfo.conninfo_to_dict(conninfo)
    wished = {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
    }
    return {name: value for name, value in wished.items() if name not in given}


class Pool:
    """Connections lent one at a time to any thread."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._idle: list[tuple[Connection, float]] = []
        self._mutex = threading.Lock()
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        self._closed = False

    @contextmanager
    def lend(self) -> Iterator[Connection]:
        """A connection for the block; one that is broken or left in a transaction is not used
        again."""
        if not self._free.acquire(timeout=WAIT_SECONDS):
            raise StoreUnavailable(
                f"{self._address.place}: all {CONNECTIONS} connections were busy for"
                f" {WAIT_SECONDS:.0f} s"
            )
        try:
            with self.lend_beyond() as connection:
                yield connection
        finally:
            self._free.release()

    @contextmanager
    def lend_beyond(self) -> Iterator[Connection]:
        """The same for who may need a second one meanwhile, beyond the number that is kept."""
        connection: Connection | None = None
        try:
            connection = self._take()
            yield connection
        except BaseException as error:
            if connection is not None and is_lost(error):
                self.forget_idle()  # they lead to the same server
            raise
        finally:
            if connection is not None:
                self._take_back(connection)

    def _take(self) -> Connection:
        stale = []
        with self._mutex:
            if self._closed:
                raise StoreUnavailable(f"{self._address.place}: the store is closed")
            connection = self._idle.pop()[0] if self._idle else None
            oldest = time.monotonic() - IDLE_SECONDS
            while self._idle and self._idle[0][1] < oldest:
                stale.append(self._idle.pop(0)[0])
        _close(stale)
        return connection or connect(self._address.conninfo)

    def _take_back(self, connection: Connection) -> None:
        good = connection.info.transaction_status == TransactionStatus.IDLE
        with self._mutex:
            room = not self._closed and len(self._idle) < CONNECTIONS
            if good and room and not connection.closed:
                self._idle.append((connection, time.monotonic()))
                return
        _close([connection])

    def forget_idle(self) -> None:
        """Close what is idle."""
        with self._mutex:
            idle, self._idle = self._idle, []
        _close([connection for connection, _ in idle])

    def close(self) -> None:
        """Close the idle connections now and those lent when they come back."""
        with self._mutex:
            self._closed = True
        self.forget_idle()


def _close(connections: list[Connection]) -> None:
    for connection in connections:
        with suppress(psycopg.Error):
            connection.close()
