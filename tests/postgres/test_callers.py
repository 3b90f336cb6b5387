"""The caller's own transaction, by whatever he holds it."""

from typing import Any

import psycopg
import pytest
import sqlalchemy
from psycopg.rows import dict_row
from sqlalchemy.orm import Session

from mainspring import Mainspring, Tasks
from mainspring.engines import open_store
from mainspring.errors import TransactionError
from mainspring.job import State, Succeeded
from mainspring.lifecycle import decide
from mainspring.store import Store
from tests.contract.stage import LEASE, Stage, new
from tests.servers.postgres import server_url


@pytest.fixture
def engine() -> Any:
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(server_url())
    )
    yield engine
    engine.dispose()


def test_a_session_of_sqlalchemy_carries_jobs_along(stage: Stage, engine: Any) -> None:
    kept, lost = new(), new()
    with Session(engine) as session:
        stage.store.insert([kept], connection=session, now=stage.now)
        assert stage.gone(kept)
        session.commit()
        stage.store.insert([lost], connection=session, now=stage.now)
        session.rollback()
    assert stage.state(kept) is State.PENDING
    assert stage.gone(lost)


def test_a_connection_of_sqlalchemy_carries_jobs_along(stage: Stage, engine: Any) -> None:
    job = new()
    with engine.begin() as connection:
        stage.store.insert([job], connection=connection, now=stage.now)
    assert stage.state(job) is State.PENDING


def test_what_a_connection_of_sqlalchemy_commits_by_itself_is_there(
    stage: Stage, engine: Any
) -> None:
    job = new()
    with engine.connect() as connection:
        stage.store.insert([job], connection=connection, now=stage.now)
        connection.commit()
    assert stage.state(job) is State.PENDING


def test_a_connection_that_begins_by_itself_needs_no_begin(stage: Stage) -> None:
    job = new(unique="k")
    with psycopg.connect(server_url(), row_factory=dict_row) as connection:
        stage.store.insert([job], connection=connection, now=stage.now)
    assert stage.state(job) is State.PENDING


def test_a_waiter_is_told_when_the_caller_commits(store: Store) -> None:
    heard = store.listen()
    while heard.wait(0.05):
        pass
    with psycopg.connect(server_url()) as connection:
        store.insert([new()], connection=connection)
        assert not heard.wait(0.1)
    assert heard.wait(20)
    heard.close()


@pytest.mark.parametrize("what", [None, "text", object()])
def test_what_is_no_connection_is_refused(store: Store, what: object) -> None:
    if what is not None:
        with pytest.raises(TransactionError, match="expected a connection of psycopg"):
            store.insert([new()], connection=what)


def test_a_connection_on_another_store_is_refused(url: str) -> None:
    store = open_store(url)
    name = "elsewhere"
    with psycopg.connect(server_url(), autocommit=True) as session:
        session.execute(f"DROP DATABASE IF EXISTS {name}")
        session.execute(f"CREATE DATABASE {name}")
    with (
        psycopg.connect(server_url(), dbname=name) as connection,
        pytest.raises(TransactionError, match="another database"),
    ):
        store.insert([new()], connection=connection)
    store.close()


def test_errors_of_the_users_own_statements_reach_the_user_as_they_are(stage: Stage) -> None:
    stage.put()
    held = stage.take()
    with (
        pytest.raises(psycopg.errors.UndefinedTable),
        stage.store.transaction(held, decide(held, Succeeded()), lease=LEASE) as connection,
    ):
        connection.execute("SELECT * FROM no_such_table_of_mine")
    assert stage.store.held([held.token]) == [held]


def test_the_users_work_and_the_end_are_committed_together(stage: Stage) -> None:
    stage.put()
    held = stage.take()
    with stage.store.transaction(held, decide(held, Succeeded()), lease=LEASE) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS public.effects(n int)")
        connection.execute("INSERT INTO public.effects VALUES(%s)", (held.number,))
    with psycopg.connect(server_url()) as connection:
        found = connection.execute("SELECT n FROM public.effects").fetchall()
        connection.execute("DROP TABLE public.effects")
    assert found == [(held.number,)]
    assert stage.state(held) is State.COMPLETED  # type: ignore[arg-type]


def test_a_transaction_that_failed_is_refused(store: Store) -> None:
    with psycopg.connect(server_url()) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1/0")
        with pytest.raises(TransactionError, match="cannot go on"):
            store.insert([new()], connection=connection)
        connection.rollback()


def holders() -> dict[str, Any]:
    """Ways to hold a connection on which no transaction is open."""

    def alchemy() -> Any:
        return sqlalchemy.create_engine(
            "postgresql+psycopg://",
            creator=lambda: psycopg.connect(server_url()),
            poolclass=sqlalchemy.NullPool,
        )

    return {
        "psycopg": lambda: psycopg.connect(server_url(), row_factory=dict_row),
        "psycopg autocommit": lambda: psycopg.connect(server_url(), autocommit=True),
        "SQLAlchemy connection": lambda: alchemy().connect(),
        "SQLAlchemy session": lambda: Session(alchemy()),
    }


@pytest.mark.parametrize("holder", holders().values(), ids=holders())
def test_a_job_ends_in_the_transaction_that_the_caller_brings(stage: Stage, holder: Any) -> None:
    stage.put()
    held = stage.take()
    for effect, fails in ((new(), True), (new(), False)):

        def work(effect: Any = effect, fails: bool = fails) -> None:
            with (
                holder() as mine,
                stage.store.transaction(
                    held, decide(held, Succeeded(b"1")), lease=LEASE, connection=mine
                ) as connection,
            ):
                assert connection is mine
                stage.store.insert([effect], connection=mine, now=stage.now)
                if fails:
                    raise ZeroDivisionError

        if fails:
            with pytest.raises(ZeroDivisionError):
                work()
            assert stage.state(held) is State.RUNNING  # type: ignore[arg-type]
            assert stage.gone(effect)
        else:
            work()
            assert stage.state(held) is State.COMPLETED  # type: ignore[arg-type]
            assert stage.state(effect) is State.PENDING


@pytest.mark.parametrize("holder", holders().values(), ids=holders())
def test_a_transaction_ended_inside_the_block_completes_nothing(stage: Stage, holder: Any) -> None:
    stage.put()
    held = stage.take()
    change = decide(held, Succeeded())
    with (
        holder() as mine,
        pytest.raises(TransactionError, match="ended inside the block"),
        stage.store.transaction(held, change, lease=LEASE, connection=mine),
    ):
        mine.commit()
    assert stage.state(held) is State.RUNNING  # type: ignore[arg-type]


def test_an_open_transaction_cannot_be_brought(stage: Stage) -> None:
    stage.put()
    held = stage.take()
    with psycopg.connect(server_url()) as mine:
        mine.execute("SELECT 1")
        with (
            pytest.raises(TransactionError, match="without a transaction open"),
            stage.store.transaction(held, decide(held, Succeeded()), lease=LEASE, connection=mine),
        ):
            pass


def test_a_connection_that_commits_each_statement_is_refused(store: Store) -> None:
    with (
        psycopg.connect(server_url(), autocommit=True) as connection,
        pytest.raises(TransactionError, match="autocommit mode with none: begin one"),
    ):
        store.insert([new()], connection=connection)


def test_a_driver_that_is_not_known_is_named(store: Store) -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    with (
        engine.connect() as connection,
        pytest.raises(TransactionError, match=r"sqlalchemy\.\w+ on sqlite3\.Connection"),
    ):
        store.insert([new()], connection=connection)


def test_a_handle_waits_once_the_session_has_committed(url: str, engine: Any) -> None:
    tasks = Tasks()
    task = tasks.task(one)
    with Mainspring(url, tasks) as app, Session(engine) as session:
        job = task.using(tx=session).enqueue()
        with pytest.raises(TransactionError, match="before the transaction"):
            job.result(timeout=1)
        session.commit()
        session.execute(sqlalchemy.text("SELECT 1"))
        with app.worker(in_process=True):
            assert job.result(timeout=30) == 1


def one() -> int:
    return 1
