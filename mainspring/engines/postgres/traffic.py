"""What waits in a queue, and what went through it."""

from mainspring.engines.common.sections import sections
from mainspring.engines.common.traffic import traffic as of
from mainspring.engines.postgres.reader import Reader
from mainspring.store import Traffic

SQL = sections(__file__)


def traffic(reader: Reader, name: str) -> Traffic:
    """All 0 for a queue that is not there."""
    here: dict[int, int] = {}
    left: dict[int, int] = {}
    for queue, state, n in reader.rows(SQL["counts"], (name,)):
        (here if queue > 0 else left)[state] = n
    ((consumers, consumed, waited),) = reader.rows(SQL["sums"], {"name": name})
    return of(here, left, consumers, consumed, waited)
