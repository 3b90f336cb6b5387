"""The store's clock: the server's, looked at no more than a second ago.

In between, this machine's own clock that runs on through everything tells how much has passed.
"""

import time

from psycopg import Connection

from mainspring.job import Now

LOOK_SECONDS = 1.0

QUICK, TRIES = 50_000, 3
"""Microseconds in which an answer is exact enough, and how often to ask for one."""

_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_LOOK = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


def _elapsed() -> int:
    return time.clock_gettime_ns(_ELAPSED) // 1000


class Clock:
    """The server's time, as this process knows it."""

    def __init__(self) -> None:
        self.offset = 0
        """The server's wall clock less this machine's time since it was started."""
        self._looked = float("-inf")

    def now(self, connection: Connection) -> Now:
        """The present."""
        if _elapsed() / 1e6 - self._looked > LOOK_SECONDS:
            self.look(connection)
        wall = _elapsed() + self.offset
        return Now(wall, wall)

    def look(self, connection: Connection) -> None:
        """Ask the server. An answer is as exact as it was quick: one that was long on its way, as
        after a network that was cut, is asked for again."""
        quickest = None
        for _ in range(TRIES):
            before = _elapsed()
            row = connection.execute(_LOOK).fetchone()
            after = _elapsed()
            assert row is not None
            if quickest is None or after - before < quickest:
                quickest = after - before
                self.offset = int(row[0]) - (before + after) // 2
            if quickest <= QUICK:
                break
        self._looked = _elapsed() / 1e6
