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


class Vacuum:
    """Looks after the small tables, so many seconds apart."""

    def __init__(self, address: Address) -> None:
        self._schema = address.schema
        self._next = time.monotonic() + EVERY_SECONDS

    def due(self) -> bool:
        """Whether it is time."""
        return time.monotonic() >= self._next

    def run(self, reader: Reader) -> None:
        """Vacuum the tables that have enough dead rows; what another is vacuuming is left to
        it."""
        self._next = time.monotonic() + EVERY_SECONDS
        for (table,) in reader.rows(SQL["dirty"], (self._schema, DEAD)):
            reader.run(SQL[f"vacuum_{table}"])
