"""Statements on a connection, for whatever names the tables have."""

from functools import lru_cache
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from mainspring.engines.postgres import arrays
from mainspring.engines.postgres.afar import Afar


@lru_cache(2048)
def qualified(statement: str, tables: str) -> str:
    """The statement for a store whose names begin so; see `Address.tables`."""
    return statement.replace("mainspring.", tables)


class Reader:
    """Statements on a connection."""

    def __init__(self, connection: psycopg.Connection[Any] | Afar, tables: str) -> None:
        self.connection = connection
        self.tables = tables
        self._cursor: Any = connection
        if isinstance(connection, psycopg.Connection):
            # A caller's connection may make something else of rows.
            self._cursor = connection.cursor(binary=True, row_factory=tuple_row)
            arrays.register(self._cursor)

    def run(self, statement: str, parameters: Any = ()) -> int:
        """Execute one statement; how many rows that changed."""
        changed: int = self._cursor.execute(qualified(statement, self.tables), parameters).rowcount
        return changed

    def rows(self, statement: str, parameters: Any = ()) -> list[Any]:
        """All rows of a query."""
        rows: list[Any]
        rows = self._cursor.execute(qualified(statement, self.tables), parameters).fetchall()
        return rows

    def row(self, statement: str, parameters: Any = ()) -> Any:
        """The first row of a query, or None."""
        return self._cursor.execute(qualified(statement, self.tables), parameters).fetchone()
