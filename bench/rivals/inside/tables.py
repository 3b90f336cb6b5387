"""The tables of a rival on PostgreSQL, as the harness empties, analyzes and counts them."""

import psycopg
from psycopg.sql import SQL, Identifier
from workload import store


class Tables:
    """Those of one rival."""

    def __init__(self, *names: str) -> None:
        self._names = [Identifier(name) for name in names]
        self._connection = psycopg.connect(store(), autocommit=True)

    def empty(self) -> None:
        """As new: nothing dead is left in them either."""
        names = SQL(", ").join(self._names)
        self._connection.execute(SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(names))

    def analyze(self) -> None:
        """What the server would do by itself a minute after a bulk insert: good plans from now."""
        self._connection.execute(SQL("ANALYZE {}").format(SQL(", ").join(self._names)))

    def count(self, column: str, values: list[str]) -> int:
        """How many rows of the first table have one of these values in this column."""
        query = SQL("SELECT count(*) FROM {} WHERE {}::text = ANY(%s)")
        rows = self._connection.execute(
            query.format(self._names[0], Identifier(column)), [values]
        ).fetchone()
        assert rows is not None
        return int(rows[0])
