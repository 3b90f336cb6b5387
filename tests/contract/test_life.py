"""Opening and closing: repeatable, and nothing is lost between."""

from mainspring.engines import open_store
from mainspring.job import State, Succeeded
from mainspring.store import Settings, Store
from tests.contract.stage import Stage, Time, new, retries


def test_open_close_and_migrate_can_be_repeated(store: Store) -> None:
    store.open()
    store.insert([new()])
    assert store.migrate() == store.migrate() == store.health().schema
    store.open()
    assert store.counts()["default"][State.PENDING] == 1


def test_a_closed_store_can_be_closed_again(place: str) -> None:
    store = open_store(place)
    store.close()
    store.close()


def test_everything_is_there_when_the_store_is_opened_again(place: str) -> None:
    first, time = open_store(place), Time()
    stage = Stage(first, time)
    jobs = [stage.bring(state) for state in State]
    held = stage.put(queue="held", policy=retries(2))
    taken = stage.take(queues=("held",))
    first.configure("held", Settings(paused=True))
    queues = first.queues()
    before = [stage.record(job) for job in (*jobs, held)]
    first.close()

    second = open_store(place)
    stage = Stage(second, time)
    assert [stage.record(job) for job in (*jobs, held)] == before
    assert second.queues() == queues
    assert second.held([taken.token]) == [taken]
    assert stage.end(taken, Succeeded()).lost == ()
    assert second.check() == []
    second.close()


def test_what_one_store_settles_another_knows(store: Store, place: str) -> None:
    other = open_store(place)
    mine, theirs = Stage(store, Time()), Stage(other, Time())
    mine.put(unique="k")
    held = theirs.take()
    assert mine.end(held, Succeeded(b"1")).lost == ()
    assert theirs.end(held, Succeeded(b"1")).lost == ()
    assert theirs.insert(new(unique="k"))[0].duplicate_of is None
    other.close()
