"""Batch tasks: many items in one call, one outcome each."""

from msgspec.structs import replace

from mainspring.job import State
from tests.worker import workshop
from tests.worker.conftest import House, eventually


def test_each_item_has_its_own_outcome(house: House) -> None:
    house.start()
    good, bad, fine = house.app.enqueue_many(workshop.square.job(n) for n in (3, -1, 4))
    assert (good.result(timeout=15), fine.result(timeout=15)) == (9, 16)
    [bad] = house.ended(bad)
    assert bad.state is State.FAILED
    assert bad.error is not None
    assert (bad.error.type, bad.error.message) == ("ValueError", "negative")


def test_items_come_together_up_to_the_size_of_a_batch(inside: House) -> None:
    jobs = inside.app.enqueue_many(workshop.count.job(n) for n in range(40))
    inside.start()
    sizes = [job.result(timeout=15) for job in jobs]
    assert max(sizes) == 10
    assert sum(1 / size for size in sizes) < 10


def test_a_lone_item_does_not_wait_for_a_full_batch(inside: House) -> None:
    inside.start()
    assert inside.app.enqueue(workshop.count.job(1)).result(timeout=15) == 1


def test_a_batch_that_raises_fails_all_its_items(inside: House) -> None:
    inside.start()
    jobs = inside.app.enqueue_many(workshop.break_batch.job(n) for n in range(6))
    assert {job.error.message for job in inside.ended(*jobs) if job.error} == {"all of them"}


def test_an_item_that_does_not_fit_fails_alone(inside: House) -> None:
    bad = inside.app.enqueue(replace(workshop.count.job(1), payload=b'"seven"'))
    good = inside.app.enqueue(workshop.count.job(7))
    inside.start()
    assert good.result(timeout=15) == 1
    [error] = eventually(lambda: inside.app.store.history(bad.id.bytes))
    assert error.type == "mainspring.errors.InvalidArguments"


def test_a_batch_has_a_context_and_middleware(inside: House) -> None:
    inside.start()
    jobs = inside.app.enqueue_many(workshop.count_within.job(n) for n in range(3))
    assert [job.result(timeout=15) for job in jobs] == ["outer(wrapped.count_within) inner"] * 3


def test_the_shortest_time_limit_of_its_items_is_a_batch_s(inside: House) -> None:
    inside.start()
    gate = inside.gate()
    short = workshop.patient_batch.using(timeout=0.1).job(str(gate))
    jobs = inside.app.enqueue_many([workshop.patient_batch.job(str(gate)), short])
    assert {job.reason for job in inside.ended(*jobs)} == {"timed out"}
    gate.let_go()


def test_a_worker_stops_while_a_batch_gathers(inside: House) -> None:
    worker = inside.start()
    job = inside.app.enqueue(workshop.slow_to_gather.job(1))
    eventually(lambda: inside.state(job) is State.RUNNING)
    worker.stop()
    assert (inside.state(job), job.refresh().attempt) == (State.PENDING, 0)
