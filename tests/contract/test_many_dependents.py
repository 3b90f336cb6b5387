"""A job that very many others wait for: each verb on it comes in slices, and all is counted."""

from typing import Any

import pytest

from mainspring.job import NewJob, Select, State
from tests.contract.stage import Stage, ids, new, retries

MANY = 2_500
SLICE = 1_000


def family(stage: Stage, count: int = MANY, **options: Any) -> tuple[NewJob[Any], list[bytes]]:
    """A parent, and so many jobs that wait for it, in a queue of their own."""
    parent = new(policy=retries(0))
    children = [new(queue="children", **options).after(parent) for _ in range(count)]
    stage.insert(parent, *children)
    return parent, ids(children)


def fallen_family(stage: Stage) -> tuple[NewJob[Any], list[bytes]]:
    """The same after the parent failed and took all along."""
    parent, children = family(stage)
    stage.fail(stage.take())
    stage.tidy()
    assert stage.count(State.CANCELLED, "children") == MANY
    return parent, children


def only(job: NewJob[Any]) -> Select:
    return Select(ids=(job.id,))


def test_a_replay_brings_back_a_slice_at_once_and_the_others_by_upkeep(stage: Stage) -> None:
    parent, _ = fallen_family(stage)
    assert stage.store.replay(only(parent), now=stage.now).ids == (parent.id,)
    assert stage.state(parent) is State.PENDING
    assert stage.count(State.BLOCKED, "children") == SLICE
    assert stage.store.check() == []
    stage.tidy()
    assert stage.count(State.BLOCKED, "children") == MANY
    assert stage.count(State.CANCELLED, "children") == 0


def test_dependents_still_to_be_brought_back_run_after_a_parent_that_was_quicker(
    stage: Stage,
) -> None:
    parent, children = fallen_family(stage)
    stage.store.replay(only(parent), now=stage.now)
    stage.complete([stage.take(limit=1)])
    claimed: list[bytes] = []
    for _ in range(10):
        held = stage.claim(1_000)
        claimed += ids(held)
        stage.complete(held)
    assert sorted(claimed) == sorted(children)
    assert stage.count(State.COMPLETED, "children") == MANY


def test_dependents_still_to_be_brought_back_stay_when_their_parent_fails_again(
    stage: Stage,
) -> None:
    parent, _ = fallen_family(stage)
    stage.store.replay(only(parent), now=stage.now)
    stage.fail(stage.take(limit=1))
    stage.tidy()
    assert stage.count(State.CANCELLED, "children") == MANY
    assert stage.store.upkeep(now=stage.now) == 0
    stage.store.replay(only(parent), now=stage.now)
    stage.tidy()
    assert stage.count(State.BLOCKED, "children") == MANY


def test_a_replay_repeated_in_the_middle_brings_back_all(stage: Stage) -> None:
    parent, _ = fallen_family(stage)
    for _ in range(2):
        stage.store.replay(only(parent), now=stage.now)
        stage.store.cancel(only(parent), now=stage.now)
    stage.store.replay(only(parent), now=stage.now)
    stage.tidy()
    assert stage.count(State.BLOCKED, "children") == MANY


def test_those_that_fell_through_others_come_back_in_slices_too(stage: Stage) -> None:
    parent = new()
    middle = [new(queue="middle").after(parent) for _ in range(700)]
    last = [new(queue="last").after(each) for each in middle for _ in range(2)]
    stage.insert(parent, *middle, *last)
    stage.fail(stage.take())
    stage.tidy()
    assert stage.count(State.CANCELLED, "last") == 1_400
    stage.store.replay(only(parent), now=stage.now)
    assert stage.count(State.BLOCKED, "middle") == 700
    assert stage.count(State.BLOCKED, "last") == SLICE - 700
    stage.tidy()
    assert stage.count(State.BLOCKED, "last") == 1_400


def test_a_cancel_takes_a_slice_along_at_once_and_the_others_by_upkeep(stage: Stage) -> None:
    parent, _ = family(stage)
    stage.store.cancel(only(parent), now=stage.now)
    assert stage.count(State.CANCELLED, "children") == SLICE
    assert stage.store.check() == []
    stage.tidy()
    assert stage.count(State.CANCELLED, "children") == MANY


@pytest.mark.parametrize("state", ["waiting", "fallen"])
def test_a_delete_of_a_job_with_many_dependents_leaves_them_cancelled(
    stage: Stage, state: str
) -> None:
    parent, _ = family(stage) if state == "waiting" else fallen_family(stage)
    assert stage.store.delete(only(parent), now=stage.now).ids == (parent.id,)
    assert stage.gone(parent)
    assert stage.store.check() == []
    assert stage.count(State.CANCELLED, "children") == MANY
    assert stage.store.upkeep(now=stage.now) == 0


@pytest.mark.parametrize("verb", ["delete", "prune"])
def test_a_job_goes_with_dependents_still_to_be_brought_back(stage: Stage, verb: str) -> None:
    parent, _ = fallen_family(stage)
    stage.store.replay(only(parent), now=stage.now)
    if verb == "delete":
        stage.store.delete(only(parent), now=stage.now)
        assert stage.count(State.CANCELLED, "children") == MANY
    else:
        stage.store.cancel(only(parent), now=stage.now)
        stage.passes("30d")
        for _ in range(2):  # it is kept until all that wait for it have ended
            stage.tidy()
            stage.passes("11m")
    assert stage.gone(parent)
    assert stage.store.check() == []
    assert stage.store.upkeep(now=stage.now) == 0


def test_a_delete_of_many_with_dependents_removes_all_of_them(stage: Stage) -> None:
    parents = stage.put_many(30, queue="parents")
    children = [new(queue="children").after(each) for each in parents for _ in range(100)]
    stage.insert(*children)
    select = Select(queues=("parents",), states=(State.PENDING,))
    assert set(stage.store.delete(select, now=stage.now).ids) == set(ids(parents))
    assert stage.count(State.CANCELLED, "children") == 3_000
    assert all(map(stage.gone, parents))
