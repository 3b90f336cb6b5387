"""Very many queues, few of them with jobs: a claim for all of them takes as from a few."""

import random

from mainspring.durations import MINUTE, SECOND
from mainspring.ids import new_id
from mainspring.job import MESSAGE, Reason, State
from mainspring.store import Settings
from tests.contract.stage import Stage, ids, new, retries

QUEUES = [f"q{n}" for n in range(150)]


def open_all(stage: Stage) -> None:
    """Every queue is there, and empty."""
    stage.insert(*(new(queue=queue) for queue in QUEUES))
    stage.complete(stage.claim(len(QUEUES)))


def test_jobs_of_very_many_queues_come_in_one_order(stage: Stage) -> None:
    dice = random.Random(7)
    jobs = []
    for _ in range(600):
        job = new(queue=dice.choice(QUEUES), priority=dice.choice((0, 0, 0, 1, 5)))
        stage.insert(job)
        jobs.append((stage.now.wall - job.priority * MINUTE, len(jobs), job.id))
        stage.passes(dice.choice((0, 0, SECOND)))
    expected = [id for *_, id in sorted(jobs)]
    for limit in (1, 7, 100, 600):
        got = ids(stage.claim(limit))
        assert got == expected[:limit]
        del expected[: len(got)]
    assert expected == []
    assert stage.claim() == []


def test_of_very_many_queues_those_that_are_paused_or_used_by_hand_give_nothing(
    stage: Stage,
) -> None:
    open_all(stage)
    paused, by_hand, usual = stage.put(queue="q3"), new(queue="q77", task=MESSAGE), new(queue="q9")
    stage.insert(by_hand, usual)
    stage.store.configure("q3", Settings(paused=True))
    assert ids(stage.claim()) == [usual.id]
    assert stage.claim() == []
    stage.store.configure("q3", Settings(paused=False))
    assert ids(stage.claim()) == [paused.id]
    assert ids(stage.claim(queues=("q77",))) == [by_hand.id]


def test_what_falls_due_or_expires_in_one_of_very_many_queues_is_seen(stage: Stage) -> None:
    open_all(stage)
    due = stage.put(queue="q120", delay=MINUTE)
    late = stage.put(queue="q2", expires=SECOND)
    stage.store.configure("q2", Settings(paused=True))
    assert stage.look().next_due == stage.now.wall + MINUTE
    stage.passes("1m")
    stage.store.configure("q2", Settings(paused=False))
    assert ids(stage.claim()) == [due.id]
    stage.tidy()
    assert stage.record(late).reason == Reason.EXPIRED


def test_upkeep_finds_what_is_due_and_what_is_late_in_one_of_very_many_queues(
    stage: Stage,
) -> None:
    open_all(stage)
    due, late = stage.put(queue="q120", delay=MINUTE), stage.put(queue="q2", expires=SECOND)
    stage.passes("1m")
    assert stage.store.upkeep(now=stage.now) == 2
    assert stage.states(due, late) == [State.PENDING, State.FAILED]


def test_a_suspect_in_one_of_very_many_queues_is_given_when_it_is_asked_for(stage: Stage) -> None:
    open_all(stage)
    suspect = stage.put(queue="q70", policy=retries(1))
    stage.claim()
    stage.lose_all()
    stage.passes("1m")
    others = stage.put_many(3, queue="q99")
    assert ids(stage.claim()) == ids(others)
    assert ids(stage.claim(alone=1)) == [suspect.id]


def test_a_claim_for_certain_tasks_finds_them_in_very_many_queues(stage: Stage) -> None:
    rare = new(id=new_id(), queue="q149", task="rare")
    stage.insert(*(new(queue=queue) for queue in QUEUES for _ in range(3)), rare)
    assert ids(stage.claim(tasks=("rare",))) == [rare.id]
    assert stage.count(State.PENDING, "q149") == 3


def test_what_falls_due_in_thousands_of_queues_at_once_is_all_given(stage: Stage) -> None:
    jobs = [new(queue=f"q{n}", delay=SECOND) for n in range(4_500)]
    stage.insert(*jobs)
    stage.passes("1s")
    got = []
    while more := stage.claim(4_000):
        got += more
    assert sorted(ids(got)) == sorted(ids(jobs))
