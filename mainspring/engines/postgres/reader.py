"""Statements on a connection, for whatever name the schema has."""

from functools import lru_cache
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from mainspring.engines.postgres import arrays


@lru_cache(2048)
def qualified(statement: str, schema: str) -> str:
    """The statement for a schema of this name."""
    if schema == "mainspring":
        return statement
    return statement.replace("mainspring.", f'"{schema}".')


class Reader:
    """Statements on a connection."""

    def __init__(self, connection: psycopg.Connection[Any], schema: str) -> None:
        self.connection = connection
        self.schema = schema
        # A caller's connection may make something else of rows.
        self._cursor = connection.cursor(binary=True, row_factory=tuple_row)
        arrays.register(self._cursor)

    def run(self, statement: str, parameters: Any = ()) -> int:
        """Execute one statement; how many rows that changed."""
        return self._cursor.execute(qualified(statement, self.schema), parameters).rowcount

    def rows(self, statement: str, parameters: Any = ()) -> list[Any]:
        """All rows of a query."""
        return self._cursor.execute(qualified(statement, self.schema), parameters).fetchall()

    def row(self, statement: str, parameters: Any = ()) -> Any:
        """The first row of a query, or None."""
        return self._cursor.execute(qualified(statement, self.schema), parameters).fetchone()
