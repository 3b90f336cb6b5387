"""Chores go on only as long as a step may take, and what is left is done by the next."""

from collections.abc import Sequence
from functools import partial

import pytest

from mainspring.durations import MINUTE
from mainspring.engines.sqlite import prune
from mainspring.engines.sqlite.store import SqliteStore
from mainspring.job import Select, State
from mainspring.store import Note, Store
from tests.contract.stage import Stage, Time, assert_sound, new


@pytest.fixture
def stage(store: Store) -> Stage:
    return Stage(store, Time())


def test_pruning_stops_when_its_time_is_up_and_tells_what_is_left(
    store: SqliteStore, stage: Stage
) -> None:
    stage.put_many(250)
    stage.complete(stage.claim(250))
    stage.passes("25h")
    left: Sequence[int] = list(range(1, 251))
    taken = []
    while left:
        late = partial(prune.prune, numbers=left, until=0)
        pruned, left = store._parts.write(late, stage.now)
        taken.append(pruned)
    assert taken == [100, 100, 50]
    assert store.find(Select()) == []
    assert_sound(store)


def test_jobs_that_left_very_much_behind_are_pruned_whole(store: Store, stage: Stage) -> None:
    stage.put_many(300)
    held = stage.claim(300)
    notes = [Note(job.number, job.token, 1, "line") for job in held for _ in range(300)]
    stage.heartbeat(*{job.token for job in held}, notes=notes)
    stage.complete(held)
    stage.passes("25h")
    assert store.upkeep(now=stage.now) == 300
    assert store.find(Select()) == []
    assert_sound(store)


def test_every_queue_has_its_chores_done_however_many_there_are(store: Store, stage: Stage) -> None:
    stage.insert(*(new(queue=f"q{n}", delay=MINUTE) for n in range(200)))
    stage.passes("1m")
    assert store.upkeep(now=stage.now) == 200
    assert sum(states[State.PENDING] for states in store.counts().values()) == 200
