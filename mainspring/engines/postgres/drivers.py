"""Connections of callers, sync or async, by psycopg, asyncpg or SQLAlchemy."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from inspect import isawaitable
from typing import Any, Protocol

import psycopg
from psycopg.pq import TransactionStatus

from mainspring.engines.postgres.afar import Afar, AsyncpgAfar, PsycopgAfar
from mainspring.errors import ForeignConnection, TransactionError
from mainspring.transactions import OnLoop, is_async


class Driver(Protocol):
    """What is asked of a driver's connection."""

    session: "psycopg.Connection[Any] | Afar"
    """What a step runs on."""

    def obstacle(self) -> str:
        """Why nothing can take part in the transaction that is open; "" if it can."""
        ...

    def is_open(self) -> bool:
        """Whether a transaction is."""
        ...

    def begin(self, statement: bytes) -> None: ...
    def commit(self) -> None: ...
    def roll_back(self) -> None: ...


class Caller:
    """A caller's connection. `given` is what the caller holds, `session` what a step runs on."""

    def __init__(self, given: Any, begin: bytes | None = None) -> None:
        """`begin` is the statement that begins a transaction of ours."""
        loop = given if isinstance(given, OnLoop) else None
        self.given = given.connection if isinstance(given, OnLoop) else given
        _must_suit(self.given, loop)
        self.ours = begin is not None
        self._begin = begin or b"BEGIN"
        self._do = _doing(loop)
        self._below = _below(self.given, self._do)
        self._driver = _driver(self.given, self._below, loop, self._do)

    @property
    def session(self) -> psycopg.Connection[Any] | Afar:
        """What a step runs on."""
        return self._driver.session

    def must_be_open(self) -> None:
        """`TransactionError` unless there is a transaction to take part in."""
        if obstacle := self._driver.obstacle():
            raise TransactionError(
                f"expected a connection with a transaction open, got {_name(self.given)} {obstacle}"
            )

    def begin(self) -> None:
        """Begin the transaction; it must be the block's alone."""
        if self._driver.is_open():
            raise TransactionError(
                "expected a connection without a transaction open, got one with:"
                " it is begun and committed with the block"
            )
        self._driver.begin(self._begin)

    def must_have_stayed_open(self) -> None:
        """`TransactionError` if the caller ended the transaction, or it failed."""
        if not self._driver.is_open() or not self._is_same():
            raise TransactionError("the transaction was ended inside the block; leave that to it")
        self.must_be_open()

    def _is_same(self) -> bool:
        """Whether SQLAlchemy has not given the driver's connection back to its pool meanwhile."""
        if not _is_of_alchemy(self.given):
            return True
        return self.given.in_transaction() and _below(self.given, self._do) is self._below

    def commit(self) -> None:
        """End it well."""
        self._driver.commit()

    def flush(self) -> None:
        """Have written what the caller's session still keeps back."""
        if callable(flush := getattr(self.given, "flush", None)):
            self._do(flush)

    def roll_back(self) -> None:
        """End it without a trace, as far as the server is there."""
        with suppress(Exception):
            self._driver.roll_back()


@contextmanager
def own_errors() -> Iterator[None]:
    """Raise errors of the caller's connection as the caller's driver does."""
    try:
        yield
    except psycopg.Error as error:
        cause = error.__cause__
        if cause is not None and _is_of_asyncpg(cause):
            raise cause from None
        raise


Do = Callable[[Callable[[], Any]], Any]
"""Makes a call; what it gives to be awaited is awaited in the caller's event loop."""


def _doing(loop: OnLoop | None) -> Do:
    def do(call: Callable[[], Any]) -> Any:
        answer = call()
        return answer if loop is None or not isawaitable(answer) else loop.run(_awaited(answer))

    return do


async def _awaited(answer: Any) -> Any:
    return await answer


def _must_suit(given: Any, loop: OnLoop | None) -> None:
    if loop is None and is_async(given):
        raise TransactionError(
            f"expected a connection for blocking code, got {_name(given)}, which belongs to an"
            " event loop: there, `await task.using(tx=...).aenqueue(...)` and"
            " `async with current().atransaction(tx=...)`"
        )
    if loop is not None and not is_async(given):
        raise TransactionError(
            f"expected a connection of an event loop's, got {_name(given)}: it takes"
            " `with current().transaction(tx=...)`"
        )


def _driver(given: Any, below: Any, loop: OnLoop | None, do: Do) -> Driver:
    if isinstance(below, psycopg.Connection):
        return _Psycopg(given, below, below, do)
    if isinstance(below, psycopg.AsyncConnection) and loop is not None:
        return _Psycopg(given, below, PsycopgAfar(below, loop), do)
    if _is_of_asyncpg(below) and loop is not None:
        if below is given:
            return _Asyncpg(below, AsyncpgAfar(below, loop), do)
        return _AsyncpgBelow(given, below, AsyncpgAfar(below, loop), do)
    raise ForeignConnection(
        "expected a connection of psycopg or asyncpg, or a session or connection of SQLAlchemy's"
        f" with one of these drivers, got {_name(given)}"
        + ("" if below is given else f" on {_name(below)}")
    )


def _below(given: Any, do: Do) -> Any:
    """The driver's connection: given itself, or below a session or connection of SQLAlchemy's."""
    if not _is_of_alchemy(given):
        return given
    connection = given
    if callable(getattr(type(given), "connection", None)):
        connection = do(given.connection)  # of a session
    elif not given.in_transaction():
        do(given.begin)  # else its commit would do nothing
    if hasattr(connection, "get_raw_connection"):
        pooled = do(connection.get_raw_connection)
    else:
        pooled = connection.connection
    return pooled.driver_connection


class _Psycopg:
    """psycopg's connections tell their state themselves, and begin by themselves."""

    def __init__(self, given: Any, below: Any, session: Any, do: Do) -> None:
        self.session = session
        self._given, self._below, self._do = given, below, do

    def obstacle(self) -> str:
        status = self._below.info.transaction_status
        if status == TransactionStatus.INTRANS:
            return ""
        if status != TransactionStatus.IDLE:
            return f"whose transaction cannot go on ({status.name}): roll it back"
        return "in autocommit mode with none: begin one" if self._below.autocommit else ""

    def is_open(self) -> bool:
        closed = (TransactionStatus.IDLE, TransactionStatus.UNKNOWN)
        return self._below.info.transaction_status not in closed

    def begin(self, statement: bytes) -> None:
        if self._below.autocommit and self._below is self._given:
            self._do(lambda: self._below.execute(statement))
        elif self._below.autocommit:
            raise TransactionError("expected a connection with transactions, got AUTOCOMMIT")

    def commit(self) -> None:
        self._do(self._given.commit)

    def roll_back(self) -> None:
        self._do(self._given.rollback)


class _Asyncpg:
    """A connection of asyncpg's, which begins a transaction when it is told to."""

    def __init__(self, below: Any, session: Afar, do: Do) -> None:
        self.session: Any = session
        self._below, self._do = below, do
        self._transaction: Any = None

    def obstacle(self) -> str:
        return "" if self.is_open() else "with none: `async with connection.transaction():`"

    def is_open(self) -> bool:
        return bool(self._below.is_in_transaction())

    def begin(self, statement: bytes) -> None:
        self._transaction = self._below.transaction()
        self._do(self._transaction.start)

    def commit(self) -> None:
        self._do(self._transaction.commit)

    def roll_back(self) -> None:
        self._do(self._transaction.rollback)


class _AsyncpgBelow(_Asyncpg):
    """The same below SQLAlchemy, which begins one at its own first statement."""

    def __init__(self, given: Any, below: Any, session: Afar, do: Do) -> None:
        super().__init__(below, session, do)
        self._given = given

    def obstacle(self) -> str:
        self._touch()
        return "" if self.is_open() else "in AUTOCOMMIT mode"

    def begin(self, statement: bytes) -> None:
        self._touch()
        if not self.is_open():
            raise TransactionError("expected a connection with transactions, got AUTOCOMMIT")

    def commit(self) -> None:
        self._do(self._given.commit)

    def roll_back(self) -> None:
        self._do(self._given.rollback)

    def _touch(self) -> None:
        if not self.is_open():
            import sqlalchemy

            self._do(lambda: self._given.execute(sqlalchemy.text("SELECT 1")))


def is_of_a_driver(error: BaseException) -> bool:
    """Whether a driver raised it, or SQLAlchemy, which keeps the driver's as `orig`."""
    return isinstance(error, psycopg.Error) or _is_of_asyncpg(error) or hasattr(error, "orig")


def _is_of_alchemy(value: object) -> bool:
    return any(kind.__module__.startswith("sqlalchemy.") for kind in type(value).__mro__)


def _is_of_asyncpg(value: object) -> bool:
    asyncpg = sys.modules.get("asyncpg")
    return asyncpg is not None and isinstance(
        value, asyncpg.Connection | asyncpg.pool.PoolConnectionProxy | asyncpg.PostgresError
    )


def _name(value: object) -> str:
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    return kind.__qualname__ if package == "builtins" else f"{package}.{kind.__qualname__}"
