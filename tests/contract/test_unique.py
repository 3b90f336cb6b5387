"""Unique keys: what may exist only once, and when it may exist again."""

from typing import Any

import pytest

from mainspring.durations import HOUR, MINUTE, SECOND
from mainspring.errors import UniqueTaken
from mainspring.job import Failed, HandedBack, NewJob, Select, Snoozed, State, Succeeded
from tests.contract.stage import OOPS, Stage, everything, ids, new, retries


def rival(stage: Stage, **options: Any) -> bytes | None:
    """Whose key it is, as another job with the same key is told."""
    (answer,) = stage.insert(new(unique="k", **options))
    return answer.duplicate_of


def test_a_job_with_a_taken_key_is_answered_as_a_duplicate_and_not_stored(stage: Stage) -> None:
    holder, other = stage.put(unique="k"), new(unique="k")
    (answer,) = stage.insert(other)
    assert (answer.duplicate_of, answer.repeated) == (holder.id, False)
    assert ids(everything(stage.store)) == [holder.id]


def test_the_jobs_beside_a_duplicate_are_stored(stage: Stage) -> None:
    holder, plain = stage.put(unique="k"), [new(), new()]
    answers = stage.insert(plain[0], new(unique="k"), plain[1])
    assert [answer.duplicate_of for answer in answers] == [None, holder.id, None]
    assert stage.states(*plain) == [State.PENDING] * 2


def test_of_two_jobs_with_one_key_in_one_call_the_first_is_stored(stage: Stage) -> None:
    first, second = new(unique="k"), new(unique="k")
    answers = stage.insert(first, second)
    assert [answer.duplicate_of for answer in answers] == [None, first.id]
    assert ids(everything(stage.store)) == [first.id]


def test_a_key_is_one_key_over_all_queues_and_tasks(stage: Stage) -> None:
    holder = stage.put(unique="k", queue="one", task="a")
    assert rival(stage, queue="two", task="b") == holder.id


def test_other_keys_and_no_key_are_free(stage: Stage) -> None:
    stage.put(unique="k")
    answers = stage.insert(new(unique="K"), new(unique="k "), new(), new())
    assert [answer.duplicate_of for answer in answers] == [None] * 4


def test_an_error_on_a_duplicate_names_the_holder(stage: Stage) -> None:
    holder = stage.put(unique="k")
    with pytest.raises(UniqueTaken) as refusal:
        stage.insert(new(unique="k", on_duplicate="error"))
    assert refusal.value.holder == holder.id


# --- how long a key is held ----------------------------------------------------------------------


def test_a_key_is_held_until_the_job_ends(stage: Stage) -> None:
    holder = stage.put(unique="k", policy=retries(1), delay=SECOND)
    assert rival(stage) == holder.id  # scheduled
    stage.passes("1s")
    stage.end(stage.take(), HandedBack())
    assert rival(stage) == holder.id  # pending
    stage.end(stage.take(), Snoozed(SECOND))
    assert rival(stage) == holder.id  # snoozed
    stage.passes("1s")
    stage.end(stage.take(), Failed(OOPS))
    assert rival(stage) == holder.id  # retrying
    stage.passes("1s")
    held = stage.take()
    assert rival(stage) == holder.id  # running
    stage.end(held, Succeeded())
    assert rival(stage) is None


def end_by(stage: Stage, how: str, job: NewJob[Any]) -> None:
    one = Select(ids=(job.id,))
    match how:
        case "completed":
            stage.complete([stage.take()])
        case "failed":
            stage.fail(stage.take())
        case "cancelled":
            stage.store.cancel(one, now=stage.now)
        case "deleted":
            stage.store.delete(one, now=stage.now)
        case "expired":
            stage.passes("3m")
            stage.tidy()
        case "lost":
            stage.take()
            stage.lose_all()


ENDS = ["completed", "failed", "cancelled", "deleted", "expired", "lost"]


@pytest.mark.parametrize("how", ENDS)
def test_a_key_is_free_however_its_job_ended(stage: Stage, how: str) -> None:
    job = stage.put(unique="k", policy=retries(0), expires=2 * MINUTE)
    end_by(stage, how, job)
    assert rival(stage) is None
    assert stage.count(State.PENDING) == 1


@pytest.mark.parametrize("how", ["completed", "failed", "cancelled"])
def test_a_key_with_a_period_outlasts_the_end_of_its_job(stage: Stage, how: str) -> None:
    holder = stage.put(unique="k", unique_for=HOUR)
    stage.passes("10m")
    end_by(stage, how, holder)
    stage.passes("49m")
    assert rival(stage) == holder.id
    stage.passes("2m")
    assert rival(stage) is None


def test_a_period_that_is_over_frees_no_key_of_a_job_that_has_not_ended(stage: Stage) -> None:
    holder = stage.put(unique="k", unique_for=MINUTE)
    stage.passes("1h")
    stage.tidy()
    assert rival(stage) == holder.id
    stage.complete([stage.take()])
    assert rival(stage) is None


# --- replace -------------------------------------------------------------------------------------

WAITING = [State.PENDING, State.SCHEDULED, State.BLOCKED, State.RETRYING]


@pytest.mark.parametrize("state", WAITING)
def test_a_waiting_holder_is_replaced(stage: Stage, state: State) -> None:
    holder = stage.bring(state, unique="k")
    other = new(unique="k", payload=b"newer", on_duplicate="replace", queue="newer")
    (answer,) = stage.insert(other)
    assert answer.duplicate_of is None
    assert stage.gone(holder) or stage.state(holder) is State.CANCELLED
    stage.passes("1h")
    assert stage.take(queues=("newer",)).payload == b"newer"
    assert rival(stage) == other.id


def test_a_running_holder_is_not_replaced(stage: Stage) -> None:
    holder = stage.put(unique="k")
    held = stage.take()
    (answer,) = stage.insert(new(unique="k", on_duplicate="replace"))
    assert answer.duplicate_of == holder.id
    assert stage.end(held, Succeeded()).lost == ()
    assert len(everything(stage.store)) == 1


def test_replacing_what_does_not_exist_is_an_insert(stage: Stage) -> None:
    job = stage.put(unique="k", on_duplicate="replace")
    assert stage.take().id == job.id


# --- flows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_duplicate", ["return", "error"])
def test_a_flow_with_a_taken_key_is_not_stored_at_all_and_names_the_holder(
    stage: Stage, on_duplicate: str
) -> None:
    holder = stage.put(unique="k")
    first = new()
    with pytest.raises(UniqueTaken) as refusal:
        stage.insert(first, new(unique="k", on_duplicate=on_duplicate).after(first))
    assert refusal.value.holder == holder.id
    assert ids(everything(stage.store)) == [holder.id]
