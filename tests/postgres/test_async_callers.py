"""Transactions of an event loop's: jobs come into being in them, and end in them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

import asyncpg
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from mainspring import Mainspring, Tasks
from mainspring.context import Context
from mainspring.errors import (
    LeaseLost,
    ResultTimeout,
    TransactionError,
    UniqueBusy,
    UniqueTaken,
    Unsupported,
)
from mainspring.ids import new_token
from mainspring.job import Claimed, Failed, State
from mainspring.lifecycle import decide
from mainspring.store import Claim, Grant, Note, Store
from tests.contract.stage import LEASE, OOPS
from tests.servers.postgres import server_url

tasks = Tasks()


@tasks.task
def note(n: int) -> int:
    return n


def asyncpg_place() -> dict[str, Any]:
    parts = psycopg.conninfo.conninfo_to_dict(server_url())
    return {
        "host": parts["host"],
        "port": int(parts["port"]),
        "user": parts["user"],
        "database": parts["dbname"],
        "password": parts.get("password"),
    }


async def run(connection: Any, statement: str) -> Any:
    """Execute it, as one does with such a connection."""
    alchemy = type(connection).__module__.startswith("sqlalchemy")
    return await connection.execute(text(statement) if alchemy else statement)


class Way(NamedTuple):
    """A way to hold a connection: `plain` has no transaction open, `begun` has one, which is
    committed with the block and rolled back by an exception."""

    name: str
    plain: Callable[[], AbstractAsyncContextManager[Any]]
    begun: Callable[[], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def psycopg_plain() -> AsyncIterator[Any]:
    async with await psycopg.AsyncConnection.connect(server_url()) as connection:
        yield connection


@asynccontextmanager
async def psycopg_autocommit() -> AsyncIterator[Any]:
    place = server_url()
    async with await psycopg.AsyncConnection.connect(place, autocommit=True) as connection:
        yield connection


@asynccontextmanager
async def psycopg_begun() -> AsyncIterator[Any]:
    async with psycopg_autocommit() as connection, connection.transaction():
        yield connection


@asynccontextmanager
async def asyncpg_plain() -> AsyncIterator[Any]:
    connection = await asyncpg.connect(**asyncpg_place())
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def asyncpg_begun() -> AsyncIterator[Any]:
    async with asyncpg_plain() as connection, connection.transaction():
        yield connection


@asynccontextmanager
async def asyncpg_pool_plain() -> AsyncIterator[Any]:
    async with (
        asyncpg.create_pool(**asyncpg_place(), min_size=1, max_size=1) as pool,
        pool.acquire() as connection,
    ):
        yield connection


@asynccontextmanager
async def asyncpg_pool_begun() -> AsyncIterator[Any]:
    async with asyncpg_pool_plain() as connection, connection.transaction():
        yield connection


def engine(driver: str, **options: Any) -> Any:
    async def connect() -> Any:
        if driver == "asyncpg":
            return await asyncpg.connect(**asyncpg_place())
        return await psycopg.AsyncConnection.connect(server_url())

    url = f"postgresql+{driver}://"
    return create_async_engine(url, async_creator=connect, poolclass=NullPool, **options)


@asynccontextmanager
async def alchemy_connection(driver: str) -> AsyncIterator[Any]:
    async with engine(driver).connect() as connection:
        yield connection


@asynccontextmanager
async def alchemy_connection_begun(driver: str) -> AsyncIterator[Any]:
    async with engine(driver).begin() as connection:
        yield connection


@asynccontextmanager
async def alchemy_session(driver: str) -> AsyncIterator[Any]:
    async with AsyncSession(engine(driver)) as session:
        yield session


@asynccontextmanager
async def alchemy_session_begun(driver: str) -> AsyncIterator[Any]:
    async with AsyncSession(engine(driver)) as session, session.begin():
        yield session


WAYS = [
    Way("psycopg", psycopg_plain, psycopg_plain),
    Way("psycopg autocommit", psycopg_autocommit, psycopg_begun),
    Way("asyncpg", asyncpg_plain, asyncpg_begun),
    Way("asyncpg pool", asyncpg_pool_plain, asyncpg_pool_begun),
    *(
        Way(
            f"SQLAlchemy {kind} on {driver}",
            partial(plain, driver),
            partial(begun, driver),
        )
        for kind, plain, begun in [
            ("connection", alchemy_connection, alchemy_connection_begun),
            ("session", alchemy_session, alchemy_session_begun),
        ]
        for driver in ("psycopg", "asyncpg")
    ),
]


FEW = [
    way for way in WAYS if way.name in ("psycopg", "asyncpg pool", "SQLAlchemy session on asyncpg")
]
"""One of each kind, where the others differ in nothing."""

each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
some_ways = pytest.mark.parametrize("way", FEW, ids=lambda way: way.name)


@pytest.fixture
def app(url: str) -> Any:
    with Mainspring(url, tasks) as app:
        app.counts()
        yield app
        assert app.check() == []


@each_way
def test_jobs_live_and_die_with_the_callers_transaction(app: Mainspring, way: Way) -> None:
    async def main() -> None:
        async with way.begun() as connection:
            kept = await note.using(tx=connection).aenqueue(1)
            more = await app.aenqueue_many([note.job(2), note.job(3)], tx=connection)
            later = await app.aenqueue(
                "note", {"n": 4}, delay="1h", unique="k", key="t", tags=["a"], tx=connection
            )
            child = await app.aenqueue(note.job(5).after(kept), tx=connection)
            assert app.find() == []
            with pytest.raises(TransactionError, match="before the transaction"):
                await kept.aresult()
        assert {job.id for job in app.find()} == {each.id for each in (kept, *more, later, child)}
        with pytest.raises(ResultTimeout):
            await kept.aresult(timeout=0.01)

    async def failing() -> None:
        async with way.begun() as connection:
            await note.using(tx=connection).aenqueue(6)
            raise ZeroDivisionError

    asyncio.run(main())
    with pytest.raises(ZeroDivisionError):
        asyncio.run(failing())
    assert len(app.find()) == 5


@some_ways
def test_a_refused_insert_leaves_the_callers_transaction_as_it_was(
    app: Mainspring, way: Way
) -> None:
    async def main() -> None:
        note.using(unique="k").enqueue(1)
        async with way.begun() as connection:
            with pytest.raises(UniqueTaken):
                await note.using(tx=connection, unique="k", on_duplicate="error").aenqueue(2)
            assert (await note.using(tx=connection, unique="k").aenqueue(3)).duplicate
            await note.using(tx=connection).aenqueue(4)
        assert sorted(job.payload["n"] for job in app.find()) == [1, 4]

    asyncio.run(main())


@some_ways
def test_a_key_taken_in_an_open_transaction_is_busy(app: Mainspring, way: Way) -> None:
    async def main() -> None:
        async with way.begun() as first:
            await note.using(tx=first, unique="k").aenqueue(1)
            async with way.begun() as second:
                with pytest.raises(UniqueBusy):
                    await note.using(tx=second, unique="k").aenqueue(2)
                await note.using(tx=second).aenqueue(3)
        assert sorted(job.payload["n"] for job in app.find()) == [1, 3]

    asyncio.run(main())


@some_ways
def test_an_insert_that_is_cancelled_inserts_nothing_and_the_transaction_goes_on(
    app: Mainspring, way: Way
) -> None:
    async def main() -> None:
        async with way.begun() as first:
            await note.using(tx=first, unique="k").aenqueue(1)
            async with way.begun() as second:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await note.using(tx=second, unique="k").aenqueue(2)
                await note.using(tx=second).aenqueue(3)
        assert sorted(job.payload["n"] for job in app.find()) == [1, 3]

    asyncio.run(main())


@some_ways
def test_a_waiter_is_told_when_the_loops_transaction_commits(app: Mainspring, way: Way) -> None:
    heard = app.store.listen()
    while heard.wait(0.05):
        pass

    async def main() -> None:
        async with way.begun() as connection:
            await note.using(tx=connection).aenqueue(1)
            assert not heard.wait(0.1)

    asyncio.run(main())
    assert heard.wait(20)
    heard.close()


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_what_a_connection_of_sqlalchemy_commits_by_itself_is_there(
    app: Mainspring, driver: str
) -> None:
    async def main() -> None:
        async with alchemy_connection(driver) as connection:
            await note.using(tx=connection).aenqueue(1)
            await connection.commit()
            await note.using(tx=connection).aenqueue(2)
            await connection.rollback()

    asyncio.run(main())
    assert [job.payload["n"] for job in app.find()] == [1]


# --- completing ----------------------------------------------------------------------------------


class Desk:
    """A worker, as far as a context sees it."""

    def __init__(self, store: Store, lease: int = LEASE) -> None:
        self.lease = lease
        self._store = store

    def note(self, note: Note, /) -> None:
        return

    def store(self) -> Store:
        return self._store


@pytest.fixture
def held(app: Mainspring) -> Claimed:
    note.enqueue(1)
    return claim(app)


@pytest.fixture
def effects(app: Mainspring, schema: str) -> Any:
    """A table of the user's."""
    name = f"{schema}_effects"
    with psycopg.connect(server_url(), autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {name}(n int)")
        yield name
        connection.execute(f"DROP TABLE {name}")


def claim(app: Mainspring) -> Claimed:
    grant = Grant(token=new_token(), worker="w", lease=LEASE)
    (job,) = app.store.exchange([], Claim(grant=grant, limit=1, slots=1)).jobs
    return job


def context(app: Mainspring, job: Claimed, lease: int = LEASE) -> Context:
    return Context(job, worker="w", deadline=None, channel=Desk(app.store, lease))


def count(table: str) -> int:
    with psycopg.connect(server_url()) as connection:
        ((n,),) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()  # noqa: S608
        return int(n)


def state(app: Mainspring, job: Claimed) -> State:
    (record,) = app.store.get([job.id])
    assert record is not None
    return record.state


async def completing(here: Context, way: Way, table: str, fails: bool = False) -> None:
    async with way.plain() as tx, here.atransaction(result=7, tx=tx) as connection:
        assert connection is tx
        await run(connection, f"INSERT INTO {table} VALUES(1)")
        await note.using(tx=connection).aenqueue(2)
        if fails:
            raise ZeroDivisionError


@each_way
def test_the_loops_work_and_the_end_of_the_job_are_one(
    app: Mainspring, way: Way, held: Claimed, effects: str
) -> None:
    here = context(app, held)
    asyncio.run(completing(here, way, effects))
    assert here.settled
    assert state(app, held) is State.COMPLETED
    assert (count(effects), len(app.find())) == (1, 2)


@each_way
def test_an_exception_undoes_both(app: Mainspring, way: Way, held: Claimed, effects: str) -> None:
    here = context(app, held)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(completing(here, way, effects, fails=True))
    assert not here.settled
    assert state(app, held) is State.RUNNING
    assert (count(effects), len(app.find())) == (0, 1)


@some_ways
def test_a_job_that_is_held_no_more_undoes_the_loops_work(
    app: Mainspring, way: Way, held: Claimed, effects: str
) -> None:
    async def main() -> None:
        async with way.plain() as tx, context(app, held).atransaction(tx=tx):
            await run(tx, f"INSERT INTO {effects} VALUES(1)")
            app.store.exchange([decide(held, Failed(OOPS))])

    with pytest.raises(LeaseLost):
        asyncio.run(main())
    assert count(effects) == 0
    with pytest.raises(LeaseLost):
        asyncio.run(completing(context(app, held), way, effects))
    assert count(effects) == 0


@some_ways
def test_a_loops_transaction_beyond_a_third_of_the_lease_is_undone(
    app: Mainspring, way: Way, held: Claimed, effects: str
) -> None:
    async def main() -> None:
        async with way.plain() as tx, context(app, held, 1_500_000).atransaction(tx=tx):
            await run(tx, f"INSERT INTO {effects} VALUES(1)")
            await run(tx, "SELECT pg_sleep(0.6)")

    with pytest.raises(TransactionError, match="a third of the lease"):
        asyncio.run(main())
    assert count(effects) == 0
    assert state(app, held) is State.RUNNING


@each_way
def test_a_transaction_that_is_open_already_cannot_be_the_jobs(
    app: Mainspring, way: Way, held: Claimed
) -> None:
    async def main() -> None:
        async with way.begun() as tx:
            await run(tx, "SELECT 1")
            with pytest.raises(TransactionError, match="without a transaction open"):
                async with context(app, held).atransaction(tx=tx):
                    pass

    asyncio.run(main())
    assert state(app, held) is State.RUNNING


def test_without_a_connection_one_is_made_in_the_loop(
    app: Mainspring, held: Claimed, effects: str
) -> None:
    async def main(fails: bool) -> None:
        async with context(app, held).atransaction(result=7) as connection:
            assert isinstance(connection, psycopg.AsyncConnection)
            await connection.execute(f"INSERT INTO {effects} VALUES(%s)", (1,))
            await note.using(tx=connection).aenqueue(2)
            if fails:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(main(fails=True))
    assert (state(app, held), count(effects)) == (State.RUNNING, 0)
    asyncio.run(main(fails=False))
    assert (state(app, held), count(effects)) == (State.COMPLETED, 1)


@some_ways
def test_a_block_that_is_cancelled_is_undone(
    app: Mainspring, way: Way, held: Claimed, effects: str
) -> None:
    async def main() -> None:
        async with asyncio.timeout(0.2):
            async with way.plain() as tx, context(app, held).atransaction(tx=tx):
                await run(tx, f"INSERT INTO {effects} VALUES(1)")
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert (state(app, held), count(effects)) == (State.RUNNING, 0)


# --- what is refused -----------------------------------------------------------------------------


def test_a_connection_without_a_transaction_is_refused(app: Mainspring, held: Claimed) -> None:
    async def main() -> None:
        async with psycopg_autocommit() as connection:
            with pytest.raises(TransactionError, match="autocommit mode with none: begin one"):
                await note.using(tx=connection).aenqueue(1)
        async with asyncpg_plain() as connection:
            with pytest.raises(TransactionError, match=r"with connection\.transaction\(\)"):
                await note.using(tx=connection).aenqueue(1)
        for driver in ("psycopg", "asyncpg"):
            automatic = engine(driver, isolation_level="AUTOCOMMIT")
            async with automatic.connect() as connection:
                with pytest.raises(TransactionError, match=r"(?i)autocommit"):
                    await note.using(tx=connection).aenqueue(1)
                with pytest.raises(TransactionError, match=r"(?i)autocommit"):
                    async with context(app, held).atransaction(tx=connection):
                        pass

    asyncio.run(main())
    assert len(app.find()) == 1


@some_ways
def test_a_connection_of_a_loops_is_refused_by_blocking_code(
    app: Mainspring, way: Way, held: Claimed
) -> None:
    async def main() -> None:
        async with way.begun() as connection:
            with pytest.raises(TransactionError, match="belongs to an event loop"):
                note.using(tx=connection).enqueue(1)
            with (
                pytest.raises(TransactionError, match="belongs to an event loop"),
                context(app, held).transaction(tx=connection),
            ):
                pass

    asyncio.run(main())


def test_a_blocking_connection_is_refused_by_atransaction(app: Mainspring, held: Claimed) -> None:
    async def main() -> None:
        connection = psycopg.connect(server_url())
        with connection, pytest.raises(TransactionError, match="of an event loop's, got psycopg"):
            async with context(app, held).atransaction(tx=connection):
                pass

    asyncio.run(main())


def test_a_blocking_connection_may_be_used_in_a_loop(app: Mainspring) -> None:
    async def main() -> None:
        with psycopg.connect(server_url()) as connection:
            await note.using(tx=connection).aenqueue(1)
            assert app.find() == []

    asyncio.run(main())
    assert len(app.find()) == 1


def test_a_loops_connection_on_another_database_is_refused(app: Mainspring, held: Claimed) -> None:
    async def main() -> None:
        place = asyncpg_place() | {"database": "template1"}
        connection = await asyncpg.connect(**place)
        async with connection.transaction():
            with pytest.raises(TransactionError, match="got one on another database"):
                await note.using(tx=connection).aenqueue(1)
        with pytest.raises(TransactionError, match="got one on another database"):
            async with context(app, held).atransaction(tx=connection):
                pass
        await connection.close()

    asyncio.run(main())


@some_ways
def test_a_failed_transaction_of_a_loops_is_refused(app: Mainspring, way: Way) -> None:
    async def main() -> None:
        with pytest.raises(Exception, match="transaction"):  # noqa: PT012
            async with way.begun() as connection:
                with pytest.raises(Exception, match="division by zero"):
                    await run(connection, "SELECT 1/0")
                await note.using(tx=connection).aenqueue(1)

    asyncio.run(main())
    assert app.find() == []


def test_on_sqlite_a_loop_is_told_to_use_the_blocking_one() -> None:
    async def main() -> None:
        with Mainspring("sqlite://:memory:", tasks) as app:
            app.enqueue(note.job(1))
            async with psycopg_plain() as connection:
                with pytest.raises(TransactionError, match=r"sqlite3.Connection on .*AsyncConn"):
                    await app.aenqueue(note.job(2), tx=connection)
            with pytest.raises(Unsupported, match=r"with current\(\)\.transaction\(\)"):
                async with context(app, claim(app)).atransaction():
                    pass

    asyncio.run(main())
