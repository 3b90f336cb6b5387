"""Pools: several workers in one process, each with queues of its own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from mainspring.errors import ConfigError, InvalidArguments
from mainspring.job import State
from mainspring.worker.pools import Pool, Pools
from mainspring.worker.worker import Worker
from tests.worker import workshop
from tests.worker.conftest import House, eventually


@contextmanager
def running(*workers: Worker) -> Iterator[Pools]:
    pools = Pools(workers)
    thread = threading.Thread(target=pools.run)
    thread.start()
    yield pools
    pools.stop()
    thread.join()


def test_each_takes_from_its_own_queues(outside: House) -> None:
    jobs = {
        queue: outside.app.enqueue(workshop.pid.using(queue=queue).job())
        for queue in ("mail", "news", "other")
    }
    with running(outside.worker(queues=["mail"]), outside.worker(queues=["news"])) as pools:
        pids = {queue: jobs[queue].result(timeout=15) for queue in ("mail", "news")}
        assert pids["mail"] != pids["news"]
        assert {worker.id for worker in outside.app.workers()} == {
            worker.name for worker in pools.workers
        }
    assert outside.state(jobs["other"]) is State.PENDING
    assert outside.app.workers() == []


def test_one_may_be_for_urgent_jobs_alone(house: House) -> None:
    gates = [house.gate() for _ in range(2)]
    with running(house.worker(priorities=(5, 100), threads=1)):
        usual = house.app.enqueue(workshop.add.job(1, 1))
        urgent = house.app.enqueue(workshop.gated.using(priority=5).job(str(gates[0])))
        gates[0].await_arrival()
        gates[0].let_go()
        assert urgent.result(timeout=15) == 1
        assert house.state(usual) is State.PENDING


def test_one_that_cannot_start_ends_all(outside: House, make_house: Callable[..., House]) -> None:
    broken = outside.worker(app="no.such.module:app")
    with pytest.raises(ConfigError):
        Pools([outside.worker(), broken]).run()


def test_one_that_is_drained_leaves_the_others(outside: House) -> None:
    first, second = outside.worker(lease="0.6s"), outside.worker(lease="0.6s")
    with running(first, second):
        eventually(lambda: len(outside.app.workers()) == 2)
        outside.app.drain_workers(first.name)
        eventually(lambda: [each.id for each in outside.app.workers()] == [second.name])
        assert outside.app.enqueue(workshop.add.job(1, 1)).result(timeout=15) == 2


@pytest.mark.parametrize(
    ("text", "pool"),
    [
        ("mail=2", Pool(("mail",), None, 2, 2)),
        ("mail=2:8", Pool(("mail",), None, 2, 8)),
        ("mail, news=1", Pool(("mail", "news"), None, 1, 1)),
        ("*=4", Pool((), None, 4, 4)),
        ("*@5=1", Pool((), (5, 100), 1, 1)),
        ("mail@-100:0=1:2", Pool(("mail",), (-100, 0), 1, 2)),
        ("a=b=1", Pool(("a=b",), None, 1, 1)),
    ],
)
def test_a_pool_is_written_as_queues_and_processes(text: str, pool: Pool) -> None:
    assert Pool.read(text) == pool


@pytest.mark.parametrize(
    "text",
    ["", "mail", "mail=", "=2", "mail=0", "mail=3:2", "mail=257", "*,a=1", "a,,b=1"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidArguments, match="expected"):
        Pool.read(text)


def test_workers_that_have_not_begun_when_all_are_stopped_do_not_begin(house: House) -> None:
    first, second = house.worker(), house.worker()
    pools = Pools([first, second])
    first.run = pools.stop  # type: ignore[method-assign]
    pools.run()
    assert house.app.workers() == []
