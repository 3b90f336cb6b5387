"""Rows that other software damaged: put aside in words, and nothing else is lost."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mainspring.durations import MINUTE
from mainspring.errors import StoreDamaged
from mainspring.job import Policy, Select, State
from mainspring.retry import Backoff
from mainspring.store import Store
from tests.contract.stage import Stage, Time, new, retries

DAMAGES = {
    "text for a payload": ("UPDATE job SET payload = '{}' WHERE number = ?", "payload is text"),
    "no policy": ("UPDATE job SET policy = 99 WHERE number = ?", "policy #99"),
    "a policy of garbage": (
        "UPDATE policy SET body = x'00' WHERE id = (SELECT policy FROM job WHERE number = ?)",
        "policy cannot be read",
    ),
    "text for a policy": (
        "UPDATE policy SET body = 'p' WHERE id = (SELECT policy FROM job WHERE number = ?)",
        "policy",
    ),
    "no task": ("UPDATE job SET task = 99 WHERE number = ?", "task #99"),
    "text for headers": ("UPDATE job SET headers = 'a' WHERE number = ?", "headers are text"),
    "a short id": ("UPDATE job SET id = x'0102' WHERE number = ?", "16 bytes"),
    "text for an id": ("UPDATE job SET id = 'abcdefghijklmnop' WHERE number = ?", "16 bytes"),
    "text for a time": ("UPDATE job SET created = 'soon' WHERE number = ?", "created is text"),
}


def harm(path: Path, statement: str, number: int) -> None:
    """What a program of somebody else does to the file."""
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement, (number,)).rowcount == 1


@pytest.fixture
def stage(store: Store) -> Stage:
    return Stage(store, Time())


def victim(stage: Stage) -> int:
    """A job among others, with a policy of its own."""
    stage.put_many(2)
    (answer,) = stage.insert(new(policy=Policy(Backoff(17)), headers={"a": "b"}))
    stage.put_many(2)
    return answer.number


def reopen(store: Store) -> None:
    """As another process would see it: nothing is remembered."""
    store.close()
    store.open()


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_job_is_put_aside_as_failed_and_the_others_are_claimed(
    store: Store, stage: Stage, path: Path, kind: str
) -> None:
    number = victim(stage)
    child = new(queue="children").after(stage.store.find(Select())[2].id.hex())
    stage.insert(child)
    statement, words = DAMAGES[kind]
    harm(path, statement, number)
    reopen(store)
    assert [job.number for job in stage.claim(3)] == [1, 2, 4]
    assert [job.number for job in stage.claim(3)] == [5]
    assert stage.claim() == []
    assert stage.count(State.FAILED) == 1
    (failed,) = store.find(Select(states=(State.FAILED,)))
    assert failed.number == number
    assert words in (failed.reason or "")
    assert isinstance(failed.payload, bytes)
    assert len(failed.id) == 16
    assert stage.state(child) is State.CANCELLED


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_job_damaged_while_it_runs_is_put_aside_when_its_lease_ends(
    store: Store, stage: Stage, path: Path, kind: str
) -> None:
    number = victim(stage)
    assert len(stage.claim()) == 5
    harm(path, DAMAGES[kind][0], number)
    reopen(store)
    stage.passes("16s")
    assert [job.number for job in stage.reclaim()] == [1, 2, 4, 5]
    (failed,) = store.find(Select(states=(State.FAILED,)))
    assert (failed.number, "damaged" in (failed.reason or "")) == (number, True)
    assert stage.count(State.RUNNING) == 4


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_job_can_be_looked_at_and_deleted(
    store: Store, stage: Stage, path: Path, kind: str
) -> None:
    number = victim(stage)
    harm(path, DAMAGES[kind][0], number)
    reopen(store)
    stage.claim()
    assert {record.number for record in store.find(Select())} == {1, 2, 3, 4, 5}
    (gone,) = store.delete(Select(states=(State.FAILED,))).ids
    assert (type(gone), len(gone)) == (bytes, 16)
    assert store.counts()["default"][State.FAILED] == 0


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_job_is_told_by_check(store: Store, stage: Stage, path: Path, kind: str) -> None:
    number = victim(stage)
    harm(path, DAMAGES[kind][0], number)
    assert any(f"#{number}" in sentence for sentence in store.check())


def test_a_damaged_job_with_a_time_to_live_or_a_key_leaves_nothing_behind(
    store: Store, stage: Stage, path: Path
) -> None:
    stage.put(unique="k", expires=MINUTE, tags=("t",), priority=3, policy=retries(2))
    harm(path, "UPDATE job SET policy = 99 WHERE number = ?", 1)
    reopen(store)
    assert stage.claim() == []
    assert stage.insert(new(unique="k"))[0].duplicate_of is None
    harm(path, "UPDATE job SET policy = 1 WHERE number = ?", 1)
    assert store.check() == []


def test_a_job_whose_rarer_parts_cannot_be_read_runs_and_is_not_replayed(
    store: Store, stage: Stage, path: Path
) -> None:
    job = stage.put(label="hello")
    harm(path, "UPDATE job SET extra = x'c1' WHERE number = ?", 1)
    assert any("#1" in sentence for sentence in store.check())
    stage.complete([stage.take()])
    assert stage.count(State.COMPLETED) == 1
    assert "damaged" in store.replay(Select(ids=(job.id,))).refused[job.id]


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_job_that_cannot_be_copied_is_named(
    store: Store, stage: Stage, path: Path, kind: str
) -> None:
    number = victim(stage)
    harm(path, DAMAGES[kind][0], number)
    with pytest.raises(StoreDamaged, match=f"job #{number} cannot be read"):
        store.dump()
