"""A step: all that one verb writes, inside a transaction it does not control.

A step counts what it moves and writes the counts by one statement at its end. What is to happen
in memory happens after the commit.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from sqlite3 import Connection, Cursor
from typing import Any

import msgspec

from mainspring.engines.common.handed import Handed
from mainspring.engines.common.sections import sections
from mainspring.engines.common.tallies import Statistics
from mainspring.engines.sqlite.names import Names
from mainspring.job import Now
from mainspring.store import News

SQL = sections(__file__)

_encode = msgspec.json.Encoder().encode


def as_json(value: object) -> str:
    """The value as JSON text, for `json_each`."""
    return _encode(value).decode()


class Step:
    """One verb at work on a connection."""

    def __init__(
        self,
        connection: Connection,
        now: Now,
        names: Names,
        handed: Handed,
        statistics: Statistics,
    ) -> None:
        self.connection = connection
        self.wall = now.wall
        self.lease = now.lease
        self.names = names
        self.handed = handed
        self.statistics = statistics
        self.moved: defaultdict[tuple[int, int], int] = defaultdict(int)
        self.news = News(0)
        """What signals tell of after the commit."""
        self.surely = False
        """Whether the disk must have this before it is answered."""
        self.afterwards: list[Callable[[], object]] = []
        self._cursor = connection.cursor()
        # A caller's connection may make something else of rows.
        self._cursor.row_factory = None

    def run(self, statement: str, parameters: Any = ()) -> Cursor:
        """Execute one statement."""
        return self._cursor.execute(statement, parameters)

    def many(self, statement: str, rows: Iterable[Any]) -> int:
        """Execute one statement for each row of parameters; how many rows that changed."""
        return self._cursor.executemany(statement, rows).rowcount

    def rows(self, statement: str, parameters: Any = ()) -> list[Any]:
        """All rows of a query."""
        return self._cursor.execute(statement, parameters).fetchall()

    def row(self, statement: str, parameters: Any = ()) -> Any:
        """The first row of a query, or None. Lets go of the statement."""
        found = self._cursor.execute(statement, parameters).fetchall()
        return found[0] if found else None

    def count(self, queue: int, state: int, n: int = 1) -> None:
        """So many jobs more (or fewer) of this queue in this state."""
        self.moved[queue, state] += n

    def after(self, action: Callable[[], object]) -> None:
        """Do this once the transaction is committed."""
        self.afterwards.append(action)

    def finish(self) -> None:
        """Write what was counted."""
        changes: Sequence[tuple[int, int, int]] = [
            (queue, state, n) for (queue, state), n in self.moved.items() if n
        ]
        self.moved.clear()
        if len(changes) == 1:
            self.run(SQL["count"], changes[0])
        elif changes:
            self.run(SQL["counts"], (as_json(changes),))
