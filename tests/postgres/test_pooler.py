"""Behind PgBouncer in transaction mode: each transaction may be served by another session."""

from collections.abc import Iterator
from urllib.parse import quote

import psycopg
import pytest

from mainspring import Mainspring, Tasks, current
from mainspring.engines import open_store
from mainspring.job import State
from tests.contract.stage import new
from tests.servers.pgbouncer import pooled_url
from tests.servers.postgres import server_url

tasks = Tasks()


@tasks.task
def double(n: int) -> int:
    if n % 10 == 3 and current().attempt == 1:
        raise ValueError(n)
    return 2 * n


@tasks.task
async def store_both(table: str) -> object:
    async with current().atransaction(result="together") as connection:
        await connection.execute(f"INSERT INTO {table} VALUES(1)")
        await double.using(tx=connection).aenqueue(21)


@pytest.fixture
def pooled(schema: str) -> str:
    """The URL of a store of the test's own, through the pooler."""
    return f"{pooled_url()}&schema={schema}"


@pytest.fixture
def app(pooled: str) -> Iterator[Mainspring]:
    with Mainspring(pooled, tasks) as app:
        yield app
        assert app.check() == []


def test_the_pooler_gives_each_transaction_another_session() -> None:
    with (
        psycopg.connect(pooled_url(), autocommit=True) as one,
        psycopg.connect(pooled_url(), autocommit=True) as two,
    ):
        with one.transaction(), two.transaction():
            pass  # so that there are two
        rows = [one.execute("SELECT pg_backend_pid()").fetchone() for _ in range(4)]
    assert len(set(rows)) > 1


def test_a_worker_works_through_the_pooler(app: Mainspring) -> None:
    retried = double.using(max_retries=1)
    jobs = app.enqueue_many(retried.job(n) for n in range(300))
    with app.worker(in_process=True):
        assert [job.result(timeout=50) for job in jobs] == [2 * n for n in range(300)]


def test_a_coroutine_completes_in_a_transaction_through_the_pooler(
    app: Mainspring, schema: str
) -> None:
    table = f"{schema}_effects"
    with psycopg.connect(server_url(), autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {table}(n int)")
        with app.worker(in_process=True):
            assert store_both.enqueue(table).result(timeout=50) == "together"
        assert connection.execute(f"SELECT n FROM {table}").fetchall() == [(1,)]  # noqa: S608
        connection.execute(f"DROP TABLE {table}")
    assert {job.task for job in app.find(states=[State.COMPLETED])} >= {"store_both"}


def test_a_pooler_between_is_told_and_what_to_do(pooled: str, schema: str) -> None:
    store = open_store(pooled)
    health = store.health()
    assert health.place == f"schema {schema}; through a pooler"
    (advice,) = [each for each in health.warnings if "notifications" in each]
    assert "since a pooler stands between" in advice
    assert "listen=" in advice
    store.close()


def test_without_a_pooler_none_is_told(url: str, schema: str) -> None:
    store = open_store(url)
    health = store.health()
    assert health.place == f"schema {schema}; no pooler between"
    assert not [each for each in health.warnings if "notifications" in each]
    store.close()


def test_past_the_pooler_notifications_are_heard(pooled: str) -> None:
    store = open_store(f"{pooled}&listen={quote(server_url(), safe='')}")
    assert not [each for each in store.health().warnings if "notifications" in each]
    heard = store.listen()
    while heard.wait(0.05):
        pass
    store.insert([new()])
    assert heard.wait(20)
    heard.close()
    store.close()
