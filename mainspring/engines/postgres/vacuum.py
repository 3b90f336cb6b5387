"""Vacuuming the small tables, whose rows come and go: claims walk over what is dead.

The server would do it by itself, but once a minute; by then thousands of rows lie at the head of
the queue.
"""

import time

from mainspring.engines.common.sections import sections
from mainspring.engines.postgres.address import Address
from mainspring.engines.postgres.reader import Reader

SQL = sections(__file__)

EVERY_SECONDS = 3.0
DEAD = 2000

_TABLES = ("ready", "running", "granted", "meter", "later")


class Vacuum:
    """Looks after the small tables, so many seconds apart."""

    def __init__(self, address: Address) -> None:
        self._schema, self._prefix = address.schema, address.prefix
        self._next = time.monotonic() + EVERY_SECONDS

    def due(self) -> bool:
        """Whether it is time."""
        return time.monotonic() >= self._next

    def run(self, reader: Reader) -> None:
        """Vacuum the tables that have enough dead rows; what another is vacuuming is left to
        it."""
        self._next = time.monotonic() + EVERY_SECONDS
        names = [f"{self._prefix}{table}" for table in _TABLES]
        for (name,) in reader.rows(SQL["dirty"], (self._schema, DEAD, names)):
            reader.run(SQL[f"vacuum_{name.removeprefix(self._prefix)}"])
