"""What waits in a queue, and what went through it."""

from sqlite3 import Connection

from mainspring.engines.common.sections import sections
from mainspring.engines.common.traffic import traffic as of
from mainspring.store import Traffic

SQL = sections(__file__)


def traffic(connection: Connection, name: str) -> Traffic:
    """All 0 for a queue that is not there."""
    here: dict[int, int] = {}
    left: dict[int, int] = {}
    for queue, state, n in connection.execute(SQL["counts"], (name,)).fetchall():
        (here if queue > 0 else left)[state] = n
    ((consumers, consumed, waited),) = connection.execute(SQL["sums"], (name,)).fetchall()
    return of(here, left, consumers, consumed, waited)
