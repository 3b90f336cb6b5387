"""Reading: exact counts, filters and pages, positions, statistics."""

import time
from typing import Any

import msgspec
import pytest

from mainspring.durations import MINUTE, SECOND
from mainspring.ids import new_id
from mainspring.job import Failed, Record, Select, State, Succeeded
from mainspring.lifecycle import decide
from mainspring.store import Minute
from tests.contract.stage import OOPS, Stage, everything, ids, new, retries

# --- get and find --------------------------------------------------------------------------------


def test_get_answers_in_the_order_it_was_asked(stage: Stage) -> None:
    jobs = stage.put_many(5)
    asked = [jobs[3].id, new_id(), jobs[0].id, jobs[3].id]
    found = stage.store.get(asked)
    assert [record and record.id for record in found] == [jobs[3].id, None, jobs[0].id, jobs[3].id]
    assert stage.store.get([]) == []


def test_get_takes_thousands_of_ids(stage: Stage) -> None:
    jobs = stage.put_many(3_000)
    found = stage.store.get(ids(jobs))
    assert [record and record.id for record in found] == ids(jobs)


@pytest.mark.parametrize("state", list(State))
def test_a_job_is_the_same_by_get_and_by_find_in_every_state(stage: Stage, state: State) -> None:
    job = stage.bring(state, tags=("a", "b"), headers={"x": "y"}, key="k", label="l")
    (found,) = stage.store.find(Select(ids=(job.id,)))
    assert found == stage.record(job)
    assert found.state is state


def test_the_newest_come_first_page_by_page(stage: Stage) -> None:
    jobs = stage.put_many(25)
    pages, after = [], None
    while page := stage.store.find(Select(), limit=10, after=after):
        pages.append(page)
        after = page[-1].number
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [record.id for page in pages for record in page] == ids(reversed(jobs))


def test_pages_do_not_shift_when_jobs_come_and_move(stage: Stage) -> None:
    jobs = stage.put_many(20)
    first = stage.store.find(Select(), limit=10)
    stage.put_many(5)
    stage.complete(stage.claim(7))
    second = stage.store.find(Select(), limit=10, after=first[-1].number)
    assert ids(first + second) == ids(reversed(jobs))


def test_pages_over_states_are_in_one_order(stage: Stage) -> None:
    jobs = stage.put_many(12)
    held = stage.claim(8)
    stage.complete(held[0::2])
    stage.fail(held[1])
    select = Select(states=(State.COMPLETED, State.PENDING, State.RUNNING, State.FAILED))
    found: list[Record] = []
    while page := stage.store.find(select, limit=5, after=found[-1].number if found else None):
        found += page
    assert ids(found) == ids(reversed(jobs))


def matching(stage: Stage, **fields: Any) -> list[bytes]:
    return sorted(ids(stage.store.find(Select(**fields))))


def test_every_field_of_a_selection_must_match(stage: Stage) -> None:
    a = stage.put(queue="qa", task="ta", key="ka", tags=("x", "y"))
    stage.passes("1s")
    b = stage.put(queue="qb", task="ta", tags=("y",), delay=MINUTE)
    stage.passes("1s")
    c = stage.put(queue="qa", task="tc", key="kc")
    now = stage.now.wall
    assert matching(stage) == sorted(ids([a, b, c]))
    assert matching(stage, queues=("qa",)) == sorted(ids([a, c]))
    assert matching(stage, queues=("qb", "qa", "nowhere")) == sorted(ids([a, b, c]))
    assert matching(stage, tasks=("ta",)) == sorted(ids([a, b]))
    assert matching(stage, tasks=("ta",), queues=("qa",)) == [a.id]
    assert matching(stage, states=(State.SCHEDULED,)) == [b.id]
    assert matching(stage, states=(State.RUNNING,)) == []
    assert matching(stage, states=(State.SCHEDULED,), queues=("qa",)) == []
    assert matching(stage, keys=("ka", "kc")) == sorted(ids([a, c]))
    assert matching(stage, tags=("y",)) == sorted(ids([a, b]))
    assert matching(stage, tags=("x",), tasks=("tc",)) == []
    assert matching(stage, ids=(a.id, c.id), keys=("kc",)) == [c.id]
    assert matching(stage, after=now - SECOND) == sorted(ids([b, c]))
    assert matching(stage, before=now - SECOND) == [a.id]
    assert matching(stage, after=now - SECOND, before=now) == [b.id]


@pytest.mark.parametrize("field", ["ids", "states", "queues", "tasks", "keys", "tags"])
def test_a_selection_of_none_finds_none(stage: Stage, field: str) -> None:
    stage.put(tags=("a",), key="k")
    assert stage.store.find(Select(**{field: ()})) == []


# --- counts --------------------------------------------------------------------------------------


def test_counts_name_every_state_of_every_queue(stage: Stage) -> None:
    assert stage.store.counts() == {}
    stage.put_many(3, queue="a")
    stage.put(queue="b", delay=5)
    counts = stage.store.counts()
    assert set(counts) == {"a", "b"}
    nothing = dict.fromkeys(State, 0)
    assert counts["a"] == nothing | {State.PENDING: 3}
    assert counts["b"] == nothing | {State.SCHEDULED: 1}


def test_counts_are_exact_after_everything(stage: Stage) -> None:
    for state in State:
        stage.bring(state, unique=str(state))
        stage.bring(state)
    by_state = dict.fromkeys(State, 0)
    for states in stage.store.counts().values():
        for state, count in states.items():
            by_state[state] += count
    # Two parents wait for their time so that two jobs are blocked.
    assert by_state == dict.fromkeys(State, 2) | {State.SCHEDULED: 4}


# --- position ------------------------------------------------------------------------------------


def test_the_position_is_the_place_in_the_order_of_the_queue(stage: Stage) -> None:
    jobs = stage.put_many(3)
    urgent = stage.put(priority=5)
    other = stage.put(queue="other")
    later = stage.put(delay=5)
    assert [stage.store.position(job.id) for job in (urgent, *jobs)] == [1, 2, 3, 4]
    assert stage.store.position(other.id) == 1
    assert stage.store.position(later.id) is None
    stage.claim(2, queues=("default",))
    assert [stage.store.position(job.id) for job in (urgent, *jobs)] == [None, None, 1, 2]


def test_what_does_not_exist_has_no_position_no_history_and_no_log(stage: Stage) -> None:
    nobody = new_id()
    assert stage.store.position(nobody) is None
    assert stage.store.history(nobody) == []
    assert stage.store.logs(nobody) == []


# --- statistics ----------------------------------------------------------------------------------


def minutes(stage: Stage, started: int) -> dict[tuple[int, str, str], Minute]:
    """The statistics, once they tell of so many jobs started; they may lag by a second."""
    end = time.monotonic() + 5
    while True:
        stage.store.upkeep(now=stage.now)
        told = stage.store.statistics(0)
        if sum(each.started for each in told) >= started or time.monotonic() > end:
            return {(each.start, each.queue, each.task): each for each in told}
        time.sleep(0.02)


def test_statistics_tell_what_happened_minute_by_minute(stage: Stage) -> None:
    stage.time.wall += -stage.time.wall % MINUTE
    first = stage.now.wall
    stage.put_many(3, task="a", policy=retries(1))
    stage.put(task="b", queue="q")
    stage.passes("2s")
    held = stage.claim()
    good, bad, retried, other = (
        msgspec.structs.replace(decide(job, outcome), took=1_000 * (at + 1))
        for at, (job, outcome) in enumerate(
            zip(
                held,
                (Succeeded(), Failed(OOPS, permanent=True), Failed(OOPS), Succeeded()),
                strict=True,
            )
        )
    )
    stage.settle(good, bad, retried, other)
    stage.passes("1m")
    stage.end(stage.take(), Succeeded())
    told = minutes(stage, started=5)
    assert set(told) == {
        (first, "default", "a"),
        (first, "q", "b"),
        (first + MINUTE, "default", "a"),
    }
    minute = told[first, "default", "a"]
    assert (minute.started, minute.completed, minute.failed, minute.retried) == (3, 1, 1, 1)
    assert minute.waited == 3 * 2 * SECOND
    assert minute.ran == 6_000
    assert minute.wait_histogram == {(2 * SECOND).bit_length(): 3}
    assert sum(minute.run_histogram.values()) == 3
    assert minute.run_histogram[(1_000).bit_length()] == 1
    assert told[first, "q", "b"].completed == 1
    assert told[first + MINUTE, "default", "a"].completed == 1
    assert {each.start for each in stage.store.statistics(first + 1)} <= {first, first + MINUTE}
    assert {each.start for each in stage.store.statistics(first + MINUTE)} == {first + MINUTE}


def test_a_repeated_end_is_counted_once(stage: Stage) -> None:
    stage.put()
    change = decide(stage.take(), Succeeded())
    for _ in range(3):
        stage.settle(change)
    (minute,) = minutes(stage, started=1).values()
    assert (minute.started, minute.completed) == (1, 1)


# --- soundness -----------------------------------------------------------------------------------


def test_a_store_in_which_everything_happened_is_sound(stage: Stage) -> None:
    for state in State:
        stage.bring(state)
    parent, stranger = new(policy=retries(0)), new(unique="k", unique_for=MINUTE, task="strange")
    stage.insert(parent, new().after(parent), new().after(parent, run_anyway=True), stranger)
    stage.lose_all()
    stage.tidy()
    assert stage.store.check() == []
    assert everything(stage.store)


def test_health_says_what_the_store_keeps_and_how(stage: Stage) -> None:
    health = stage.store.health()
    assert health.engine
    assert health.version
    assert health.durability
    assert health.schema >= 1
