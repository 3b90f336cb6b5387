"""Settling attempts: once, under the fence, with everything that follows from it."""

import msgspec
import pytest

from mainspring.durations import HOUR, MINUTE, SECOND
from mainspring.ids import new_token
from mainspring.job import (
    Cancelled,
    Failed,
    HandedBack,
    JobError,
    Outcome,
    Policy,
    Reason,
    Select,
    Snoozed,
    State,
    Succeeded,
    TaskUnknown,
)
from mainspring.lifecycle import decide
from tests.contract.stage import OOPS, Stage, ids, lease, new, retries

ENDS: dict[str, tuple[Outcome, State]] = {
    "success": (Succeeded(b"42"), State.COMPLETED),
    "retry": (Failed(OOPS), State.RETRYING),
    "failure": (Failed(OOPS, permanent=True), State.FAILED),
    "snooze": (Snoozed(5 * SECOND), State.SCHEDULED),
    "hand back": (HandedBack(), State.PENDING),
    "unknown task": (TaskUnknown(), State.SCHEDULED),
    "own cancellation": (Cancelled("enough"), State.CANCELLED),
}
every_end = pytest.mark.parametrize(("outcome", "state"), ENDS.values(), ids=ENDS.keys())


@every_end
def test_an_end_leads_where_its_transition_says(
    stage: Stage, outcome: Outcome, state: State
) -> None:
    job = stage.put()
    answer = stage.end(stage.take(), outcome)
    assert (answer.lost, answer.jobs) == ((), [])
    assert stage.state(job) is state


@every_end
def test_a_repeated_end_is_done_and_changes_nothing(
    stage: Stage, outcome: Outcome, state: State
) -> None:
    job = stage.put()
    change = decide(stage.take(), outcome)
    stage.settle(change)
    before = stage.record(job), stage.store.history(job.id), stage.store.counts()
    stage.passes("1s")
    assert stage.settle(change).lost == ()
    assert stage.settle(change, change).lost == ()
    assert (stage.record(job), stage.store.history(job.id), stage.store.counts()) == before


@every_end
def test_a_repeated_end_is_known_however_far_apart(
    stage: Stage, outcome: Outcome, state: State
) -> None:
    job = stage.put(policy=retries(3, wait=MINUTE))
    change = decide(stage.take(), outcome)
    stage.settle(change)
    stage.passes("9m")
    stage.tidy()
    before = stage.record(job)
    assert stage.settle(change).lost == ()
    assert stage.record(job) == before


@every_end
def test_nobody_ends_a_job_under_a_token_that_does_not_hold_it(
    stage: Stage, outcome: Outcome, state: State
) -> None:
    job, other = stage.put_many(2)
    (held,) = stage.claim(1)
    (theirs,) = stage.claim(1)
    before = stage.record(job)
    for token in (new_token(), theirs.token):
        forged = msgspec.structs.replace(held, token=token)
        assert stage.end(forged, outcome).lost == (lease(forged),)
        assert stage.record(job) == before
    assert stage.state(other) is State.RUNNING


def test_another_end_after_the_first_is_lost(stage: Stage) -> None:
    job = stage.put()
    held = stage.take()
    stage.end(held, Succeeded(b"1"))
    for outcome in (Failed(OOPS), HandedBack(), Cancelled(), Snoozed(1)):
        assert stage.end(held, outcome).lost == (lease(held),)
    record = stage.record(job)
    assert (record.state, record.result) == (State.COMPLETED, b"1")
    assert stage.store.history(job.id) == []


def test_an_end_of_a_job_that_does_not_exist_is_lost(stage: Stage) -> None:
    stage.put()
    held = stage.take()
    ghost = msgspec.structs.replace(held, number=held.number + 1000)
    assert stage.end(ghost, Succeeded()).lost == (lease(ghost),)


def test_a_lost_end_keeps_no_other_from_being_written(stage: Stage) -> None:
    stage.put_many(5)
    held = stage.claim()
    held[2] = msgspec.structs.replace(held[2], token=new_token())
    answer = stage.settle(*(decide(job, Succeeded()) for job in held))
    assert answer.lost == (lease(held[2]),)
    assert (stage.count(State.COMPLETED), stage.count(State.RUNNING)) == (4, 1)


def test_an_end_after_the_lease_counts_while_nobody_took_over(stage: Stage) -> None:
    job = stage.put()
    held = stage.take()
    stage.passes("1h")
    assert stage.end(held, Succeeded()).lost == ()
    assert stage.state(job) is State.COMPLETED
    assert stage.reclaim() == []


def test_many_kinds_of_ends_are_settled_in_one_step(stage: Stage) -> None:
    jobs = stage.put_many(len(ENDS))
    outcomes = [outcome for outcome, _ in ENDS.values()]
    held = stage.claim()
    changes = [decide(job, outcome) for job, outcome in zip(held, outcomes, strict=True)]
    assert stage.settle(*changes).lost == ()
    assert stage.states(*jobs) == [state for _, state in ENDS.values()]
    assert stage.settle(*changes).lost == ()


def test_thousands_of_ends_are_settled_in_one_step(stage: Stage) -> None:
    stage.put_many(3_000)
    stage.complete(stage.claim(3_000))
    assert stage.count(State.COMPLETED) == 3_000


# --- what follows --------------------------------------------------------------------------------


@pytest.mark.parametrize("result", [None, b"", b"null", b"\0\xff", bytes(100_000)], ids=repr)
def test_a_result_is_kept_byte_for_byte(stage: Stage, result: bytes | None) -> None:
    job = stage.put()
    stage.passes("1s")
    held = stage.take()
    stage.passes("2s")
    change = msgspec.structs.replace(decide(held, Succeeded(result)), took=1_999_999)
    stage.settle(change)
    record = stage.record(job)
    assert record.result == result
    assert record.took == 1_999_999
    assert record.finished == stage.now.wall
    assert (record.attempt, record.claims) == (1, 1)


def test_a_retry_waits_its_delay_and_keeps_its_error(stage: Stage) -> None:
    job = stage.put(policy=retries(2, wait=5 * SECOND))
    stage.end(stage.take(), Failed(OOPS))
    record = stage.record(job)
    assert (record.state, record.due) == (State.RETRYING, stage.now.wall + 5 * SECOND)
    assert record.error is not None
    assert record.error.message == OOPS.message
    stage.time.wall += 5 * SECOND - 1
    assert stage.claim() == []
    stage.time.wall += 1
    held = stage.take()
    assert (held.attempt, held.due) == (2, stage.now.wall)


def test_a_retry_goes_by_its_new_time_behind_those_that_came_meanwhile(stage: Stage) -> None:
    first = stage.put(policy=retries(1, wait=5 * SECOND))
    stage.end(stage.take(), Failed(OOPS))
    stage.passes("1s")
    second = stage.put()
    stage.passes("10s")
    assert ids(stage.claim()) == ids([second, first])


def test_what_is_handed_back_has_its_old_place_and_its_attempt_back(stage: Stage) -> None:
    jobs = stage.put_many(5)
    held = stage.claim(3)
    stage.passes("5s")
    for job in held:
        stage.end(job, HandedBack())
    record = stage.record(jobs[0])
    assert (record.state, record.attempt, record.claims) == (State.PENDING, 0, 1)
    again = stage.claim()
    assert ids(again) == ids(jobs)
    assert [(job.attempt, job.claims) for job in again] == [(1, 2)] * 3 + [(1, 1)] * 2


def test_a_snooze_waits_as_long_as_it_said_and_costs_no_attempt(stage: Stage) -> None:
    job = stage.put(policy=retries(0))
    for claims in range(1, 6):
        held = stage.take()
        assert (held.attempt, held.claims) == (1, claims)
        stage.end(held, Snoozed(MINUTE))
        record = stage.record(job)
        assert (record.state, record.reason) == (State.SCHEDULED, Reason.SNOOZED)
        assert record.due == stage.now.wall + MINUTE
        stage.passes("1m")


def test_a_final_failure_says_why(stage: Stage) -> None:
    job = stage.put(policy=retries(0))
    stage.passes("2s")
    stage.end(stage.take(), Failed(OOPS))
    record = stage.record(job)
    assert (record.state, record.reason) == (State.FAILED, Reason.RETRIES_EXHAUSTED)
    assert record.error is not None
    assert record.error.message == OOPS.message
    assert record.finished == stage.now.wall


def test_a_cancellation_keeps_its_reason(stage: Stage) -> None:
    job = stage.put()
    stage.end(stage.take(), Cancelled("no longer needed"))
    record = stage.record(job)
    assert (record.state, record.reason) == (State.CANCELLED, "no longer needed")


def test_the_history_has_one_entry_for_every_failed_attempt_oldest_first(stage: Stage) -> None:
    job = stage.put(policy=retries(3))
    errors = [
        JobError(attempt=n, type=f"E{n}", message="ü" * n, traceback="line\n" * n, worker="w", at=n)
        for n in (1, 2, 3, 4)
    ]
    for error in errors:
        stage.end(stage.take(), HandedBack())
        stage.end(stage.take(), Failed(error))
        stage.passes("1s")
    assert stage.state(job) is State.FAILED
    told = stage.store.history(job.id)
    assert [(e.attempt, e.type, e.message, e.traceback, e.worker) for e in told] == [
        (e.attempt, e.type, e.message, e.traceback, e.worker) for e in errors
    ]


def test_an_end_frees_the_unique_key_in_the_same_step(stage: Stage) -> None:
    stage.put(unique="k")
    stage.complete([stage.take()])
    assert stage.insert(new(unique="k", on_duplicate="error"))[0].duplicate_of is None


# --- a request to cancel -------------------------------------------------------------------------


@every_end
def test_a_request_to_cancel_beats_everything_but_a_success(
    stage: Stage, outcome: Outcome, state: State
) -> None:
    job = stage.put(policy=retries(5))
    held = stage.take()
    stage.store.cancel(Select(ids=(job.id,)), "by hand", now=stage.now)
    assert stage.record(job).cancel_asked
    assert stage.state(job) is State.RUNNING
    answer = stage.end(held, outcome)
    assert answer.lost == ()
    wins = state is State.COMPLETED
    assert stage.state(job) is (State.COMPLETED if wins else State.CANCELLED)
    if state not in (State.COMPLETED, State.CANCELLED):
        assert answer.cancelled == (held.number,)
        assert stage.record(job).reason == "by hand"
    stage.passes("1h")
    assert stage.claim() == []


def test_a_success_beats_a_request_to_cancel_in_whatever_company(stage: Stage) -> None:
    jobs = [stage.put(), stage.put(policy=Policy(keep=HOUR)), stage.put(unique="k")]
    held = stage.claim()
    stage.store.cancel(Select(), now=stage.now)
    stranger = msgspec.structs.replace(held[0], token=new_token(), number=held[0].number + 99)
    answer = stage.settle(*(decide(job, Succeeded()) for job in (*held, stranger)))
    assert answer.lost == (lease(stranger),)
    assert answer.cancelled == ()
    assert stage.states(*jobs) == [State.COMPLETED] * 3


def test_a_repeated_end_of_a_job_that_was_cancelled_is_done(stage: Stage) -> None:
    job = stage.put(policy=retries(5))
    change = decide(stage.take(), Failed(OOPS))
    stage.store.cancel(Select(ids=(job.id,)), now=stage.now)
    stage.settle(change)
    assert stage.settle(change).lost == ()
    assert stage.state(job) is State.CANCELLED


def test_a_request_to_cancel_ends_with_the_attempt_it_was_meant_for(stage: Stage) -> None:
    job = stage.put()
    held = stage.take()
    stage.store.cancel(Select(ids=(job.id,)), now=stage.now)
    stage.end(held, Failed(OOPS))
    stage.store.replay(Select(ids=(job.id,)), now=stage.now)
    again = stage.take()
    assert not stage.record(job).cancel_asked
    stage.end(again, Failed(OOPS))
    assert stage.state(job) is State.RETRYING


# --- tasks nobody knows --------------------------------------------------------------------------


def test_a_job_of_an_unknown_task_waits_visibly_and_costs_no_attempt(stage: Stage) -> None:
    job = stage.put(task="new.task", policy=retries(0))
    stage.end(stage.take(), TaskUnknown())
    record = stage.record(job)
    assert (record.state, record.reason) == (State.SCHEDULED, Reason.UNKNOWN_TASK)
    assert (record.attempt, record.claims) == (0, 1)
    assert record.due == stage.now.wall + SECOND
    assert stage.claim() == []
    stage.passes("1s")
    assert stage.take().attempt == 1


def test_jobs_of_an_unknown_task_stand_in_nobodys_way(stage: Stage) -> None:
    stage.put_many(10, task="new.task", priority=9)
    known = stage.put()
    for held in stage.claim(10):
        stage.end(held, TaskUnknown())
    assert ids(stage.claim()) == [known.id]


def test_a_worker_that_tells_of_the_task_gets_its_jobs_at_once(stage: Stage) -> None:
    jobs = stage.put_many(3, task="new.task")
    other = stage.put(task="newer.task")
    for held in stage.claim():
        stage.end(held, TaskUnknown())
    stage.heartbeat(worker="w1", tasks=("send",))
    assert stage.claim() == []
    stage.heartbeat(worker="w2", tasks=("send", "new.task"))
    assert ids(stage.claim()) == ids(jobs)
    assert stage.state(other) is State.SCHEDULED


def test_jobs_that_workers_without_their_task_take_first_are_due_anew_for_a_minute(
    stage: Stage,
) -> None:
    job = stage.put(task="new.task")
    newcomer = {"worker": "w2", "tasks": ("new.task",), "started": stage.now.wall}
    for _ in range(5):
        stage.end(stage.take(), TaskUnknown())
        assert stage.claim() == []
        stage.heartbeat(**newcomer)
    stage.passes("1m")
    stage.end(stage.take(), TaskUnknown())
    stage.heartbeat(**newcomer)
    assert stage.claim() == []
    assert stage.state(job) is State.SCHEDULED


def test_a_job_parked_for_its_task_has_its_old_place_when_it_is_due(stage: Stage) -> None:
    parked = stage.put(task="new.task")
    stage.end(stage.take(), TaskUnknown())
    stage.passes("100ms")
    later = stage.put(expires=HOUR)
    stage.heartbeat(worker="w2", tasks=("new.task",))
    assert ids(stage.claim()) == ids([parked, later])
