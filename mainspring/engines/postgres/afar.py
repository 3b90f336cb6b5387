"""Statements of a step on a connection that belongs to an event loop: the step waits in a thread.

Both look to a step like the cursor it has on a connection of its own.
"""

import re
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from mainspring.engines.postgres import arrays
from mainspring.transactions import OnLoop

_PLACE = re.compile(r"%(?:\((\w+)\))?([sbt%])")


class Afar:
    """Executes a statement at a time; its answer is there until the next."""

    def __init__(self) -> None:
        self.rowcount = 0
        self._rows: list[Any] = []

    def execute(self, statement: str, parameters: Any = ()) -> "Afar":
        """As a cursor does."""
        raise NotImplementedError

    def fetchall(self) -> list[Any]:
        """As a cursor does."""
        return self._rows

    def fetchone(self) -> Any:
        """As a cursor does."""
        return self._rows[0] if self._rows else None


class PsycopgAfar(Afar):
    """On a `psycopg.AsyncConnection`."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], loop: OnLoop) -> None:
        super().__init__()
        self._cursor = connection.cursor(binary=True, row_factory=tuple_row)
        self._loop = loop
        arrays.register(self._cursor)

    def execute(self, statement: str, parameters: Any = ()) -> Afar:
        self._loop.run(self._execute(statement, parameters))
        return self

    async def _execute(self, statement: str, parameters: Any) -> None:
        cursor = self._cursor
        await cursor.execute(statement.encode(), parameters)
        self.rowcount = cursor.rowcount
        self._rows = await cursor.fetchall() if cursor.description else []


class AsyncpgAfar(Afar):
    """On a connection of asyncpg's. What the server says is raised as psycopg would, with the
    driver's own error as its cause."""

    def __init__(self, connection: Any, loop: OnLoop) -> None:
        super().__init__()
        self._connection = connection
        self._loop = loop

    def execute(self, statement: str, parameters: Any = ()) -> Afar:
        numbered, names = _numbered(statement)
        values = [parameters[name] for name in names] if names else parameters
        self._loop.run(self._execute(numbered, list(map(arrays.bare, values))))
        return self

    async def _execute(self, statement: str, values: list[Any]) -> None:
        import asyncpg

        try:
            prepared = await self._connection.prepare(statement, name="")
            self._rows = [tuple(row) for row in await prepared.fetch(*values)]
        except asyncpg.PostgresError as error:
            raise psycopg.errors.lookup(error.sqlstate)(str(error)) from error
        told = prepared.get_statusmsg().rpartition(" ")[2]
        self.rowcount = int(told) if told.isdecimal() else 0


@lru_cache(512)
def _numbered(statement: str) -> tuple[str, tuple[str, ...]]:
    """The statement with $1, $2 … for psycopg's placeholders; the names in this order, if they
    have names."""
    names: list[str] = []
    count = 0

    def number(found: re.Match[str]) -> str:
        nonlocal count
        name, kind = found.groups()
        if kind == "%":
            return "%"
        if name is None:
            count += 1
            return f"${count}"
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _PLACE.sub(number, statement), tuple(names)
