"""The caller's own transaction, by whatever he holds it."""

from typing import Any

import psycopg
import pytest
import sqlalchemy
from psycopg.rows import dict_row
from sqlalchemy.orm import Session

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
        assert heard.wait(0.1) is False
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
