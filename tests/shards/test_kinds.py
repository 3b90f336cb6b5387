"""Shards of different kinds are one store all the same."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from mainspring import ForeignConnection, Mainspring, Tasks, TransactionError, Unsupported
from mainspring.job import State
from tests.servers import postgres
from tests.servers.redis import in_folder, redis_url, valkey_url
from tests.shards.conftest import IN_A, IN_B

tasks = Tasks()


@tasks.task
def double(n: int) -> int:
    return 2 * n


KINDS: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: f"sqlite:///{folder}/a.db",
    "postgres": postgres.in_folder,
    "redis": lambda folder: in_folder(redis_url(), folder),
    "valkey": lambda folder: in_folder(valkey_url(), folder),
}


@pytest.fixture(params=[("sqlite", "redis"), ("postgres", "valkey"), ("redis", "postgres")])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Two shards of different kinds."""
    a, b = (KINDS[kind](tmp_path) for kind in request.param)
    return f"shards://a={a} b={b} partitioned=events"


def test_jobs_run_in_shards_of_different_kinds(place: str) -> None:
    with Mainspring(place, tasks) as app:
        with app.worker(in_process=True):
            jobs = [
                double.using(queue=queue).enqueue(n)
                for n in range(20)
                for queue in (IN_A, IN_B, "events")
            ]
            assert [job.result(timeout=20) for job in jobs] == [2 * (n // 3) for n in range(60)]
        assert {queue: states["completed"] for queue, states in app.counts().items()} == {
            IN_A: 20,
            IN_B: 20,
            "events": 20,
        }
        found = app.find(limit=7)
        while len(found) < 60:
            found += app.find(limit=7, older_than=found[-1])
        assert {job.id for job in found} == {job.id for job in jobs}
        assert {job.refresh().state for job in jobs} == {State.COMPLETED}
        parent = double.using(queue=IN_A, delay="1h").enqueue(1)
        with pytest.raises(Unsupported):
            double.using(queue=IN_B, depends_on=[parent]).enqueue(2)
        assert app.check() == []


def test_a_mistake_with_your_own_transaction_is_told_as_the_shard_tells_it(tmp_path: Path) -> None:
    """What is wrong with it is not that it reaches one shard alone."""
    url = postgres.in_folder(tmp_path)
    with Mainspring(f"shards://a={url} b=sqlite:///{tmp_path}/b.db", tasks) as app:
        app.counts()
        with psycopg.connect(postgres.server_url(), autocommit=True) as connection:
            with pytest.raises(TransactionError, match="transaction") as told:
                double.using(queue=IN_A, tx=connection).enqueue(1)
            assert not isinstance(told.value, ForeignConnection)
            with connection.transaction(), pytest.raises(Unsupported, match="reaches only"):
                double.using(queue=IN_B, tx=connection).enqueue(1)
