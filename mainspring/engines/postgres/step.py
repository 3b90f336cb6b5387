"""A step: all that one verb writes, inside a transaction it does not control.

A step counts what it moves and writes the counts by one statement at its end. What is to happen
in memory happens after the commit. Each statement sees what was committed before it began, so
whoever wants to rely on what it saw takes the rows away or locks them (see places.py).
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from mainspring.engines.common.handed import Handed
from mainspring.engines.common.sections import sections
from mainspring.engines.common.tallies import Statistics
from mainspring.engines.postgres.afar import Afar
from mainspring.engines.postgres.arrays import bigints
from mainspring.engines.postgres.names import Names
from mainspring.engines.postgres.reader import Reader
from mainspring.job import Now
from mainspring.store import News

SQL = sections(__file__)

BEHIND = 2_000_000
"""A row of `ready` whose score is so far behind the clock when it is written is marked: claims
look for it apart."""


class Again(Exception):
    """Somebody else was faster, and the step must be done anew from its beginning."""


class Step(Reader):
    """One verb at work on a connection."""

    def __init__(
        self,
        connection: psycopg.Connection[Any] | Afar,
        tables: str,
        now: Now,
        names: Names,
        handed: Handed,
        statistics: Statistics,
    ) -> None:
        super().__init__(connection, tables)
        self.wall = now.wall
        self.lease = now.lease
        self.names = names
        self.handed = handed
        self.statistics = statistics
        self.moved: defaultdict[tuple[int, int], int] = defaultdict(int)
        self.news = News(0)
        """What signals tell of after the commit."""
        self.afterwards: list[Callable[[], object]] = []

    def after(self, action: Callable[[], object]) -> None:
        """Do this once the transaction is committed."""
        self.afterwards.append(action)

    def finish(self) -> None:
        """Write what was counted."""
        changes: Sequence[tuple[int, int, int]] = [
            (queue, state, n) for (queue, state), n in self.moved.items() if n
        ]
        self.moved.clear()
        if changes:
            queues, states, counts = zip(*changes, strict=True)
            self.run(SQL["count"], (bigints(queues), bigints(states), bigints(counts)))
