"""What operators want of workers: told by each heartbeat, field by field, until they go."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mainspring.job import State
from mainspring.store import Member, Presence, Pulse, Slowest, Store, Wanted
from tests.contract.stage import Stage


def beat(stage: Stage, worker: str = "w1", started: int = 7, **presence: Any) -> Pulse:
    return stage.heartbeat(worker=worker, started=started, **presence)


def test_nothing_is_wanted_of_a_worker_before_somebody_says_so(stage: Stage) -> None:
    assert beat(stage).wanted is None
    assert beat(stage).wanted is None


EVERYTHING = Wanted(paused=True, stop=False, processes=(2, 8), reload=1_900_000_000_123_456)


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(paused=True),
        Wanted(paused=False),
        Wanted(stop=True),
        Wanted(processes=(1, 1)),
        Wanted(reload=1_900_000_000_123_457),
        EVERYTHING,
    ],
)
def test_a_worker_hears_what_is_wanted_with_every_heartbeat(stage: Stage, wanted: Wanted) -> None:
    beat(stage)
    assert stage.store.instruct(["w1"], wanted) == ["w1"]
    for _ in range(3):
        assert beat(stage).wanted == wanted
        stage.passes("5s")


def test_each_field_is_wanted_until_it_is_changed_itself(stage: Stage) -> None:
    beat(stage)
    stage.store.instruct(["w1"], Wanted(paused=True, processes=(2, 8)))
    stage.store.instruct(["w1"], Wanted(processes=(1, 3), reload=5))
    assert beat(stage).wanted == Wanted(paused=True, processes=(1, 3), reload=5)
    stage.store.instruct(["w1"], Wanted(paused=False))
    stage.store.instruct(["w1"], Wanted())
    assert beat(stage).wanted == Wanted(paused=False, processes=(1, 3), reload=5)


def test_workers_that_are_not_known_are_left_out_of_the_answer(stage: Stage) -> None:
    for worker in ("ünï", "w1", "w2"):
        beat(stage, worker)
    asked = ["nobody", "w2", "ünï", "w2"]
    assert stage.store.instruct(asked, Wanted(stop=True)) == ["w2", "ünï"]
    assert stage.store.instruct([], Wanted(stop=True)) == []
    assert beat(stage, "w2").wanted == beat(stage, "ünï").wanted == Wanted(stop=True)
    assert beat(stage, "w1").wanted is None
    assert beat(stage, "nobody").wanted is None


def test_saying_it_twice_is_saying_it_once(stage: Stage) -> None:
    beat(stage)
    for _ in range(2):
        assert stage.store.instruct(["w1"], EVERYTHING) == ["w1"]
    assert beat(stage).wanted == EVERYTHING


def test_the_last_word_to_a_worker_is_for_nobody(stage: Stage) -> None:
    beat(stage)
    stage.store.instruct(["w1"], Wanted(paused=True))
    assert beat(stage, state="stopped").wanted is None
    assert stage.store.instruct(["w1"], Wanted(paused=True)) == []
    assert beat(stage).wanted is None


def test_a_worker_does_not_inherit_what_was_wanted_of_one_with_its_id(stage: Stage) -> None:
    beat(stage, started=7)
    stage.store.instruct(["w1"], Wanted(paused=True, stop=True))
    assert beat(stage, started=8).wanted is None
    stage.store.instruct(["w1"], Wanted(reload=3))
    assert beat(stage, started=8).wanted == Wanted(reload=3)


def test_what_was_said_to_a_worker_before_it_died_is_not_said_to_its_heir(stage: Stage) -> None:
    beat(stage, started=7)
    stage.store.instruct(["w1"], Wanted(paused=True))
    stage.passes("1m")
    stage.store.instruct(["w1"], Wanted(stop=True))
    assert beat(stage, started=8).wanted is None


def test_a_worker_that_was_silent_for_a_while_still_hears_it(stage: Stage) -> None:
    beat(stage)
    stage.passes("20s")
    assert stage.store.instruct(["w1"], Wanted(stop=True)) == ["w1"]
    assert beat(stage).wanted == Wanted(stop=True)


def test_a_worker_that_is_forgotten_is_not_known_any_more(stage: Stage) -> None:
    beat(stage)
    stage.store.instruct(["w1"], Wanted(paused=True))
    stage.passes("30d")
    stage.tidy()
    assert stage.store.instruct(["w1"], Wanted(stop=True)) == []
    assert beat(stage).wanted is None


def test_what_is_wanted_of_a_worker_changes_nothing_about_its_jobs(stage: Stage) -> None:
    beat(stage, tasks=("send",))
    stage.put_many(2)
    (held,) = stage.claim(1)
    stage.store.instruct(["w1"], Wanted(paused=True, stop=True))
    assert beat(stage, tasks=("send",)).lost == ()
    assert len(stage.claim()) == 1
    stage.complete([held])
    assert stage.count(State.RUNNING) == 1


def test_operators_and_heartbeats_at_once_lose_no_field(stage: Stage, store: Store) -> None:
    beat(stage)
    fields = [Wanted(paused=True), Wanted(stop=True), Wanted(processes=(3, 4)), Wanted(reload=9)]
    with ThreadPoolExecutor(8) as pool:
        said = [pool.submit(store.instruct, ["w1"], each) for each in fields]
        beats = [pool.submit(beat, stage) for _ in range(8)]
        assert [each.result() for each in said] == [["w1"]] * 4
        for each in beats:
            each.result()
    assert beat(stage).wanted == Wanted(paused=True, stop=True, processes=(3, 4), reload=9)


# --- what a worker tells -------------------------------------------------------------------------


def test_a_worker_tells_of_its_children_and_of_the_job_that_runs_longest(stage: Stage) -> None:
    members = (
        Member(
            pid=11, kind="shared", state="ready", busy=3, slots=8, processed=9, memory=50, age=2.5
        ),
        Member(pid=12, kind="process", state="starting"),
    )
    slowest = Slowest(task="send", number=7, seconds=61.5, traceback='File "ü.py", line 1\n' * 150)
    told = {"utilisation": 0.375, "last": "send #6", "members": members, "slowest": slowest}
    beat(stage, **told)
    (worker,) = stage.store.workers(now=stage.now)
    assert (worker.utilisation, worker.last) == (0.375, "send #6")
    assert (worker.members, worker.slowest) == (members, slowest)


def test_a_worker_that_tells_little_has_told_the_rest_as_nothing(stage: Stage) -> None:
    stage.store.heartbeat(
        Presence(id="w", host="h", pid=1, started=1, state="running"), [], 1_000_000, now=stage.now
    )
    (worker,) = stage.store.workers(now=stage.now)
    assert (worker.utilisation, worker.last, worker.members, worker.slowest) == (0.0, "", (), None)
