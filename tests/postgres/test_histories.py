"""What two sessions at once must not bring about, step by step."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from mainspring.engines import open_store
from mainspring.errors import UniqueBusy
from mainspring.job import Edge, NewJob, Select, State
from mainspring.store import Store
from tests.contract.stage import Stage, ids, new

Session = psycopg.Connection[Any]


@pytest.fixture
def elsewhere(url: str) -> Iterator[Store]:
    """The store once more, as another program has it open that holds the transaction."""
    store = open_store(url)
    yield store
    store.close()


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
def test_a_dependent_inserted_while_its_parent_ends_is_released(
    stage: Stage, session: Session, elsewhere: Store, isolation: str
) -> None:
    parent = stage.put()
    held = stage.take()
    child = new().after(parent)
    session.execute(f"BEGIN ISOLATION LEVEL {isolation}")
    elsewhere.insert([child], connection=session, now=stage.now)
    stage.complete([held])
    session.execute("COMMIT")
    assert stage.state(child) is State.BLOCKED
    assert stage.store.check() == []
    assert stage.take().id == child.id


@pytest.mark.parametrize("by", ["claim", "upkeep"])
def test_a_dependent_inserted_by_who_did_not_see_the_end_is_released(
    stage: Stage, session: Session, elsewhere: Store, by: str
) -> None:
    parent = stage.put()
    held = stage.take()
    child = new().after(parent)
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    session.execute("SELECT 1")
    stage.complete([held])
    elsewhere.insert([child], connection=session, now=stage.now)
    session.execute("COMMIT")
    if by == "upkeep":
        stage.tidy()
        assert stage.state(child) is State.PENDING
    assert stage.take().id == child.id


def test_parents_are_looked_at_only_until_everybody_knows_of_the_dependent(
    stage: Stage, session: Session, schema: str
) -> None:
    parent = stage.put()
    stage.insert(new().after(parent))
    expected = f"SELECT count(*) FROM {schema}.edge_new"  # noqa: S608
    assert session.execute(expected).fetchall() == [(1,)]
    for _ in range(100):
        stage.store.upkeep(now=stage.now)
        if session.execute(expected).fetchall() == [(0,)]:
            break
        time.sleep(0.05)  # somebody else on this server has a transaction open
    assert session.execute(expected).fetchall() == [(0,)]
    stage.complete([stage.take()])
    assert len(stage.claim()) == 1


def in_thread(act: Any) -> tuple[threading.Thread, list[Any]]:
    """Begin it in a thread; its answer or error comes into the list."""
    answers: list[Any] = []

    def run() -> None:
        try:
            answers.append(act())
        except Exception as error:
            answers.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, answers


def test_a_parent_is_not_deleted_while_it_is_given_a_dependent(
    stage: Stage, session: Session, elsewhere: Store
) -> None:
    parent = stage.put()
    stage.complete([stage.take()])
    child: NewJob[Any] = new(edges=(Edge(parent.id),), delay=5)
    session.execute("BEGIN")
    elsewhere.insert([child], connection=session, now=stage.now)
    thread, answers = in_thread(lambda: stage.store.delete(Select(ids=(parent.id,)), now=stage.now))
    session.execute("COMMIT")
    thread.join(10)
    assert set(answers[0].refused) == {parent.id}
    assert stage.state(child) is State.SCHEDULED


def test_a_unique_key_in_an_open_transaction_is_waited_for_but_not_long(
    stage: Stage, session: Session, elsewhere: Store
) -> None:
    holder = new(unique="k")
    session.execute("BEGIN")
    elsewhere.insert([holder], connection=session, now=stage.now)
    thread, answers = in_thread(lambda: stage.insert(new(unique="k")))
    thread.join(10)
    assert isinstance(answers[0], UniqueBusy)
    session.execute("COMMIT")
    assert stage.insert(new(unique="k"))[0].duplicate_of == holder.id


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_who_waits_for_a_unique_key_is_told_whose_it_became(
    stage: Stage, session: Session, elsewhere: Store, end: str
) -> None:
    holder = new(unique="k")
    session.execute("BEGIN")
    elsewhere.insert([holder], connection=session, now=stage.now)
    thread, answers = in_thread(lambda: stage.insert(new(unique="k")))
    time.sleep(0.1)  # so that it waits, mostly
    session.execute(end)
    thread.join(10)
    assert answers[0][0].duplicate_of == (holder.id if end == "COMMIT" else None)


def test_an_open_insert_of_a_duplicate_does_not_keep_the_holder_from_ending(
    stage: Stage, session: Session, elsewhere: Store
) -> None:
    holder = stage.put(unique="k")
    held = stage.take()
    session.execute("BEGIN")
    (answer,) = elsewhere.insert([new(unique="k")], connection=session, now=stage.now)
    assert answer.duplicate_of == holder.id
    stage.complete([held])
    session.execute("COMMIT")
    assert stage.insert(new(unique="k"))[0].duplicate_of is None


def test_an_open_insert_keeps_nobody_from_claiming_and_comes_later(
    stage: Stage, session: Session, elsewhere: Store
) -> None:
    hidden, seen = new(queue="new"), []
    session.execute("BEGIN")
    elsewhere.insert([hidden], connection=session, now=stage.now)
    for _ in range(3):
        stage.put_many(2, queue="new")
        seen += ids(stage.claim())
        stage.passes("10s")
    session.execute("COMMIT")
    assert len(seen) == 6
    # Its score lies behind all that was taken: it is found at the true head.
    assert stage.take().id == hidden.id


def test_a_row_locked_by_an_outsider_is_passed_over_and_taken_later(
    stage: Stage, session: Session, schema: str
) -> None:
    locked, *others = stage.put_many(3)
    number = stage.record(locked).number
    session.execute("BEGIN")
    session.execute(f"SELECT 1 FROM {schema}.ready WHERE number = {number} FOR UPDATE")  # noqa: S608
    assert ids(stage.claim()) == ids(others)
    session.execute("ROLLBACK")
    assert stage.take().id == locked.id
