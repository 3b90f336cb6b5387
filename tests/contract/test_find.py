"""Find: by queue, state and task in every combination, page by page, the same as by looking at
everything."""

import itertools

import pytest

from mainspring.durations import HOUR
from mainspring.job import Failed, Record, Select, State, Succeeded
from tests.contract.stage import OOPS, Stage, everything, new, retries

QUEUES, TASKS = ("a", "b", "c"), ("x", "y")

FEW = [
    None,
    (State.PENDING,),
    (State.SCHEDULED, State.RETRYING),
    (State.BLOCKED, State.RUNNING),
    (State.COMPLETED, State.FAILED, State.CANCELLED),
    (State.PENDING, State.COMPLETED, State.PENDING),
]


@pytest.fixture
def stage(stage: Stage) -> Stage:
    """In two queues and of two tasks, jobs in all states; a third queue is empty."""
    for queue, task in itertools.product(QUEUES[:2], TASKS):
        one = {"queue": queue, "task": task}
        wish = {"queues": (queue,), "tasks": (task,)}
        completed, failed, cancelled, retrying, _ = (
            stage.put(**one, policy=retries(1), headers={"n": str(n)}) for n in range(5)
        )
        stage.store.cancel(Select(ids=(cancelled.id,)), now=stage.now)
        ends = {completed.id: Succeeded(), retrying.id: Failed(OOPS)}
        ends[failed.id] = Failed(OOPS, permanent=True)
        for job in stage.claim(**wish):
            if job.id in ends:
                stage.end(job, ends[job.id])
        pending = stage.put(**one)
        stage.insert(new(**one, delay=HOUR), new(**one).after(pending))
    stage.put(queue=QUEUES[2])
    stage.complete(stage.claim(queues=QUEUES[2:]))
    stage.store.delete(Select(queues=QUEUES[2:]), now=stage.now)
    assert {record.state for record in everything(stage.store)} == set(State)
    return stage


@pytest.mark.parametrize("states", FEW)
@pytest.mark.parametrize("queues", [None, ("a",), ("b", "a", "b"), ("c",), ("nowhere", "a"), ()])
@pytest.mark.parametrize("tasks", [None, ("x",), ("nothing",)])
def test_what_is_found_is_what_matches(
    stage: Stage,
    states: tuple[State, ...] | None,
    queues: tuple[str, ...] | None,
    tasks: tuple[str, ...] | None,
) -> None:
    def matches(record: Record) -> bool:
        return (
            (states is None or record.state in states)
            and (queues is None or record.queue in queues)
            and (tasks is None or record.task in tasks)
        )

    expected = [record for record in everything(stage.store) if matches(record)]
    select = Select(states=states, queues=queues, tasks=tasks)
    found: list[Record] = []
    while page := stage.store.find(select, limit=3, after=found[-1].number if found else None):
        found += page
    assert found == expected
    assert stage.store.find(select) == expected


def test_the_few_of_a_queue_are_found_among_more_than_ten_thousand(stage: Stage) -> None:
    stage.put_many(10_100, queue="plenty")
    stage.put_many(10_100, queue="plenty", delay=HOUR)
    (last,) = stage.put_many(1, queue="plenty", task="x")
    for states in (None, (State.PENDING,), (State.PENDING, State.SCHEDULED)):
        select = Select(queues=("plenty", "a"), states=states)
        newest, second = stage.store.find(select, limit=2)
        assert (newest.id, second.queue) == (last.id, "plenty")
        (found,) = stage.store.find(
            Select(queues=("plenty",), states=states, tasks=("x",)), limit=5
        )
        assert found.id == last.id
    few = stage.store.find(Select(queues=("a",), states=(State.PENDING,)))
    assert {record.queue for record in few} == {"a"}
