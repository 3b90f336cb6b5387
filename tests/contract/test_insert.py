"""Storing jobs: all or none, once each, exactly as they were given."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import msgspec
import pytest

from mainspring.durations import DAY, MINUTE
from mainspring.errors import IdConflict, TransactionError, UniqueTaken, UnknownDependency
from mainspring.ids import new_id
from mainspring.job import Edge, NewJob, Policy, Select, State
from mainspring.retry import Backoff
from tests.contract.stage import Stage, everything, ids, new, retries


def test_a_job_is_read_back_as_it_was_given(stage: Stage) -> None:
    policy = Policy(Backoff(7, kind="list", delays=(1, 2, 3)), timeout=MINUTE, keep=DAY, version=3)
    job = new(
        task="mail.send",
        payload=b'{"to":"\xc3\xbc"}',
        queue="mail",
        priority=-7,
        expires=DAY,
        key="tenant 1",
        unique="welcome:7",
        policy=policy,
        headers={"trace": "a b", "ü": "ö"},
        tags=("red", "blue"),
        label="Send it",
    )
    (inserted,) = stage.insert(job)
    record = stage.record(job)
    assert (record.id, record.number) == (job.id, inserted.number)
    assert record.created == inserted.created
    assert record.state is State.PENDING
    for name in ("task", "payload", "queue", "priority", "key", "unique", "label", "headers"):
        assert getattr(record, name) == getattr(job, name), name
    assert set(record.tags) == {"red", "blue"}
    assert record.policy == policy
    assert (record.attempt, record.claims) == (0, 0)
    assert record.created == record.due == stage.now.wall
    assert record.result is record.started is record.finished is record.error is None


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b"null", b"\0", b"\0\xff\xfe'\"\\%s?", "ж".encode() * 1000, bytes(1_000_000)],
    ids=["empty", "object", "null", "a zero", "raw", "letters", "a megabyte"],
)
def test_a_payload_is_kept_byte_for_byte(stage: Stage, payload: bytes) -> None:
    job = stage.put(payload=payload)
    assert stage.record(job).payload == payload
    assert stage.take().payload == payload


@pytest.mark.parametrize("name", ["mail", "a b", "ü/ö", "'; --", '"', "%", "a" * 200])
def test_queues_and_tasks_may_have_any_name(stage: Stage, name: str) -> None:
    job = stage.put(queue=name, task=name)
    held = stage.take(queues=(name,))
    assert (held.id, held.queue, held.task) == (job.id, name, name)


def test_answers_come_in_order_and_numbers_ascend(stage: Stage) -> None:
    jobs = [new(queue=f"q{n % 3}", priority=n % 5) for n in range(50)]
    answers = stage.insert(*jobs) + stage.insert(last := new())
    assert [answer.id for answer in answers] == ids([*jobs, last])
    numbers = [answer.number for answer in answers]
    assert numbers == sorted(set(numbers))


def test_nothing_in_nothing_out(stage: Stage) -> None:
    assert stage.insert() == []
    assert stage.store.counts() == {}


def test_thousands_of_jobs_are_stored_in_one_call(stage: Stage) -> None:
    jobs = [new(payload=b"%d" % n) for n in range(5_000)]
    stage.insert(*jobs)
    assert stage.count(State.PENDING) == 5_000
    assert [held.payload for held in stage.claim(3)] == [b"0", b"1", b"2"]


@pytest.mark.parametrize(
    ("options", "state"),
    [
        ({}, State.PENDING),
        ({"delay": 1}, State.SCHEDULED),
        ({"run_at": 1_900_000_000_000_001}, State.SCHEDULED),
        ({"run_at": 1_900_000_000_000_000}, State.PENDING),
        ({"run_at": 0}, State.PENDING),
    ],
    ids=["at once", "delay", "run_at ahead", "run_at now", "run_at past"],
)
def test_a_job_waits_for_its_time_if_that_is_ahead(
    stage: Stage, options: dict[str, Any], state: State
) -> None:
    assert stage.state(stage.put(**options)) is state


def test_times_survive_to_the_microsecond(stage: Stage) -> None:
    stage.time.wall += 1
    delayed, timed = stage.put(delay=333_333), stage.put(run_at=1_999_999_999_999_999)
    assert stage.record(delayed).created == stage.now.wall
    assert stage.record(delayed).due == stage.now.wall + 333_333
    assert stage.record(timed).due == 1_999_999_999_999_999


# --- all or none ---------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 3, 6])
def test_one_job_that_cannot_be_stored_keeps_out_all_others(stage: Stage, at: int) -> None:
    taken = stage.put(unique="k")
    jobs = [new() for _ in range(6)]
    for refused, error in [
        (msgspec.structs.replace(taken, payload=b"other"), IdConflict),
        (new(unique="k", on_duplicate="error"), UniqueTaken),
        (new(edges=(Edge(new_id()),)), UnknownDependency),
    ]:
        with pytest.raises(error):
            stage.insert(*jobs[:at], refused, *jobs[at:])
    assert [record.id for record in everything(stage.store)] == [taken.id]


# --- repeatable ----------------------------------------------------------------------------------


def test_a_repeated_insert_is_answered_again_and_stores_nothing(stage: Stage) -> None:
    jobs = [new(delay=5, tags=("a", "b"), headers={"x": "y"}), new(priority=3), new(unique="k")]
    stored = stage.now.wall
    first = stage.insert(*jobs)
    stage.passes("1h")
    again = stage.insert(*jobs)
    assert [answer.number for answer in again] == [answer.number for answer in first]
    assert [answer.repeated for answer in first] == [False] * 3
    assert [answer.repeated for answer in again] == [True] * 3
    assert [answer.duplicate_of for answer in again] == [None] * 3
    assert [answer.created for answer in first] == [stored] * 3
    assert [answer.created for answer in again] == [None] * 3
    assert len(everything(stage.store)) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"payload": bytes(3)},
        {"queue": "mail", "priority": -3},
        {"delay": 7},
        {"run_at": 1_900_000_000_000_007},
        {"expires": DAY},
        {"key": "k"},
        {"unique": "u", "unique_for": MINUTE, "on_duplicate": "error"},
        {"on_duplicate": "replace"},
        {"unique_for": 5},
        {"policy": Policy(Backoff(jitter=False), timeout=5, keep=6)},
        {"headers": {"b": "1", "a": "2"}},
        {"tags": ("b", "a", "b")},
        {"label": "ü"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_whatever_a_job_says_its_repeat_is_known(stage: Stage, options: dict[str, Any]) -> None:
    job = stage.put(**options)
    stage.passes("1s")
    (answer,) = stage.insert(msgspec.structs.replace(job))
    assert answer.repeated


def test_a_repeat_may_bring_new_jobs_along(stage: Stage) -> None:
    old, fresh = stage.put(), new()
    assert [answer.repeated for answer in stage.insert(fresh, old)] == [False, True]
    assert len(everything(stage.store)) == 2


def test_the_same_job_twice_in_one_call_is_stored_once(stage: Stage) -> None:
    job = new()
    first, second = stage.insert(job, job)
    assert first.number == second.number
    assert (first.repeated, second.repeated) == (False, True)
    assert len(everything(stage.store)) == 1


@pytest.mark.parametrize("state", list(State))
def test_a_repeat_is_known_in_whatever_state_the_job_is(stage: Stage, state: State) -> None:
    job = stage.bring(state, payload=b"here")
    asked = msgspec.structs.replace(
        job, **({} if state in (State.SCHEDULED, State.BLOCKED) else {"policy": retries(1)})
    )
    before = stage.record(job)
    (answer,) = stage.insert(asked)
    assert (answer.repeated, answer.number) == (True, before.number)
    assert stage.record(job) == before


def test_a_repeat_is_known_when_the_parents_are_gone(stage: Stage) -> None:
    parent = stage.put()
    child = new().after(parent)
    stage.insert(child)
    for _ in range(2):
        stage.complete([stage.take()])
    assert stage.store.delete(Select(ids=(parent.id,)), now=stage.now).ids == (parent.id,)
    (answer,) = stage.insert(child)
    assert answer.repeated


def test_a_repeated_flow_is_not_its_own_duplicate(stage: Stage) -> None:
    first = new(unique="one")
    flow = [first, new(unique="two").after(first)]
    stage.insert(*flow)
    assert [answer.repeated for answer in stage.insert(*flow)] == [True, True]


def test_a_repeat_is_known_for_ten_minutes_after_the_end_however_short_jobs_are_kept(
    stage: Stage,
) -> None:
    job = stage.put(policy=Policy(keep=0))
    stage.complete([stage.take()])
    stage.passes("9m")
    stage.tidy()
    (answer,) = stage.insert(job)
    assert answer.repeated
    assert stage.claim() == []


@pytest.mark.parametrize(
    "change",
    [
        {"payload": b"[]"},
        {"task": "receive"},
        {"queue": "other"},
        {"priority": 1},
        {"delay": 1},
        {"run_at": 1_999_999_999_000_000},
        {"expires": 5},
        {"key": "k"},
        {"policy": retries(9)},
        {"headers": {"a": "b"}},
        {"tags": ("a",)},
        {"label": "x"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_same_id_with_other_content_is_a_conflict(stage: Stage, change: dict[str, Any]) -> None:
    job = stage.put()
    before = stage.record(job)
    with pytest.raises(IdConflict):
        stage.insert(new(), msgspec.structs.replace(job, **change))
    assert stage.record(job) == before
    assert len(everything(stage.store)) == 1


def test_two_contents_for_one_id_in_one_call_are_a_conflict(stage: Stage) -> None:
    job = new()
    with pytest.raises(IdConflict):
        stage.insert(job, msgspec.structs.replace(job, payload=b"other"))
    assert everything(stage.store) == []


# --- in the caller's transaction -----------------------------------------------------------------

Caller = Callable[[], AbstractContextManager[Any]]


def test_an_insert_on_the_callers_connection_is_there_when_the_caller_commits(
    stage: Stage, caller: Caller
) -> None:
    job = new()
    with caller() as connection:
        (answer,) = stage.store.insert([job], connection=connection, now=stage.now)
        assert stage.gone(job)
        connection.execute("COMMIT")
    assert stage.record(job).number == answer.number
    assert stage.take().id == job.id


def test_an_insert_on_the_callers_connection_is_gone_when_the_caller_rolls_back(
    stage: Stage, caller: Caller
) -> None:
    job = new()
    with caller() as connection:
        stage.store.insert([job], connection=connection, now=stage.now)
        connection.execute("ROLLBACK")
    assert stage.gone(job)
    assert stage.claim() == []
    assert stage.insert(job)[0].repeated is False


def test_a_refused_insert_leaves_the_callers_transaction_as_it_was(
    stage: Stage, caller: Caller
) -> None:
    kept, refused = new(), new(edges=(Edge(new_id()),))
    with caller() as connection:
        stage.store.insert([kept], connection=connection, now=stage.now)
        with pytest.raises(UnknownDependency):
            stage.store.insert([new(), refused], connection=connection, now=stage.now)
        connection.execute("COMMIT")
    assert ids(everything(stage.store)) == [kept.id]


def test_a_connection_without_a_transaction_is_refused(stage: Stage, caller: Caller) -> None:
    job: NewJob[Any] = new()
    with caller() as connection:
        connection.execute("ROLLBACK")
        with pytest.raises(TransactionError):
            stage.store.insert([job], connection=connection, now=stage.now)
    assert stage.gone(job)


def test_an_insert_beside_the_callers_own_transaction_is_refused_and_no_deadlock(
    stage: Stage, caller: Caller
) -> None:
    kept, other = new(), new()
    with caller() as connection:
        stage.store.insert([kept], connection=connection, now=stage.now)
        with pytest.raises(TransactionError):
            stage.insert(other)
        connection.execute("COMMIT")
    assert ids(everything(stage.store)) == [kept.id]
    assert stage.insert(other)[0].repeated is False
