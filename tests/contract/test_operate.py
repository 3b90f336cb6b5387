"""What an operator does to jobs: cancel, replay, delete, by any selection."""

from typing import Any

import pytest

from mainspring.durations import HOUR
from mainspring.ids import new_id
from mainspring.job import Changed, Failed, NewJob, Select, State, Succeeded
from tests.contract.stage import OOPS, Stage, everything, ids, new, retries

WAITING = [State.PENDING, State.SCHEDULED, State.BLOCKED, State.RETRYING]
ENDED = [State.COMPLETED, State.FAILED, State.CANCELLED]


def one(job: NewJob[Any]) -> Select:
    return Select(ids=(job.id,))


def cancel(stage: Stage, job: NewJob[Any], reason: str = "") -> Changed:
    return stage.store.cancel(one(job), reason, now=stage.now)


def replay(stage: Stage, job: NewJob[Any]) -> Changed:
    return stage.store.replay(one(job), now=stage.now)


def delete(stage: Stage, job: NewJob[Any]) -> Changed:
    return stage.store.delete(one(job), now=stage.now)


def refused(changed: Changed, job: NewJob[Any]) -> str:
    """The words by which this job alone was refused."""
    assert changed.ids == ()
    assert set(changed.refused) == {job.id}
    return changed.refused[job.id]


# --- cancel --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", WAITING)
def test_a_waiting_job_is_cancelled_at_once_and_never_claimed(stage: Stage, state: State) -> None:
    job = stage.bring(state)
    changed = cancel(stage, job, "not wanted")
    assert changed.ids == (job.id,)
    record = stage.record(job)
    assert (record.state, record.reason) == (State.CANCELLED, "not wanted")
    assert record.finished == stage.now.wall
    stage.passes("2h")
    assert job.id not in ids(stage.claim())


def test_a_running_job_is_asked_to_stop(stage: Stage) -> None:
    job = stage.put()
    held = stage.take()
    assert cancel(stage, job).ids == (job.id,)
    assert stage.state(job) is State.RUNNING
    assert stage.record(job).cancel_asked
    assert stage.heartbeat(held.token).cancel == (held.number,)


@pytest.mark.parametrize("state", ENDED)
def test_an_ended_job_cannot_be_cancelled(stage: Stage, state: State) -> None:
    job = stage.bring(state)
    before = stage.record(job)
    assert refused(cancel(stage, job), job)
    assert stage.record(job) == before


# --- replay --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ENDED)
def test_an_ended_job_runs_again_with_all_attempts(stage: Stage, state: State) -> None:
    job = stage.bring(state)
    claims = stage.record(job).claims
    stage.passes("5s")
    assert replay(stage, job).ids == (job.id,)
    record = stage.record(job)
    assert (record.state, record.attempt, record.claims) == (State.PENDING, 0, claims)
    assert record.result is record.finished is record.reason is None
    held = stage.take(queues=(job.queue,))
    assert (held.attempt, held.claims, held.losses) == (1, claims + 1, 0)
    stage.end(held, Failed(OOPS))
    assert stage.state(job) is State.RETRYING


@pytest.mark.parametrize("state", [*WAITING, State.RUNNING])
def test_a_job_that_has_not_ended_cannot_be_replayed(stage: Stage, state: State) -> None:
    job = stage.bring(state)
    before = stage.record(job)
    assert refused(replay(stage, job), job)
    assert stage.record(job) == before


def test_a_replay_keeps_the_history(stage: Stage) -> None:
    job = stage.put(policy=retries(0))
    for n in (1, 2, 3):
        stage.end(stage.take(), Failed(OOPS))
        assert len(stage.store.history(job.id)) == n
        replay(stage, job)
    assert len(stage.store.history(job.id)) == 3


def test_a_replayed_job_that_had_expired_waits_anew(stage: Stage) -> None:
    job = stage.put(expires=HOUR)
    stage.passes("2h")
    stage.tidy()
    assert stage.state(job) is State.FAILED
    replay(stage, job)
    stage.tidy()
    assert stage.take().id == job.id


def test_a_replayed_job_takes_its_key_again(stage: Stage) -> None:
    job = stage.put(unique="k")
    stage.complete([stage.take()])
    replay(stage, job)
    assert stage.insert(new(unique="k"))[0].duplicate_of == job.id
    stage.complete([stage.take()])
    assert stage.insert(new(unique="k"))[0].duplicate_of is None


def test_a_replay_is_refused_while_another_holds_the_key(stage: Stage) -> None:
    job = stage.put(unique="k")
    stage.fail(stage.take())
    holder = stage.put(unique="k")
    words = refused(replay(stage, job), job)
    assert str(holder.uuid) in words
    assert stage.state(job) is State.FAILED
    stage.complete([stage.take()])
    assert replay(stage, job).ids == (job.id,)


def test_of_two_ended_jobs_with_one_key_only_one_is_replayed(stage: Stage) -> None:
    jobs = [stage.put(unique="k")]
    stage.fail(stage.take())
    jobs.append(stage.put(unique="k"))
    stage.fail(stage.take())
    changed = stage.store.replay(Select(states=(State.FAILED,)), now=stage.now)
    assert (len(changed.ids), len(changed.refused)) == (1, 1)
    assert {*changed.ids, *changed.refused} == set(ids(jobs))
    assert stage.count(State.PENDING) == 1


def test_a_replay_makes_dependents_wait_again_that_fell_with_the_job(stage: Stage) -> None:
    parent = new(policy=retries(0))
    child = new().after(parent)
    grandchild = new().after(child)
    ran_anyway = new().after(parent, run_anyway=True)
    stage.insert(parent, child, grandchild, ran_anyway)
    stage.end(stage.take(), Failed(OOPS))
    stage.complete([stage.take()])
    assert stage.states(child, grandchild, ran_anyway) == [
        State.CANCELLED,
        State.CANCELLED,
        State.COMPLETED,
    ]
    replay(stage, parent)
    assert stage.states(parent, child, grandchild, ran_anyway) == [
        State.PENDING,
        State.BLOCKED,
        State.BLOCKED,
        State.COMPLETED,
    ]
    for job in (parent, child, grandchild):
        held = stage.take()
        assert held.id == job.id
        stage.complete([held])


def test_a_replay_does_not_wake_dependents_that_were_cancelled_by_hand(stage: Stage) -> None:
    parent = new()
    child = new().after(parent)
    stage.insert(parent, child)
    cancel(stage, child, "by hand")
    stage.fail(stage.take())
    replay(stage, parent)
    assert stage.states(parent, child) == [State.PENDING, State.CANCELLED]


def test_a_dependent_that_waits_again_counts_what_completed_meanwhile(stage: Stage) -> None:
    bad, good = stage.put_many(2)
    child = new().after(bad, good)
    stage.insert(child)
    first, second = stage.claim()
    stage.fail(first)
    stage.complete([second])
    replay(stage, bad)
    assert stage.state(child) is State.BLOCKED
    stage.complete([stage.take()])
    assert stage.take().id == child.id


def test_a_dependent_with_two_bad_parents_runs_when_both_have_completed(stage: Stage) -> None:
    parents = stage.put_many(2)
    child = new().after(*parents)
    stage.insert(child)
    for held in stage.claim():
        stage.fail(held)
    for parent in parents:
        assert child.id not in ids(stage.claim())
        replay(stage, parent)
        stage.complete([stage.take()])
    assert stage.take().id == child.id


def test_a_replayed_dependent_waits_again_for_a_parent_that_has_not_ended(stage: Stage) -> None:
    parent = new()
    child = new().after(parent)
    stage.insert(parent, child)
    cancel(stage, child)
    assert replay(stage, child).ids == (child.id,)
    assert stage.state(child) is State.BLOCKED
    stage.complete([stage.take()])
    assert stage.take().id == child.id


def test_a_replayed_dependent_does_not_wait_for_a_parent_that_completed_meanwhile(
    stage: Stage,
) -> None:
    parent = new()
    child = new().after(parent)
    stage.insert(parent, child)
    cancel(stage, child)
    stage.complete([stage.take()])
    replay(stage, child)
    assert stage.take().id == child.id


def test_a_replayed_dependent_that_waits_for_another_still_waits_for_it(stage: Stage) -> None:
    bad, slow = stage.put_many(2)
    child = new().after(bad, slow)
    stage.insert(child)
    first, second = stage.claim()
    stage.fail(first)
    replay(stage, bad)
    stage.complete([stage.take()])
    assert stage.state(child) is State.BLOCKED
    stage.complete([second])
    assert stage.take().id == child.id


def test_a_dependent_replayed_alone_waits_until_its_parent_is_replayed_too(stage: Stage) -> None:
    parent = new()
    child = new().after(parent)
    stage.insert(parent, child)
    stage.fail(stage.take())
    assert replay(stage, child).ids == (child.id,)
    assert stage.state(child) is State.BLOCKED
    replay(stage, parent)
    stage.complete([stage.take()])
    assert stage.take().id == child.id


def test_a_new_dependent_changes_nothing_for_those_that_wait_already(stage: Stage) -> None:
    parent = new()
    child = new().after(parent)
    stage.insert(parent, child)
    stage.fail(stage.take())
    replay(stage, child)
    newer = new().after(parent)
    anyway = new().after(parent, run_anyway=True)
    stage.insert(newer, anyway)
    assert stage.states(child, newer, anyway) == [
        State.BLOCKED,
        State.CANCELLED,
        State.PENDING,
    ]


def test_a_whole_fallen_flow_can_be_replayed_in_one_call(stage: Stage) -> None:
    parent = new()
    child = new().after(parent)
    stage.insert(parent, child)
    stage.fail(stage.take())
    stage.store.replay(Select(ids=(child.id, parent.id)), now=stage.now)
    for job in (parent, child):
        held = stage.take()
        assert held.id == job.id
        stage.complete([held])


def test_a_replay_of_a_completed_job_leaves_its_dependents_alone(stage: Stage) -> None:
    parent = new()
    child = new().after(parent)
    stage.insert(parent, child)
    stage.complete([stage.take()])
    held = stage.take()
    replay(stage, parent)
    assert stage.states(parent, child) == [State.PENDING, State.RUNNING]
    stage.fail(stage.take())
    assert stage.end(held, Succeeded()).lost == ()


# --- delete --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [*WAITING, *ENDED])
def test_a_job_that_does_not_run_is_removed_with_all_that_is_known_of_it(
    stage: Stage, state: State
) -> None:
    job = stage.bring(state, unique="k", tags=("a",))
    changed = delete(stage, job)
    assert changed.ids == (job.id,)
    assert stage.gone(job)
    assert stage.store.find(Select(tags=("a",))) == []
    assert stage.store.history(job.id) == stage.store.logs(job.id) == []
    assert stage.insert(new(unique="k"))[0].duplicate_of is None


def test_a_running_job_cannot_be_deleted(stage: Stage) -> None:
    job = stage.put()
    held = stage.take()
    assert refused(delete(stage, job), job)
    assert stage.end(held, Succeeded()).lost == ()


def test_an_end_of_a_job_that_was_deleted_is_lost(stage: Stage) -> None:
    job = stage.put()
    held = stage.take()
    stage.end(held, Failed(OOPS))
    delete(stage, job)
    assert stage.end(held, Succeeded()).lost == ((held.number, held.token),)
    assert everything(stage.store) == []


def test_an_ended_job_is_kept_while_a_job_that_waited_for_it_has_not_ended(stage: Stage) -> None:
    parent = new()
    child = new().after(parent)
    stage.insert(parent, child)
    stage.complete([stage.take()])
    assert refused(delete(stage, parent), parent)
    stage.complete([stage.take()])
    assert delete(stage, parent).ids == (parent.id,)


def test_an_id_can_be_used_again_after_a_delete(stage: Stage) -> None:
    job = stage.put()
    delete(stage, job)
    (answer,) = stage.insert(job)
    assert not answer.repeated
    assert stage.take().id == job.id


# --- selections ----------------------------------------------------------------------------------


def test_a_selection_reaches_what_matches_and_leaves_the_rest(stage: Stage) -> None:
    wanted = stage.put_many(3, queue="a", task="x", tags=("t",), key="k")
    others = [
        stage.put(queue="b", task="x", tags=("t",), key="k"),
        stage.put(queue="a", task="y", tags=("t",), key="k"),
        stage.put(queue="a", task="x", tags=("u",), key="k"),
        stage.put(queue="a", task="x", tags=("t",), key="l"),
    ]
    select = Select(queues=("a",), tasks=("x",), tags=("t",), keys=("k",), states=(State.PENDING,))
    changed = stage.store.cancel(select, now=stage.now)
    assert set(changed.ids) == set(ids(wanted))
    assert stage.states(*wanted, *others) == [State.CANCELLED] * 3 + [State.PENDING] * 4


def test_what_can_be_done_is_done_and_what_cannot_is_refused(stage: Stage) -> None:
    pending, failed = stage.bring(State.PENDING), stage.bring(State.FAILED)
    changed = stage.store.cancel(Select(ids=(failed.id, pending.id)), now=stage.now)
    assert (changed.ids, set(changed.refused)) == ((pending.id,), {failed.id})


@pytest.mark.parametrize("verb", ["cancel", "replay", "delete"])
def test_ids_that_do_not_exist_change_nothing(stage: Stage, verb: str) -> None:
    job = stage.put()
    changed = getattr(stage.store, verb)(Select(ids=(new_id(),)), now=stage.now)
    assert changed.ids == ()
    assert stage.state(job) is State.PENDING


@pytest.mark.parametrize("verb", ["cancel", "replay", "delete"])
def test_an_empty_selection_of_ids_selects_nothing(stage: Stage, verb: str) -> None:
    job = stage.bring(State.PENDING if verb == "cancel" else State.FAILED)
    before = stage.record(job)
    assert getattr(stage.store, verb)(Select(ids=()), now=stage.now).ids == ()
    assert stage.record(job) == before


def test_a_selection_of_2500_jobs_is_worked_off_whole(stage: Stage) -> None:
    stage.put_many(2_500)
    kept = stage.put(queue="kept")
    select = Select(queues=("default",))
    assert len(stage.store.cancel(select, now=stage.now).ids) == 2_500
    assert stage.count(State.CANCELLED) == 2_500
    assert len(stage.store.replay(select, now=stage.now).ids) == 2_500
    assert stage.count(State.PENDING) == 2_500
    assert len(stage.store.delete(select, now=stage.now).ids) == 2_500
    assert ids(everything(stage.store)) == [kept.id]


def test_a_thousand_refusals_stand_in_nobodys_way(stage: Stage) -> None:
    stage.put_many(1_200)
    stage.claim(1_200)
    waiting = stage.put()
    changed = stage.store.delete(Select(), now=stage.now)
    assert changed.ids == (waiting.id,)
    assert len(changed.refused) == 1_200
