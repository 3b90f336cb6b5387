"""What becomes of a job is what its function did."""

from typing import Any

import pytest
from msgspec.structs import replace

from mainspring.events import UnknownTasks
from mainspring.job import State
from tests.worker import workshop
from tests.worker.conftest import House, eventually


def test_a_function_s_result_is_the_job_s(house: House) -> None:
    sync, coroutine = house.app.enqueue_many([workshop.add.job(1, b=2), workshop.aadd.job(3)])
    house.start()
    assert sync.result(timeout=15) == 3
    assert coroutine.result(timeout=15) == 4


def test_jobs_that_come_while_the_worker_is_idle_run_too(inside: House) -> None:
    inside.start()
    for number in range(3):
        job = inside.app.enqueue(workshop.add.job(number))
        assert job.result(timeout=15) == number + 1


def test_a_thousand_jobs_of_both_kinds_all_run_once(house: House) -> None:
    jobs = [workshop.add.job(n) if n % 3 else workshop.aadd.job(n) for n in range(1000)]
    house.app.enqueue_many(jobs)
    house.start()
    assert house.app.wait_until_idle(timeout=20)
    ended = house.app.find(limit=1000)
    assert [job.state for job in ended] == [State.COMPLETED] * 1000
    assert {job.attempt for job in ended} == {1}


def test_a_task_is_found_by_a_name_it_had_before(inside: House) -> None:
    inside.start()
    assert inside.app.enqueue("plus", {"a": 1}).result(timeout=15) == 2


@pytest.mark.parametrize("task", [workshop.fail_until, workshop.afail_until])
def test_a_failed_job_runs_again_and_keeps_its_errors(house: House, task: Any) -> None:
    house.start()
    job = house.app.enqueue(task.job(3))
    assert job.result(timeout=15) == 3
    history = house.app.store.history(job.id.bytes)
    assert [error.message for error in history] == [
        "attempt 1 failed on purpose",
        "attempt 2 failed on purpose",
    ]
    assert history[0].type == "ValueError"
    assert "fail_until" in history[0].traceback
    assert "mainspring/worker" not in history[0].traceback


def test_a_backoff_that_exits_ends_no_thread(house: House) -> None:
    house.start(threads=1)
    assert house.app.enqueue(workshop.fail_and_exit.job()).result(timeout=15) == 2


def test_a_job_without_attempts_left_is_a_dead_letter(inside: House) -> None:
    inside.start()
    [job] = inside.ended(inside.app.enqueue(workshop.fail_until.job(9)))
    assert (job.state, job.reason, job.attempt) == (State.FAILED, "retries exhausted", 3)


def test_an_error_that_is_ruled_out_fails_at_once(inside: House) -> None:
    inside.start()
    [job] = inside.ended(inside.app.enqueue(workshop.raise_this.job("KeyError")))
    assert (job.state, job.reason, job.attempt) == (State.FAILED, "permanent", 1)


@pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt"])
def test_what_is_no_exception_fails_the_job_and_nothing_else(house: House, kind: str) -> None:
    house.start()
    [job] = house.ended(house.app.enqueue(workshop.raise_this.job(kind)))
    assert (job.state, job.attempt) == (State.FAILED, 1)
    assert job.error is not None
    assert job.error.type == kind
    assert house.app.enqueue(workshop.add.job(1)).result(timeout=15) == 2


@pytest.mark.parametrize("kind", ["mute", "circle", "deep", "huge", "surrogate"])
def test_hostile_errors_are_put_into_bounded_words(inside: House, kind: str) -> None:
    inside.start()
    job = inside.app.enqueue(workshop.raise_this.job(kind))
    [first] = eventually(lambda: inside.app.store.history(job.id.bytes)[:1])
    assert len(first.message) <= 4_000
    assert len(first.traceback) <= 16_000


def test_a_result_that_cannot_be_stored_fails_the_job_for_good(inside: House) -> None:
    inside.start()
    [job] = inside.ended(inside.app.enqueue(workshop.unstorable.job()))
    assert (job.state, job.reason, job.attempt) == (State.FAILED, "permanent", 1)
    assert job.error is not None
    assert "result of unstorable" in job.error.message


def test_a_payload_that_does_not_fit_fails_its_job_and_not_the_next(inside: House) -> None:
    inside.start()
    bad = inside.app.enqueue(replace(workshop.add.job(1), payload=b'{"a": "one"}'))
    good = inside.app.enqueue(workshop.add.job(5))
    assert good.result(timeout=15) == 6
    error = eventually(lambda: bad.refresh().error)
    assert error.type == "mainspring.errors.InvalidArguments"


# --- steering ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "attempt"), [("snooze", 1), ("limited", 1), ("retry", 2), ("bad snooze", 2)]
)
def test_a_job_that_asks_to_run_again_does(inside: House, how: str, attempt: int) -> None:
    inside.start()
    job = inside.app.enqueue(workshop.steer.job(how))
    assert job.result(timeout=15) == attempt
    assert job.refresh().claims == 2


def test_a_snooze_says_why_and_when(inside: House) -> None:
    inside.start()
    job = inside.app.enqueue(workshop.steer.job("snooze", 3600))
    now = eventually(lambda: (r := job.refresh()).state is State.SCHEDULED and r)
    assert (now.reason, now.attempt) == ("snoozed", 0)
    assert now.due is not None
    assert 3590 < (now.due - now.created).total_seconds() < 3660


def test_retry_after_takes_the_time_it_says_and_counts_as_a_failure(inside: House) -> None:
    inside.start()
    job = inside.app.enqueue(workshop.steer.job("retry", 3600))
    now = eventually(lambda: (r := job.refresh()).state is State.RETRYING and r)
    assert now.attempt == 1
    assert now.error is not None
    assert (now.error.type, now.error.message) == ("RetryAfter", "the other side said so")


@pytest.mark.parametrize(
    ("how", "state", "reason"),
    [("cancel", State.CANCELLED, "no longer needed"), ("reject", State.FAILED, "rejected")],
)
def test_a_job_that_asks_to_end_does(inside: House, how: str, state: State, reason: str) -> None:
    inside.start()
    [job] = inside.ended(inside.app.enqueue(workshop.steer.job(how)))
    assert (job.state, job.reason, job.attempt) == (state, reason, 1)


def test_steering_works_from_within_a_task_group(house: House) -> None:
    house.start()
    assert house.app.enqueue(workshop.steer_group.job("snooze")).result(timeout=15) == 1
    [job] = house.ended(house.app.enqueue(workshop.steer_group.job("cancel")))
    assert job.state is State.CANCELLED


def test_a_group_that_holds_a_real_error_too_is_a_failure(inside: House) -> None:
    inside.start()
    job = inside.app.enqueue(workshop.steer_group.job("snooze", mixed=True))
    assert job.result(timeout=15) == 2
    [error] = inside.app.store.history(job.id.bytes)
    assert error.type == "ExceptionGroup"


# --- what a function finds -----------------------------------------------------------------------


def test_a_function_is_told_of_its_job(house: House) -> None:
    worker = house.start()
    job = house.app.enqueue("describe", {}, queue="letters")
    told = job.result(timeout=15)
    assert told == {
        "task": "describe",
        "queue": "letters",
        "attempt": 1,
        "worker": worker.name,
        "current": True,
    }


@pytest.mark.parametrize("task", [workshop.leave_behind, workshop.aleave_behind])
def test_context_variables_of_one_job_are_not_seen_by_the_next(inside: House, task: Any) -> None:
    inside.start(threads=1, tasks=1)
    for _ in range(3):
        assert inside.app.enqueue(task.job()).result(timeout=15) == "nothing"


def test_a_job_enqueues_into_the_app_that_runs_it(house: House) -> None:
    house.start()
    for task in (workshop.chain.job("x"), workshop.achain.job()):
        child = house.app.enqueue(task).result(timeout=15)
        assert house.app.get(str(child)).result(timeout=15) == 3


def test_a_task_nobody_knows_waits_and_costs_nothing(house: House) -> None:
    unknown = house.hear(UnknownTasks)
    strange = house.app.enqueue("strange", {})
    house.start()
    known = house.app.enqueue(workshop.add.job(1))
    assert known.result(timeout=15) == 2
    now = eventually(lambda: (r := strange.refresh()).claims and r)
    assert (now.state, now.reason, now.attempt) == (State.SCHEDULED, "unknown task", 0)
    assert [event.tasks for event in unknown] == [("strange",)]


def test_queues_that_were_not_asked_for_are_left_alone(inside: House) -> None:
    other = inside.app.enqueue(workshop.add.using(queue="other").job(1))
    mine = inside.app.enqueue(workshop.add.using(queue="mine").job(1))
    inside.start(queues=["mine"])
    assert mine.result(timeout=15) == 2
    assert inside.state(other) is State.PENDING


def test_a_delayed_job_runs_when_it_is_due_and_not_before(inside: House) -> None:
    inside.start()
    job = inside.app.enqueue(workshop.add.using(delay=0.2).job(1))
    assert job.result(timeout=15) == 2
    now = job.refresh()
    assert now.started is not None
    assert (now.started - now.created).total_seconds() >= 0.2
