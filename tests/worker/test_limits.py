"""Time limits, requests to cancel, and what waits too long."""

import time
from pathlib import Path

import pytest

from mainspring.context import Context
from mainspring.events import LeasesLost
from mainspring.job import Claimed, State
from mainspring.worker.child.runner import Recipe, Runner
from tests.worker import workshop
from tests.worker.conftest import House, eventually


def test_a_coroutine_beyond_its_limit_is_cancelled(house: House) -> None:
    house.start()
    [job] = house.ended(house.app.enqueue(workshop.slow_coroutine.job()))
    assert (job.state, job.reason) == (State.FAILED, "timed out")
    assert job.error is not None
    assert job.error.message == "did not end within its time limit of 0.1 s"


def test_a_job_s_own_limit_counts_more_than_its_task_s(inside: House, tmp_path: Path) -> None:
    inside.start()
    gate = inside.gate()
    patient = workshop.forever.using(timeout=0.05).job(str(gate), str(tmp_path / "note"))
    job = inside.app.enqueue(patient)
    gate.await_arrival()
    [job] = inside.ended(job)
    assert job.reason == "timed out"
    assert (tmp_path / "note").read_text() == "cleaned up"


def test_a_thread_beyond_its_limit_is_given_up_and_replaced(house: House) -> None:
    house.start(threads=1)
    gate = house.gate()
    [job] = house.ended(house.app.enqueue(workshop.slow_thread.job(str(gate))))
    assert (job.state, job.reason) == (State.FAILED, "timed out")
    assert house.app.enqueue(workshop.add.job(1)).result(timeout=15) == 2
    gate.let_go()
    assert house.app.enqueue(workshop.add.job(2)).result(timeout=15) == 3
    assert job.refresh().state is State.FAILED


def test_a_thread_that_comes_back_from_its_job_works_on_while_others_are_stuck(
    inside: House,
) -> None:
    inside.start(threads=1)
    gates = [inside.gate() for _ in range(2)]
    inside.ended(*(inside.app.enqueue(workshop.slow_thread.job(str(gate))) for gate in gates))
    job = inside.app.enqueue(workshop.add.job(1))
    gates[0].let_go()
    assert job.result(timeout=15) == 2
    gates[1].let_go()


@pytest.mark.parametrize("kind", ["thread", "async", "batch"])
def test_a_job_that_takes_long_to_begin_has_its_limit_too(
    inside: House, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """It neither waits nor runs for a moment; nothing else may come that makes anybody look."""
    make = Runner.context

    def made_slowly(runner: Runner, job: Claimed, recipe: Recipe) -> Context:
        time.sleep(0.1)
        return make(runner, job, recipe)

    monkeypatch.setattr(Runner, "context", made_slowly)
    gate = inside.gate()
    jobs = {
        "thread": workshop.slow_thread.job(str(gate)),
        "async": workshop.slow_coroutine.job(),
        "batch": workshop.slow_batch.job(str(gate)),
    }
    inside.start()
    [job] = inside.ended(inside.app.enqueue(jobs[kind]))
    assert job.reason == "timed out"
    if kind != "async":
        gate.let_go()


def test_a_child_with_too_many_stuck_threads_is_replaced(outside: House) -> None:
    outside.start(threads=1)
    first = outside.app.enqueue(workshop.pid.job()).result(timeout=15)
    gates = [outside.gate() for _ in range(2)]
    outside.ended(*(outside.app.enqueue(workshop.slow_thread.job(str(gate))) for gate in gates))
    eventually(lambda: outside.app.enqueue(workshop.pid.job()).result(timeout=15) != first)


def test_a_coroutine_that_ignores_its_cancellation_is_given_up(outside: House) -> None:
    outside.start()
    first = outside.app.enqueue(workshop.pid.job()).result(timeout=15)
    [job] = outside.ended(outside.app.enqueue(workshop.stubborn_coroutine.job()))
    assert (job.state, job.reason) == (State.FAILED, "timed out")
    eventually(lambda: outside.app.enqueue(workshop.pid.job()).result(timeout=15) != first)


def test_a_batch_beyond_its_limit_fails_as_a_whole(inside: House) -> None:
    inside.start()
    gate = inside.gate()
    jobs = inside.app.enqueue_many(workshop.slow_batch.job(str(gate)) for _ in range(3))
    assert {job.reason for job in inside.ended(*jobs)} == {"timed out"}
    gate.let_go()


def test_a_running_coroutine_is_cancelled_when_asked(house: House, tmp_path: Path) -> None:
    house.start(lease="0.6s")
    gate = house.gate()
    job = house.app.enqueue(workshop.forever.job(str(gate), str(tmp_path / "note")))
    gate.await_arrival()
    house.app.cancel(job)
    [job] = house.ended(job)
    assert job.state is State.CANCELLED
    assert (tmp_path / "note").read_text() == "cleaned up"


def test_a_running_thread_is_told_to_stop_when_asked(house: House) -> None:
    house.start(lease="0.6s")
    gate = house.gate()
    job = house.app.enqueue(workshop.until_cancelled.job(str(gate)))
    gate.await_arrival()
    house.app.cancel(job)
    [job] = house.ended(job)
    assert job.state is State.CANCELLED


def test_a_success_counts_more_than_a_request_to_cancel(inside: House) -> None:
    inside.start(lease="0.6s")
    gate = inside.gate()
    job = inside.app.enqueue(workshop.gated.job(str(gate)))
    gate.await_arrival()
    inside.app.cancel(job)
    gate.let_go()
    assert job.result(timeout=15) == 1


def test_jobs_that_wait_behind_slow_ones_go_back_and_are_not_counted(house: House) -> None:
    """What was read ahead, when jobs were quick, is not kept from other workers."""
    house.app.enqueue_many(workshop.add.job(n) for n in range(300))
    worker = house.start(threads=1)
    assert house.app.wait_until_idle(timeout=15)
    gate = house.gate()
    slow = house.app.enqueue_many(
        [workshop.gated.job(str(gate)), *(workshop.add.job(n) for n in range(50))]
    )
    gate.await_arrival()
    eventually(lambda: house.app.counts()["default"][State.RUNNING] == 1)
    assert {job.refresh().attempt for job in slow[1:]} == {0}
    gate.let_go()
    assert house.app.wait_until_idle(timeout=15)
    assert {job.refresh().attempt for job in slow} == {1}
    assert worker.handed_back == 0


def test_slow_jobs_are_not_read_ahead(inside: House) -> None:
    jobs = inside.app.enqueue_many(workshop.nap.job(0.06) for _ in range(10))
    inside.start(threads=2)
    while not all(job.refresh().state.final for job in jobs):
        assert inside.app.counts()["default"][State.RUNNING] <= 2
    assert {job.claims for job in jobs} == {1}


def test_a_paused_queue_gets_back_what_has_not_begun(house: House) -> None:
    house.app.enqueue_many(workshop.add.job(n) for n in range(300))
    house.start(threads=1, lease="0.3s")
    assert house.app.wait_until_idle(timeout=15)
    gate = house.gate()
    jobs = house.app.enqueue_many(
        [workshop.gated.job(str(gate)), *(workshop.add.job(n) for n in range(20))]
    )
    gate.await_arrival()
    house.app.pause("default")
    eventually(lambda: house.app.counts()["default"][State.PENDING] == 20)
    gate.let_go()
    assert jobs[0].result(timeout=15) == 1
    assert house.app.counts()["default"][State.PENDING] == 20
    house.app.resume("default")
    assert house.app.wait_until_idle(timeout=15)


def test_a_task_that_holds_the_interpreter_for_leases_costs_no_lease(outside: House) -> None:
    lost = outside.hear(LeasesLost)
    outside.start(lease="0.3s", processes=2)
    hog = outside.app.enqueue(workshop.hold_the_gil.job(1.5))
    others = outside.app.enqueue_many(workshop.add.job(n) for n in range(100))
    assert [job.attempt for job in outside.ended(hog, *others)] == [1] * 101
    assert lost == []
