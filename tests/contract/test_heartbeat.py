"""Heartbeats: presence, renewal and progress up; losses, cancels and pauses down."""

from typing import Any

import pytest

from mainspring.durations import MINUTE, SECOND
from mainspring.ids import new_token
from mainspring.job import Claimed, HandedBack, Select, State, Succeeded
from mainspring.store import Note, Settings
from tests.contract.stage import LEASE, Stage, ids, lease


def note(held: Claimed, text: str, percent: float | None = None, at: int = 5, **other: Any) -> Note:
    return Note(held.number, other.get("token", held.token), at, text, percent)


# --- renewal -------------------------------------------------------------------------------------


def test_a_renewed_lease_is_taken_by_nobody_however_long_the_job_runs(stage: Stage) -> None:
    stage.put()
    held = stage.take()
    for _ in range(10):
        stage.passes("14s")
        assert stage.heartbeat(held.token).lost == ()
        assert stage.reclaim() == []
    assert stage.end(held, Succeeded()).lost == ()


def test_a_heartbeat_renews_only_the_grants_it_names(stage: Stage) -> None:
    stage.put_many(2)
    (first,), (second,) = stage.claim(1), stage.claim(1)
    stage.passes("10s")
    stage.heartbeat(first.token)
    stage.passes("10s")
    assert ids(stage.reclaim()) == [second.id]


def test_a_heartbeat_sets_the_length_of_the_lease_anew(stage: Stage) -> None:
    stage.put()
    held = stage.take(lease=LEASE)
    stage.heartbeat(held.token, lease=MINUTE)
    stage.passes("59s")
    assert stage.reclaim() == []
    stage.passes("2s")
    assert ids(stage.reclaim()) == [held.id]


def test_a_jump_of_the_wall_clock_ends_no_lease_and_lengthens_none(stage: Stage) -> None:
    stage.put()
    held = stage.take()
    stage.time.wall += 1000 * MINUTE
    assert stage.reclaim() == []
    stage.time.wall -= 2000 * MINUTE
    stage.time.lease += LEASE + 1
    assert ids(stage.reclaim()) == [held.id]


# --- losses --------------------------------------------------------------------------------------


def test_a_heartbeat_after_a_takeover_says_lost(stage: Stage) -> None:
    stage.put_many(2)
    (lost,), (kept,) = stage.claim(1), stage.claim(1, lease=MINUTE)
    stage.passes("16s")
    assert ids(stage.reclaim()) == [lost.id]
    assert stage.heartbeat(lost.token, kept.token).lost == (lost.token,)


def test_a_grant_whose_jobs_are_all_settled_is_no_loss(stage: Stage) -> None:
    stage.put_many(2)
    held = stage.claim()
    stage.complete(held)
    assert stage.heartbeat(held[0].token).lost == ()
    stage.put()
    other = stage.take()
    stage.end(other, HandedBack())
    assert stage.heartbeat(other.token, held[0].token).lost == ()


def test_a_heartbeat_that_holds_nothing_is_welcome(stage: Stage) -> None:
    pulse = stage.heartbeat()
    assert (pulse.lost, pulse.cancel, pulse.paused) == ((), (), ())


# --- cancels and pauses --------------------------------------------------------------------------


def test_running_jobs_that_are_to_be_cancelled_are_told_until_they_end(stage: Stage) -> None:
    jobs = stage.put_many(3)
    held = stage.claim()
    token = held[0].token
    assert stage.heartbeat(token).cancel == ()
    stage.store.cancel(Select(ids=(jobs[0].id, jobs[2].id)), now=stage.now)
    wanted = {held[0].number, held[2].number}
    assert set(stage.heartbeat(token).cancel) == wanted
    assert set(stage.heartbeat(token).cancel) == wanted
    stage.end(held[0], Succeeded())
    assert stage.heartbeat(token).cancel == (held[2].number,)


def test_nobody_is_told_of_the_cancels_of_others(stage: Stage) -> None:
    jobs = stage.put_many(2)
    (mine,), (theirs,) = stage.claim(1), stage.claim(1)
    stage.store.cancel(Select(ids=(jobs[1].id,)), now=stage.now)
    assert stage.heartbeat(mine.token).cancel == ()
    assert stage.heartbeat(theirs.token, worker="w2").cancel == (theirs.number,)


def test_a_heartbeat_tells_which_queues_are_paused(stage: Stage) -> None:
    for name in ("a", "b", "c"):
        stage.put(queue=name)
    stage.store.configure("a", Settings(paused=True))
    stage.store.configure("c", Settings(paused=True))
    assert set(stage.heartbeat().paused) == {"a", "c"}
    stage.store.configure("a", Settings(paused=False))
    assert stage.heartbeat().paused == ("c",)


# --- progress and logs ---------------------------------------------------------------------------


def test_the_last_progress_is_kept(stage: Stage) -> None:
    job = stage.put()
    held = stage.take()
    stage.heartbeat(held.token, notes=[note(held, "begun", 1.5), note(held, "half", 50.0)])
    record = stage.record(job)
    assert (record.progress, record.note) == (50.0, "half")
    stage.heartbeat(held.token, notes=[note(held, "ünï", 75.25)])
    record = stage.record(job)
    assert (record.progress, record.note) == (75.25, "ünï")


def test_lines_of_a_log_are_kept_in_order_with_time_and_attempt(stage: Stage) -> None:
    job = stage.put()
    stage.end(stage.take(), HandedBack())
    held = stage.take()
    stage.heartbeat(held.token, notes=[note(held, f"line {n}", at=n) for n in range(3)])
    stage.heartbeat(held.token, notes=[note(held, "last", at=9)])
    lines = stage.store.logs(job.id)
    assert [(line.at, line.attempt, line.text) for line in lines] == [
        (0, 1, "line 0"),
        (1, 1, "line 1"),
        (2, 1, "line 2"),
        (9, 1, "last"),
    ]
    assert len(stage.store.logs(job.id, limit=2)) == 2


def test_lines_that_are_brought_again_are_kept_once(stage: Stage) -> None:
    job = stage.put()
    held = stage.take()
    for n in range(3):
        lines = [note(held, text, at=n) for text in ("one", "two", "two\0")]
        stage.heartbeat(held.token, notes=lines)
        stage.heartbeat(held.token, notes=lines)
    kept = [(line.at, line.text) for line in stage.store.logs(job.id)]
    assert [at for at, _ in kept] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_lines_of_a_log_outlive_the_job_until_it_is_gone(stage: Stage) -> None:
    job = stage.put()
    held = stage.take()
    stage.heartbeat(held.token, notes=[note(held, "here")])
    stage.complete([held])
    assert [line.text for line in stage.store.logs(job.id)] == ["here"]
    stage.store.delete(Select(ids=(job.id,)), now=stage.now)
    assert stage.store.logs(job.id) == []


def test_notes_of_jobs_no_longer_held_are_dropped(stage: Stage) -> None:
    job = stage.put()
    held = stage.take()
    stage.heartbeat(notes=[note(held, "forged", token=new_token())])
    stage.end(held, HandedBack())
    stage.heartbeat(held.token, notes=[note(held, "late"), note(held, "late", 50.0)])
    assert stage.store.logs(job.id) == []
    assert stage.record(job).progress is None
    assert stage.state(job) is State.PENDING


def test_notes_of_an_old_holder_are_dropped_and_those_of_the_new_kept(stage: Stage) -> None:
    job = stage.put()
    old = stage.take()
    stage.lose_all()
    stage.passes("2s")
    new = stage.take(worker="w2")
    assert lease(new) != lease(old)
    stage.heartbeat(old.token, notes=[note(old, "old", 10.0)])
    stage.heartbeat(new.token, worker="w2", notes=[note(new, "new", 20.0)])
    assert (stage.record(job).progress, stage.record(job).note) == (20.0, "new")


# --- presence ------------------------------------------------------------------------------------


def test_a_worker_is_known_as_it_last_told(stage: Stage) -> None:
    stage.heartbeat(worker="w2", state="starting")
    stage.heartbeat(
        worker="w1",
        host="there",
        pid=77,
        queues=("a", "ü"),
        tasks=("send",),
        slots=8,
        busy=3,
        processed=100,
        failed=2,
        children=2,
        current="send #7",
    )
    stage.passes("3s")
    stage.heartbeat(worker="w2", slots=4)
    first, second = stage.store.workers(now=stage.now)
    assert (first.id, first.host, first.pid, first.state) == ("w1", "there", 77, "running")
    assert (set(first.queues), first.tasks) == ({"a", "ü"}, ("send",))
    assert (first.slots, first.busy, first.processed, first.failed) == (8, 3, 100, 2)
    assert (first.children, first.current) == (2, "send #7")
    assert (second.id, second.state, second.slots) == ("w2", "running", 4)
    assert second.seen == stage.now.wall
    assert first.seen == stage.now.wall - 3 * SECOND


def test_a_worker_that_stopped_is_gone_at_once(stage: Stage) -> None:
    stage.heartbeat(worker="w1")
    stage.heartbeat(worker="w2")
    stage.heartbeat(worker="w1", state="stopped")
    assert [worker.id for worker in stage.store.workers(now=stage.now)] == ["w2"]


@pytest.mark.parametrize("upkeep", [False, True])
def test_a_worker_that_fell_silent_is_forgotten(stage: Stage, upkeep: bool) -> None:
    stage.heartbeat(worker="silent")
    stage.passes("14s")
    assert len(stage.store.workers(now=stage.now)) == 1
    stage.passes("10m")
    stage.heartbeat(worker="alive")
    if upkeep:
        stage.tidy()
    assert [worker.id for worker in stage.store.workers(now=stage.now)] == ["alive"]
