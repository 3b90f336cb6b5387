"""A replay of a job with very many dependents: no script moves more than a slice of them, so that
all others are served in between."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mainspring.durations import DAY
from mainspring.engines import open_store
from mainspring.job import Select, State
from mainspring.store import Settings
from tests.contract.stage import Stage, Time, assert_sound, ids, new, retries
from tests.servers.redis import in_folder, redis_url, valkey_url

MANY, SLICE = 5_000, 1_000


@pytest.fixture(params=[redis_url, valkey_url], ids=["redis", "valkey"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    store = open_store(in_folder(request.param(), tmp_path))
    yield Stage(store, Time())
    assert_sound(store)
    store.close()


def blocked(stage: Stage) -> int:
    return stage.count(State.BLOCKED, "children")


def test_no_script_brings_back_more_than_a_slice(stage: Stage) -> None:
    parent = new(policy=retries(0))
    stage.insert(parent)
    for _ in range(0, MANY, 1_000):
        stage.insert(*(new(queue="children").after(parent) for _ in range(1_000)))
    stage.fail(stage.take())
    stage.tidy()
    select = Select(ids=(parent.id,))
    assert stage.store.replay(select, now=stage.now).ids == (parent.id,)
    came = blocked(stage)
    while came < MANY:
        assert came % SLICE == 0
        held = stage.claim(1)
        if held:
            assert ids(held) == [parent.id]
        came, before = blocked(stage), came
        assert came == before + SLICE
        assert stage.store.check() == []
    assert stage.count(State.CANCELLED, "children") == 0


def test_families_of_many_replayed_together_share_a_slice(stage: Stage) -> None:
    parents = [new(queue="parents", policy=retries(0)) for _ in range(300)]
    stage.insert(*parents)
    stage.insert(*(new(queue="children").after(each) for each in parents for _ in range(10)))
    for held in stage.claim(300):
        stage.fail(held)
    stage.tidy()
    select = Select(queues=("parents",))
    assert set(stage.store.replay(select, now=stage.now).ids) == set(ids(parents))
    assert blocked(stage) == SLICE
    stage.tidy()
    assert blocked(stage) == 3_000


@pytest.mark.parametrize("state", ["waiting", "fallen"])
def test_a_delete_takes_a_script_for_each_slice(stage: Stage, state: str) -> None:
    parent = new(policy=retries(0))
    stage.insert(parent, *(new(queue="children").after(parent) for _ in range(MANY)))
    if state == "fallen":
        stage.fail(stage.take())
        stage.tidy()
    before = scripts_run(stage)
    assert stage.store.delete(Select(ids=(parent.id,)), now=stage.now).ids == (parent.id,)
    assert scripts_run(stage) - before > MANY // SLICE
    assert stage.gone(parent)
    assert stage.count(State.CANCELLED, "children") == MANY
    assert stage.store.check() == []


def test_retention_takes_a_slice_of_dependents_at_a_time(stage: Stage) -> None:
    parent = new(policy=retries(0))
    stage.insert(parent, *(new(queue="children").after(parent) for _ in range(MANY)))
    stage.store.configure("children", Settings(keep_cancelled=30 * DAY))
    stage.fail(stage.take())
    stage.tidy()
    stage.time.passes("15d")
    rounds = 0
    while not stage.gone(parent):
        assert stage.store.upkeep(now=stage.now) > 0
        assert stage.store.check() == []
        rounds += 1
    assert rounds >= MANY // SLICE
    assert stage.count(State.CANCELLED, "children") == MANY


def scripts_run(stage: Stage) -> int:
    told = stage.store._parts.client.redis.info("commandstats")  # type: ignore[attr-defined]
    calls: int = told["cmdstat_evalsha"]["calls"]
    return calls


def test_who_cannot_come_back_stops_no_other_and_comes_with_a_later_replay(stage: Stage) -> None:
    parent = new(policy=retries(0))
    children = [new(queue="children", unique=f"u{n}").after(parent) for n in range(1_500)]
    stage.insert(parent, *children)
    stage.fail(stage.take())
    stage.tidy()
    stage.insert(*(new(queue="holders", unique=f"u{n}") for n in range(1_200)))
    for _ in range(2):
        stage.store.replay(Select(ids=(parent.id,)), now=stage.now)
        stage.tidy()
        assert blocked(stage) == 300
        assert stage.store.check() == []
        stage.store.cancel(Select(ids=(parent.id,)), now=stage.now)
        stage.tidy()
    stage.store.delete(Select(queues=("holders",)), now=stage.now)
    stage.store.replay(Select(ids=(parent.id,)), now=stage.now)
    stage.tidy()
    assert blocked(stage) == 1_500
    stage.store.delete(Select(ids=(parent.id,)), now=stage.now)
    assert stage.gone(parent)
