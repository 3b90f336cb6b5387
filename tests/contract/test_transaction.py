"""The job's own transaction: the user's work and the finish, both or neither."""

import time

import pytest

from mainspring.durations import SECOND
from mainspring.errors import LeaseLost, TransactionError
from mainspring.ids import new_token
from mainspring.job import Claimed, Failed, HandedBack, Lost, State, Succeeded
from mainspring.lifecycle import decide
from mainspring.store import Claim, Grant, Store
from tests.contract.stage import OOPS, Stage, everything, new

pytestmark = pytest.mark.usefixtures("transactions")

# The job's transaction looks at the store's own clocks, so these tests leave time to the store.


@pytest.fixture
def held(store: Store) -> Claimed:
    store.insert([new()])
    return claim(store, lease=60 * SECOND)[0]


def claim(store: Store, lease: int) -> list[Claimed]:
    grant = Grant(token=new_token(), worker="w1", lease=lease)
    return store.exchange([], Claim(grant=grant, limit=10, slots=10)).jobs


def state(store: Store, job: Claimed) -> State:
    (record,) = store.get([job.id])
    assert record is not None
    return record.state


def test_leaving_well_commits_the_work_together_with_the_finish(
    store: Store, held: Claimed
) -> None:
    effect = new()
    with store.transaction(held, decide(held, Succeeded(b"1")), lease=60 * SECOND) as connection:
        store.insert([effect], connection=connection)
    assert state(store, held) is State.COMPLETED
    assert [job.id for job in claim(store, SECOND)] == [effect.id]


def test_an_exception_rolls_both_back_and_the_job_is_still_held(
    store: Store, held: Claimed
) -> None:
    def work() -> None:
        with store.transaction(held, decide(held, Succeeded()), lease=60 * SECOND) as connection:
            store.insert([new()], connection=connection)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert state(store, held) is State.RUNNING
    assert len(everything(store)) == 1
    assert store.exchange([decide(held, Failed(OOPS))]).lost == ()


def test_a_finish_in_the_jobs_transaction_releases_dependents(store: Store) -> None:
    parent = new()
    child = new().after(parent)
    store.insert([parent, child])
    (held,) = claim(store, 60 * SECOND)
    with store.transaction(held, decide(held, Succeeded()), lease=60 * SECOND):
        pass
    assert [job.id for job in claim(store, SECOND)] == [child.id]


def test_a_repeated_finish_after_the_jobs_transaction_is_done(store: Store, held: Claimed) -> None:
    change = decide(held, Succeeded(b"1"))
    with store.transaction(held, change, lease=60 * SECOND):
        pass
    assert store.exchange([change]).lost == ()


@pytest.mark.parametrize("when", ["before", "settled before"])
def test_a_lost_lease_rolls_the_work_back(stage: Stage, when: str) -> None:
    stage.put()
    held = stage.take()
    if when == "before":
        stage.passes("16s")
        (taken,) = stage.reclaim()
        stage.end(taken, Lost(OOPS))
    else:
        stage.end(held, HandedBack())
    effect = new()
    with (
        pytest.raises(LeaseLost),
        stage.store.transaction(held, decide(held, Succeeded()), lease=60 * SECOND) as connection,
    ):
        stage.store.insert([effect], connection=connection, now=stage.now)
    assert stage.gone(effect)
    assert not stage.state(held).final  # type: ignore[arg-type]


def test_a_transaction_open_beyond_a_third_of_the_lease_is_refused(store: Store) -> None:
    store.insert([new()])
    (held,) = claim(store, 60 * SECOND)

    def work() -> None:
        with store.transaction(held, decide(held, Succeeded()), lease=SECOND // 4) as connection:
            store.insert([new()], connection=connection)
            time.sleep(0.15)

    with pytest.raises(TransactionError):
        work()
    assert state(store, held) is State.RUNNING
    assert len(everything(store)) == 1


def test_an_insert_beside_the_jobs_own_transaction_is_refused_and_no_deadlock(
    store: Store, held: Claimed
) -> None:
    with (
        store.transaction(held, decide(held, Succeeded()), lease=60 * SECOND),
        pytest.raises(TransactionError),
    ):
        store.insert([new()])
    assert state(store, held) is State.COMPLETED
    assert len(everything(store)) == 1


def test_the_store_goes_on_after_a_transaction(store: Store, held: Claimed) -> None:
    for _ in range(3):
        with (
            pytest.raises(KeyError),
            store.transaction(held, decide(held, Succeeded()), lease=60 * SECOND),
        ):
            raise KeyError
    (inserted,) = store.insert([new()])
    assert not inserted.repeated


def test_a_finish_in_the_jobs_transaction_is_counted_for_all_to_see(
    store: Store, other: Store, held: Claimed
) -> None:
    with other.transaction(held, decide(held, Succeeded()), lease=60 * SECOND):
        pass
    end = time.monotonic() + 5
    while sum(minute.completed for minute in store.statistics(0)) == 0:
        assert time.monotonic() < end
    assert sum(sum(minute.run_histogram.values()) for minute in store.statistics(0)) == 1
