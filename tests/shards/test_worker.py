"""A worker over two shards: everything ends, whatever happens to one of them."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mainspring import Mainspring, Tasks
from mainspring.errors import StoreUnavailable
from mainspring.events import LeasesLost
from mainspring.job import State
from mainspring.message import Message
from tests.shards.conftest import IN_A, IN_B
from tests.worker.faulty import FaultyStore

tasks = Tasks()


@tasks.task
def double(n: int) -> int:
    return 2 * n


@tasks.task
async def adouble(n: int) -> int:
    await asyncio.sleep(0)
    return 2 * n


class Gates:
    """Jobs that wait at a gate until the test opens it."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        self.open = threading.Event()


gates: list[Gates] = []


@tasks.task
def gated(n: int) -> int:
    gate = gates[-1]
    gate.arrived.release()
    assert gate.open.wait(30)
    return n


@pytest.fixture
def gate() -> Iterator[Gates]:
    gates.append(Gates())
    yield gates[-1]
    gates.pop().open.set()


@pytest.fixture
def app(url: Callable[..., str]) -> Iterator[Mainspring]:
    with Mainspring(url(partitioned="events"), tasks) as app:
        yield app
        assert app.check() == []


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program keeps the file locked."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def eventually(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_jobs_of_all_shards_run_and_their_results_are_awaited(app: Mainspring) -> None:
    with app.worker(in_process=True):
        jobs = [
            task.using(queue=queue).enqueue(n)
            for n in range(30)
            for task in (double, adouble)
            for queue in (IN_A, IN_B, "events")
        ]
        assert [job.result(timeout=20) for job in jobs] == [2 * (n // 6) for n in range(180)]
    assert {job.refresh().attempt for job in jobs} == {1}


def test_coroutines_share_inserts_that_go_to_several_shards(app: Mainspring) -> None:
    async def produce() -> list[int]:
        wishes = [
            adouble.using(queue=queue).aenqueue(n) for n in range(50) for queue in (IN_A, IN_B)
        ]
        jobs = await asyncio.gather(*wishes)
        return await asyncio.gather(*(job.aresult(timeout=20) for job in jobs))

    with app.worker(in_process=True):
        assert asyncio.run(produce()) == [2 * (n // 2) for n in range(100)]


def test_messages_are_consumed_from_whichever_shard(app: Mainspring) -> None:
    for name in ("orders", "events", "videos"):
        queue = app.queue(name, int)
        queue.publish_many(range(10))
        bodies = set()
        while (message := queue.consume(wait=0.2)) is not None:
            with message:
                bodies.add(message.body)
        assert bodies == set(range(10))
    receipts = [message.receipt for message in app.queue("events", int).consume_many(10)]
    assert receipts == []


def test_one_locked_shard_holds_up_no_job_of_the_other(app: Mainspring, tmp_path: Path) -> None:
    waiting = [double.using(queue=IN_B).enqueue(n) for n in range(20)]
    with locked(tmp_path / "b.db"), app.worker(in_process=True):
        for n in range(5):
            job = double.using(queue=IN_A).enqueue(n)
            assert job.result(timeout=20) == 2 * n
        assert {job.refresh().state for job in waiting} == {State.PENDING}
    with app.worker(in_process=True):
        assert [job.result(timeout=20) for job in waiting] == [2 * n for n in range(20)]
    assert {job.refresh().attempt for job in waiting} == {1}


def test_what_ended_while_its_shard_was_away_is_written_when_it_is_back(
    app: Mainspring, gate: Gates
) -> None:
    b = broken(app)
    with app.worker(in_process=True):
        job = gated.using(queue=IN_B).enqueue(7)
        other = gated.using(queue=IN_A).enqueue(8)
        assert gate.arrived.acquire(timeout=20)
        assert gate.arrived.acquire(timeout=20)
        b.go_away("exchange", "heartbeat", "upkeep", "reclaim", "get", "held", "queues")
        gate.open.set()
        assert other.result(timeout=20) == 8
        b.come_back()
        assert job.result(timeout=20) == 7
    assert (job.refresh().attempt, job.refresh().record.claims) == (1, 1)


def test_a_lease_that_ends_in_one_shard_stops_no_job_of_the_other(
    app: Mainspring, gate: Gates
) -> None:
    b = broken(app)
    losses: list[LeasesLost] = []
    worker = app.worker(in_process=True, lease=1.0)
    worker.events.on(LeasesLost, losses.append)
    with worker:
        job = gated.using(queue=IN_B).enqueue(7)
        other = gated.using(queue=IN_A).enqueue(8)
        assert gate.arrived.acquire(timeout=20)
        assert gate.arrived.acquire(timeout=20)
        b.go_away("exchange", "heartbeat", "upkeep", "reclaim", "get", "held", "queues")
        eventually(lambda: losses)
        b.come_back()
        gate.open.set()
        assert other.result(timeout=20) == 8
        assert job.result(timeout=20) == 7
    assert [each.numbers for each in losses] == [(job.number,)]
    assert other.refresh().record.claims == 1
    assert job.refresh().attempt == 2


def test_messages_of_one_shard_are_renewed_while_the_other_is_away(app: Mainspring) -> None:
    for name in (IN_A, IN_B):
        app.queue(name, int).publish(1)
    mine = app.queue(IN_A, int).consume(lease=0.6)
    other = app.queue(IN_B, int).consume(lease=0.6)
    assert mine is not None
    assert other is not None
    with mine, other:
        b = broken(app)
        b.go_away("heartbeat", "exchange", "reclaim", "upkeep")
        eventually(lambda: b.has_failed("heartbeat", 5))
        mine.extend(60)
        with pytest.raises(StoreUnavailable):
            other.extend(60)
        b.come_back()
        eventually(lambda: _extended(other))
    assert (mine.state, other.state) == (State.COMPLETED, State.COMPLETED)


def _extended(message: Message[int]) -> bool:
    try:
        message.extend(60)
    except StoreUnavailable:
        return False
    return True


def test_a_worker_begins_without_a_shard_that_is_away(
    url: Callable[..., str], tmp_path: Path
) -> None:
    place = url().replace(f"b=sqlite:///{tmp_path}", f"b=sqlite:///{tmp_path}/later")
    with Mainspring(place, tasks) as app, app.worker(in_process=True):
        assert double.using(queue=IN_A).enqueue(1).result(timeout=20) == 2
        (tmp_path / "later").mkdir()
        assert double.using(queue=IN_B).enqueue(2).result(timeout=20) == 4


def broken(app: Mainspring) -> FaultyStore:
    """The second shard, which fails as it is told."""
    shard = app.store._ring.shards[1]  # type: ignore[attr-defined]
    shard._store = faulty = FaultyStore(shard.store())
    return faulty
