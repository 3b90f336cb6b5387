"""A connection lent to somebody for a transaction that may last only so long.

When the time is up the transaction is rolled back, whatever its thread is doing, so that nobody
hangs with the file in hand; from then on every statement is refused.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self
from weakref import WeakSet

from mainspring.errors import TransactionError

_INSIST_SECONDS = 0.01


class Lent(sqlite3.Connection):
    """Refuses every statement once it was called back."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._at_work = threading.RLock()
        self._refusal: str | None = None
        self._cursors: WeakSet[_LentCursor] = WeakSet()

    @contextmanager
    def limited(self, seconds: float, let_go: Callable[[], object]) -> Iterator[None]:
        """Call the connection back, and then `let_go`, when the block lasts so long."""
        timer = threading.Timer(seconds, self._call_back, (seconds, let_go))
        timer.name, timer.daemon = "mainspring-transaction", True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _call_back(self, seconds: float, let_go: Callable[[], object]) -> None:
        self._refusal = (
            f"the transaction was open for {seconds:.1f} s, more is not allowed"
            " (a third of the lease); nothing was committed"
        )
        with suppress(sqlite3.Error):  # closed in the meantime
            # Only a statement at work is interrupted: the rollback would be as well otherwise. It
            # is told again, since it may just not have begun.
            while not self._at_work.acquire(timeout=_INSIST_SECONDS):
                self.interrupt()
            try:
                self.roll_back()
                let_go()
            finally:
                self._at_work.release()

    def roll_back(self) -> None:
        """Undo what was not committed, called back or not."""
        with self._at_work:
            # A query not read to its end would keep an interrupt alive, and the transaction of a
            # closed connection as long as anybody knows the query.
            for cursor in list(self._cursors):
                cursor.close()
            if self.in_transaction:
                super().execute("ROLLBACK")

    @contextmanager
    def using(self) -> Iterator[None]:
        """Not called back in the block; `TransactionError` if it was before, or wants to be."""
        with self._at_work:
            self.must_be_lent()
            try:
                yield
            except sqlite3.Error:
                self.must_be_lent()
                raise

    def must_be_lent(self) -> None:
        """`TransactionError` once the time is up."""
        if self._refusal is not None:
            raise TransactionError(self._refusal)

    def cursor(self) -> "_LentCursor":  # type: ignore[override]
        cursor = super().cursor(_LentCursor)
        self._cursors.add(cursor)
        return cursor

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        return self.cursor().executemany(sql, parameters)

    def executescript(self, script: str, /) -> sqlite3.Cursor:
        return self.cursor().executescript(script)


class _LentCursor(sqlite3.Cursor):
    connection: Lent

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        with self.connection.using():
            return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Self:
        with self.connection.using():
            return super().executemany(sql, parameters)

    def executescript(self, script: str, /) -> sqlite3.Cursor:
        with self.connection.using():
            return super().executescript(script)

    def fetchone(self) -> Any:
        with self.connection.using():
            return super().fetchone()

    def fetchmany(self, size: int | None = None) -> list[Any]:
        with self.connection.using():
            return super().fetchmany(self.arraysize if size is None else size)

    def fetchall(self) -> list[Any]:
        with self.connection.using():
            return super().fetchall()

    def __next__(self) -> Any:
        with self.connection.using():
            return super().__next__()
