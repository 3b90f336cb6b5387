"""What waits in a queue, how much may, and what went through it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from mainspring.durations import DAY, HOUR, SECOND
from mainspring.errors import InvalidArguments, QueueFull
from mainspring.job import Failed, Select, State, Succeeded
from mainspring.store import Settings, Store, Traffic
from tests.contract.stage import OOPS, Stage, everything, new, retries


def test_settings_of_messages_are_kept_as_they_were_given(stage: Stage) -> None:
    given = Settings(
        max_retries=5, retry_delays=(10 * SECOND, HOUR), ack_deadline=300 * SECOND, max_depth=7
    )
    info = stage.store.configure("post", given)
    assert (info.max_retries, info.retry_delays) == (5, (10 * SECOND, HOUR))
    assert (info.ack_deadline, info.max_depth) == (300 * SECOND, 7)
    info = stage.store.configure("post", Settings(retry_delays=(), max_depth=0))
    assert (info.max_retries, info.retry_delays, info.max_depth) == (5, (), 0)
    assert stage.store.queues() == [info]


@pytest.mark.parametrize(
    "settings",
    [
        Settings(max_retries=-1),
        Settings(max_retries=1_000_001),
        Settings(ack_deadline=0),
        Settings(max_depth=-1),
        Settings(retry_delays=(31 * DAY,)),
        Settings(retry_delays=(SECOND,) * 101),
    ],
)
def test_settings_out_of_range_are_refused(stage: Stage, settings: Settings) -> None:
    with pytest.raises(InvalidArguments):
        stage.store.configure("post", settings)


def test_no_more_jobs_wait_than_may(stage: Stage) -> None:
    stage.store.configure("default", Settings(max_depth=3))
    stage.put()
    stage.put(delay=HOUR)
    with pytest.raises(QueueFull) as refused:
        stage.insert(new(), new())
    assert refused.value.queue == "default"
    stage.put()
    with pytest.raises(QueueFull):
        stage.put()
    with pytest.raises(QueueFull):
        stage.put(unique="a")
    stage.put(queue="other")
    assert stage.store.traffic("default").depth == 3


def test_there_is_room_again_when_a_job_was_taken_or_may_wait_no_longer(stage: Stage) -> None:
    stage.store.configure("default", Settings(max_depth=1))
    first = stage.put()
    with pytest.raises(QueueFull):
        stage.put()
    stage.take()
    second = stage.put()
    with pytest.raises(QueueFull):
        stage.put()
    stage.store.cancel(Select(ids=(second.id,)))
    stage.put()
    assert stage.state(first) is State.RUNNING


def test_what_is_given_back_waits_beyond_the_most(stage: Stage) -> None:
    stage.store.configure("default", Settings(max_depth=1))
    stage.put()
    held = stage.take()
    stage.put()
    stage.end(held, Failed(OOPS))
    assert stage.store.traffic("default").depth == 2
    with pytest.raises(QueueFull):
        stage.put()


def test_a_repeated_insert_is_answered_though_the_queue_is_full(stage: Stage) -> None:
    stage.store.configure("default", Settings(max_depth=1))
    job = new()
    [told] = stage.insert(job)
    [again] = stage.insert(job)
    assert (again.repeated, again.number) == (True, told.number)


def test_one_that_replaces_another_takes_its_room(stage: Stage) -> None:
    stage.store.configure("default", Settings(max_depth=1))
    stage.put(unique="a")
    stage.put(unique="a", on_duplicate="replace")
    [same] = stage.insert(new(unique="a"))
    assert same.duplicate_of is not None
    assert stage.store.traffic("default").depth == 1


def test_without_a_most_any_number_may_wait_again(stage: Stage) -> None:
    stage.store.configure("default", Settings(max_depth=1))
    stage.put()
    stage.store.configure("default", Settings(max_depth=0))
    stage.put()
    assert stage.store.traffic("default").depth == 2


def test_traffic_tells_what_went_through_a_queue(stage: Stage) -> None:
    assert stage.store.traffic("default") == Traffic()
    stage.put()
    stage.put(policy=retries(0))
    stage.put(delay=HOUR)
    stage.put(queue="other")
    first, second = stage.claim(1)[0], stage.claim(1)[0]
    told = stage.store.traffic("default")
    assert (told.depth, told.running, told.consumers) == (1, 2, 1)
    stage.end(first, Succeeded())
    stage.end(second, Failed(OOPS))
    told = stage.store.traffic("default")
    assert (told.depth, told.running, told.consumers, told.dead_letters) == (1, 0, 0, 1)
    assert (told.published, told.consumed, told.acked, told.dead_lettered) == (3, 2, 1, 1)
    assert stage.store.traffic("other").published == 1


def test_waits_are_summed_up(stage: Stage) -> None:
    stage.put()
    stage.passes("5s")
    stage.take()
    assert stage.store.traffic("default").waited == 5 * SECOND


def test_totals_survive_replays_removals_and_the_end_of_statistics(stage: Stage) -> None:
    dead, done = stage.put(policy=retries(0)), stage.put()
    stage.end(stage.claim(1)[0], Failed(OOPS))
    stage.end(stage.claim(1)[0], Succeeded())
    stage.store.replay(Select(ids=(dead.id, done.id)))
    stage.end(stage.claim(1)[0], Failed(OOPS))
    stage.end(stage.claim(1)[0], Succeeded())
    before = stage.store.traffic("default")
    assert (before.published, before.consumed, before.acked, before.dead_lettered) == (2, 4, 2, 2)
    stage.passes("30d")
    stage.tidy()
    assert everything(stage.store) == []
    after = stage.store.traffic("default")
    assert (after.published, after.consumed, after.acked, after.dead_lettered) == (2, 4, 2, 2)
    assert after.dead_letters == 0
    stage.put()
    stage.store.delete(Select(queues=("default",)))
    assert stage.store.traffic("default").published == 3
    assert stage.store.statistics(0) == []


def test_a_held_job_tells_under_what(stage: Stage) -> None:
    job = stage.put()
    assert stage.record(job).token is None
    held = stage.take()
    assert stage.record(job).token == held.token
    stage.end(held, Succeeded())
    assert stage.record(job).token is None


def test_a_callers_transaction_goes_on_after_a_queue_was_full(
    store: Store, caller: Callable[[], AbstractContextManager[Any]]
) -> None:
    store.configure("default", Settings(max_depth=1))
    store.insert([new()])
    kept = new(queue="other")
    with caller() as connection:
        for jobs in ([new()], [new(unique="a")], [new(delay=HOUR), new()]):
            with pytest.raises(QueueFull):
                store.insert(jobs, connection=connection)
        store.insert([kept], connection=connection)
        connection.execute("COMMIT")
    assert store.traffic("default").depth == 1
    assert store.traffic("other").published == 1
