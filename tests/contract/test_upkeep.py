"""Chores: what is due is promoted, what is late expires, what was kept long enough goes."""

import pytest

from mainspring.durations import DAY, HOUR, MINUTE, SECOND
from mainspring.job import Failed, Policy, Reason, Select, State
from mainspring.store import Settings
from tests.contract.stage import OOPS, Stage, everything, ids, new, retries


def test_what_is_due_becomes_pending_and_nothing_else(stage: Stage) -> None:
    due, later = stage.put(delay=SECOND), stage.put(delay=MINUTE)
    retrying = stage.put(policy=retries(1))
    stage.end(stage.take(), Failed(OOPS))
    stage.passes("1s")
    assert stage.store.upkeep(now=stage.now) == 2
    states = stage.states(due, retrying, later)
    assert states == [State.PENDING, State.PENDING, State.SCHEDULED]
    assert stage.store.upkeep(now=stage.now) == 0


def test_what_is_due_is_promoted_in_paused_queues_too(stage: Stage) -> None:
    job = stage.put(delay=SECOND)
    stage.store.configure("default", Settings(paused=True))
    stage.passes("1s")
    stage.tidy()
    assert stage.state(job) is State.PENDING


def test_chores_come_in_slices(stage: Stage) -> None:
    stage.put_many(25, delay=SECOND)
    stage.passes("1s")
    touched = []
    for _ in range(10):
        touched.append(stage.store.upkeep(10, now=stage.now))
        if touched[-1] < 10:
            break
    assert sum(touched) == 25
    assert stage.count(State.PENDING) == 25


# --- expiry --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.PENDING, State.SCHEDULED, State.BLOCKED, State.RETRYING])
def test_a_job_that_waited_too_long_fails_in_whatever_way_it_waited(
    stage: Stage, state: State
) -> None:
    job = stage.bring(state, expires=30 * SECOND)
    child = new().after(job)
    stage.insert(child)
    stage.store.configure(job.queue, Settings(paused=True))
    stage.passes("29s")
    stage.tidy()
    assert not stage.state(job).final
    stage.passes("2s")
    stage.tidy()
    record = stage.record(job)
    assert (record.state, record.reason) == (State.FAILED, Reason.EXPIRED)
    assert record.finished == stage.now.wall
    assert stage.state(child) is State.CANCELLED


def test_a_running_job_does_not_expire(stage: Stage) -> None:
    job = stage.put(expires=SECOND, policy=retries(3))
    held = stage.take(lease=HOUR)
    stage.passes("1m")
    stage.tidy()
    assert stage.state(job) is State.RUNNING
    stage.end(held, Failed(OOPS))
    stage.tidy()
    assert stage.record(job).reason == Reason.EXPIRED


# --- retention -----------------------------------------------------------------------------------

ENDED = [State.COMPLETED, State.FAILED, State.CANCELLED]
KEPT = {State.COMPLETED: DAY, State.FAILED: 14 * DAY, State.CANCELLED: DAY}


@pytest.mark.parametrize("state", ENDED)
def test_an_ended_job_is_kept_as_long_as_its_queue_says_and_no_longer(
    stage: Stage, state: State
) -> None:
    job = stage.bring(state)
    stage.time.wall += KEPT[state] - MINUTE
    stage.tidy()
    assert stage.state(job) is state
    stage.time.wall += 2 * MINUTE
    stage.tidy()
    assert stage.gone(job)
    assert stage.store.find(Select(states=(state,))) == []


@pytest.mark.parametrize("state", ENDED)
def test_retention_is_a_setting_of_the_queue_for_each_kind_of_end(
    stage: Stage, state: State
) -> None:
    job, other = stage.bring(state), stage.bring(state)
    setting = f"keep_{state.value}"
    stage.store.configure(job.queue, Settings(**{setting: HOUR}))
    stage.time.wall += HOUR + MINUTE
    stage.tidy()
    assert stage.gone(job)
    assert stage.state(other) is state


def test_a_job_may_say_itself_how_long_it_is_kept_when_it_completed(stage: Stage) -> None:
    job = stage.put(policy=Policy(keep=HOUR))
    longer = stage.put(policy=Policy(keep=2 * DAY))
    stage.complete(stage.claim())
    stage.time.wall += HOUR + MINUTE
    stage.tidy()
    assert stage.gone(job)
    stage.time.wall += DAY
    stage.tidy()
    assert stage.state(longer) is State.COMPLETED


def test_an_ended_job_is_kept_while_a_job_that_waited_for_it_has_not_ended(stage: Stage) -> None:
    parent = stage.put()
    child = new(delay=5 * DAY).after(parent)
    stage.insert(child)
    stage.complete([stage.take()])
    stage.time.wall += 4 * DAY
    stage.tidy()
    assert stage.states(parent, child) == [State.COMPLETED, State.SCHEDULED]
    stage.time.wall += DAY
    stage.complete([stage.take()])
    stage.time.wall += HOUR
    stage.tidy()
    assert stage.gone(parent)
    assert stage.state(child) is State.COMPLETED


def test_a_unique_key_is_held_for_its_period_whatever_the_retention(stage: Stage) -> None:
    holder = stage.put(unique="k", unique_for=3 * DAY)
    stage.complete([stage.take()])
    stage.time.wall += 2 * DAY
    stage.tidy()
    assert stage.insert(new(unique="k"))[0].duplicate_of == holder.id
    stage.time.wall += DAY
    assert stage.insert(new(unique="k"))[0].duplicate_of is None


def test_what_has_not_ended_is_kept_for_ever(stage: Stage) -> None:
    jobs = [stage.put(), stage.put(delay=400 * DAY), stage.put(queue="held")]
    stage.take(queues=("held",))
    stage.time.wall += 100 * DAY
    stage.tidy()
    assert stage.states(*jobs) == [State.PENDING, State.SCHEDULED, State.RUNNING]


def test_thousands_of_old_jobs_are_pruned_in_slices(stage: Stage) -> None:
    stage.put_many(2_500)
    stage.complete(stage.claim(2_500))
    kept = stage.put()
    stage.time.wall += 2 * DAY
    stage.tidy()
    assert ids(everything(stage.store)) == [kept.id]


def test_a_replayed_job_is_not_pruned_for_its_old_end(stage: Stage) -> None:
    job = stage.put()
    stage.complete([stage.take()])
    stage.time.wall += DAY - MINUTE
    stage.store.replay(Select(ids=(job.id,)), now=stage.now)
    stage.time.wall += HOUR
    stage.tidy()
    assert stage.state(job) is State.PENDING
    stage.complete([stage.take()])
    stage.tidy()
    assert stage.state(job) is State.COMPLETED
