"""Taking over from the dead: whole, once, and never from the living."""

import pytest

from mainspring.durations import MINUTE
from mainspring.ids import new_token
from mainspring.job import Failed, HandedBack, Lost, Reason, Select, State, Succeeded
from mainspring.lifecycle import decide
from mainspring.store import Grant
from tests.contract.stage import LEASE, OOPS, Stage, ids, lease, retries


def test_nothing_is_taken_from_the_living(stage: Stage) -> None:
    stage.put()
    stage.take()
    stage.time.passes(LEASE / 1e6 - 0.001)
    assert stage.reclaim() == []


def test_what_is_taken_over_is_the_job_as_it_was_held(stage: Stage) -> None:
    stage.put(payload=b"[1]", headers={"a": "b"}, policy=retries(5))
    stage.end(stage.take(), Failed(OOPS))
    stage.passes("1s")
    held = stage.take()
    stage.passes("16s")
    (taken,) = stage.reclaim()
    assert taken.token != held.token
    for name in ("number", "id", "queue", "task", "payload", "attempt", "losses", "policy"):
        assert getattr(taken, name) == getattr(held, name), name
    assert stage.store.held([held.token]) == []
    assert ids(stage.store.held([taken.token])) == [held.id]


def test_a_lost_job_goes_by_its_retry_time_and_remembers_how_it_was_lost(stage: Stage) -> None:
    job = stage.put(policy=retries(1, wait=MINUTE))
    stage.take()
    stage.lose_all()
    record = stage.record(job)
    assert (record.state, record.attempt) == (State.RETRYING, 1)
    assert record.due == stage.now.wall + MINUTE
    assert len(stage.store.history(job.id)) == 1
    stage.passes("1m")
    held = stage.take(alone=1)
    assert (held.attempt, held.losses) == (2, 1)
    stage.lose_all()
    record = stage.record(job)
    assert (record.state, record.reason) == (State.FAILED, Reason.WORKER_LOST)
    assert len(stage.store.history(job.id)) == 2


def test_attempts_never_exceed_the_limit_however_often_workers_die(stage: Stage) -> None:
    job = stage.put(policy=retries(3))
    attempts = 0
    for _ in range(10):
        attempts += len(stage.claim(alone=1))
        stage.lose_all()
        stage.passes("1s")
    assert attempts == 4
    assert stage.state(job) is State.FAILED


def test_a_finish_after_the_takeover_is_lost_and_changes_nothing(stage: Stage) -> None:
    job = stage.put()
    held = stage.take()
    stage.passes("16s")
    (taken,) = stage.reclaim()
    before = stage.record(job)
    for outcome in (Succeeded(b"1"), Failed(OOPS), HandedBack()):
        assert stage.end(held, outcome).lost == (lease(held),)
        assert stage.record(job) == before
    assert stage.end(taken, Lost(OOPS)).lost == ()
    assert stage.end(held, Succeeded()).lost == (lease(held),)
    assert stage.state(job) is State.RETRYING


def test_an_old_holder_is_lost_also_when_the_job_runs_again(stage: Stage) -> None:
    job = stage.put()
    old = stage.take()
    stage.lose_all()
    stage.passes("2s")
    new = stage.take()
    assert stage.end(old, Succeeded(b"old")).lost == (lease(old),)
    assert stage.end(new, Succeeded(b"new")).lost == ()
    assert stage.record(job).result == b"new"


def test_nothing_is_taken_over_twice(stage: Stage) -> None:
    stage.put_many(10)
    stage.claim(6)
    stage.claim(4)
    stage.passes("16s")
    taken = [id for _ in range(8) for id in ids(stage.reclaim(limit=3))]
    assert len(taken) == len(set(taken)) == 10


def test_a_repeated_takeover_returns_what_it_took_and_takes_no_more(stage: Stage) -> None:
    stage.put_many(4)
    stage.claim()
    stage.passes("16s")
    grant = Grant(token=new_token(), worker="w2", lease=LEASE)
    first = stage.store.reclaim(grant, 2, now=stage.now)
    assert stage.store.reclaim(grant, 2, now=stage.now) == first
    assert len(first) == 2
    assert len(stage.reclaim()) == 2


def test_what_a_limit_left_is_still_fenced_by_its_old_grant(stage: Stage) -> None:
    stage.put_many(4)
    held = stage.claim()
    stage.passes("16s")
    taken = stage.reclaim(limit=2)
    left = [job for job in held if job.id not in ids(taken)]
    assert (len(taken), len(left)) == (2, 2)
    assert stage.settle(*(decide(job, Succeeded()) for job in held)).lost == tuple(
        lease(job) for job in held if job.id in ids(taken)
    )
    assert stage.reclaim() == []


def test_a_reclaimer_that_dies_is_reclaimed_from(stage: Stage) -> None:
    job = stage.put()
    stage.take()
    stage.passes("16s")
    (first,) = stage.reclaim(worker="w2")
    assert stage.reclaim(worker="w3") == []
    stage.passes("16s")
    (second,) = stage.reclaim(worker="w3")
    assert stage.end(first, Lost(OOPS)).lost == (lease(first),)
    assert stage.end(second, Lost(OOPS)).lost == ()
    assert stage.state(job) is State.RETRYING


def test_only_what_was_not_settled_is_taken_over(stage: Stage) -> None:
    stage.put_many(3)
    held = stage.claim()
    stage.complete(held[:1])
    stage.end(held[1], HandedBack())
    stage.passes("16s")
    assert ids(stage.reclaim()) == [held[2].id]


def test_a_lost_job_that_was_to_be_cancelled_ends_as_cancelled(stage: Stage) -> None:
    job = stage.put()
    stage.take()
    stage.store.cancel(Select(ids=(job.id,)), now=stage.now)
    stage.lose_all()
    assert stage.state(job) is State.CANCELLED


@pytest.mark.parametrize("count", [1, 5])
def test_jobs_of_a_dead_worker_can_run_again_after_lease_and_retry_delay(
    stage: Stage, count: int
) -> None:
    jobs = stage.put_many(count)
    stage.claim()
    stage.lose_all()
    stage.passes("1s")
    assert sorted(ids(stage.claim())) == sorted(ids(jobs))
