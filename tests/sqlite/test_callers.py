"""The caller's own connection: what is asked of it, and that nothing waits for itself."""

import gc
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mainspring.engines import open_store
from mainspring.engines.sqlite.address import address
from mainspring.engines.sqlite.connection import connect
from mainspring.engines.sqlite.lent import Lent
from mainspring.errors import NotImmediate, TransactionError, UniqueTaken
from mainspring.job import Select, State, Succeeded
from mainspring.lifecycle import decide
from mainspring.store import Presence, Settings, Store
from tests.contract.stage import Stage, Time, ids, new


@pytest.fixture
def connection(store: Store, path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0.1)) as connection:
        yield connection


def test_the_job_exists_if_and_only_if_the_callers_row_does(
    store: Store, connection: sqlite3.Connection
) -> None:
    connection.execute("CREATE TABLE customer(name TEXT)")
    for end in ("ROLLBACK", "COMMIT"):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO customer VALUES('x')")
        store.insert([new()], connection=connection)
        connection.execute(end)
        rows = connection.execute("SELECT count(*) FROM customer").fetchone()[0]
        assert rows == len(store.find(Select())) == (end == "COMMIT")


def test_a_refused_insert_leaves_the_callers_transaction_as_it_was(
    store: Store, connection: sqlite3.Connection
) -> None:
    store.insert([new(unique="k")])
    connection.execute("CREATE TABLE customer(name TEXT)")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO customer VALUES('x')")
    with pytest.raises(UniqueTaken):
        store.insert([new(), new(unique="k", on_duplicate="error")], connection=connection)
    store.insert([new()], connection=connection)
    connection.execute("COMMIT")
    assert connection.execute("SELECT count(*) FROM customer").fetchone() == (1,)
    assert len(store.find(Select())) == 2
    assert store.check() == []


def test_names_that_were_rolled_back_are_not_believed_in(
    store: Store, connection: sqlite3.Connection
) -> None:
    connection.execute("BEGIN IMMEDIATE")
    store.insert([new(queue="q", task="t")], connection=connection)
    connection.execute("ROLLBACK")
    store.insert([new(queue="other", task="other"), new(queue="q", task="t")])
    assert {(record.queue, record.task) for record in store.find(Select())} == {
        ("other", "other"),
        ("q", "t"),
    }
    assert store.check() == []


def test_a_connection_without_a_transaction_is_refused(
    store: Store, connection: sqlite3.Connection
) -> None:
    with pytest.raises(NotImmediate, match="BEGIN IMMEDIATE"):
        store.insert([new()], connection=connection)


def test_a_transaction_that_can_no_longer_write_is_refused(
    store: Store, connection: sqlite3.Connection
) -> None:
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM job").fetchall()
    store.insert([new()])
    with pytest.raises(NotImmediate, match="BEGIN IMMEDIATE"):
        store.insert([new()], connection=connection)
    connection.execute("ROLLBACK")
    assert len(store.find(Select())) == 1


def test_a_connection_to_another_file_is_refused(store: Store, tmp_path: Path) -> None:
    for place in (tmp_path / "other.db", ":memory:"):
        with closing(sqlite3.connect(place, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(TransactionError, match=r"jobs\.db"):
                store.insert([new()], connection=other)


def test_what_is_no_connection_is_refused(store: Store) -> None:
    with pytest.raises(TransactionError, match=r"sqlite3\.Connection"):
        store.insert([new()], connection="jobs.db")


def test_the_same_file_by_another_name_is_the_same_file(store: Store, path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    with closing(sqlite3.connect(link, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        store.insert([new()], connection=connection)
        connection.execute("COMMIT")
    assert len(store.find(Select())) == 1


def test_a_connection_that_makes_something_else_of_rows_and_text_serves(
    store: Store, path: Path
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.row_factory = lambda cursor, row: {"row": row}
        connection.text_factory = bytes
        connection.execute("BEGIN IMMEDIATE")
        parent = new(unique="k", tags=("t",), headers={"a": "b"})
        store.insert([parent, new().after(parent)], connection=connection)
        (again,) = store.insert([parent], connection=connection)
        connection.execute("COMMIT")
    assert again.repeated
    assert store.check() == []


def test_a_callers_connection_makes_no_checkpoints_of_its_own(
    store: Store, connection: sqlite3.Connection
) -> None:
    assert connection.execute("PRAGMA wal_autocheckpoint").fetchone() != (0,)
    connection.execute("BEGIN IMMEDIATE")
    store.insert([new()], connection=connection)
    connection.execute("COMMIT")
    assert connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)


def test_every_write_beside_an_open_transaction_of_the_same_thread_is_an_error(
    store: Store, connection: sqlite3.Connection
) -> None:
    stage = Stage(store, Time())
    stage.put()
    held = stage.take()
    connection.execute("BEGIN IMMEDIATE")
    store.insert([new()], connection=connection)
    presence = Presence(id="w", host="h", pid=1, started=0, state="running")
    writes: list[Any] = [
        lambda: store.insert([new()]),
        lambda: store.exchange([decide(held, Succeeded())]),
        lambda: store.heartbeat(presence, [held.token], 1),
        lambda: store.cancel(Select()),
        lambda: store.configure("default", Settings(paused=True)),
        lambda: store.transaction(held, decide(held, Succeeded()), lease=1).__enter__(),
    ]
    for write in writes:
        with pytest.raises(TransactionError, match="commit first"):
            write()
    assert store.counts()["default"][State.RUNNING] == 1
    connection.execute("COMMIT")
    store.insert([new()])
    assert stage.end(held, Succeeded()).lost == ()


def test_a_connection_closed_in_its_transaction_is_in_nobodys_way(store: Store, path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    store.insert([new()], connection=connection)
    connection.close()
    stored = store.insert([new()])
    assert ids(store.find(Select())) == [stored[0].id]


def test_a_connection_dropped_in_its_transaction_is_in_nobodys_way(
    store: Store, path: Path
) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    store.insert([new()], connection=connection)
    del connection
    gc.collect()
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other:
        other.execute("BEGIN IMMEDIATE")
    (stored,) = store.insert([new()])
    assert ids(store.find(Select())) == [stored.id]


def test_a_transaction_of_another_thread_is_waited_for(
    store: Store, connection: sqlite3.Connection
) -> None:
    connection.execute("BEGIN IMMEDIATE")
    store.insert([new()], connection=connection)
    waiting = threading.Thread(target=lambda: store.insert([new()]))
    waiting.start()
    connection.execute("COMMIT")
    waiting.join()
    assert len(store.find(Select())) == 2


def test_ending_the_jobs_transaction_by_hand_is_an_error(store: Store) -> None:
    stage = Stage(store, Time())
    stage.put()
    held = stage.take()
    with (
        pytest.raises(TransactionError, match="ended inside"),
        store.transaction(held, decide(held, Succeeded()), lease=60_000_000) as connection,
    ):
        connection.execute("COMMIT")
    assert store.counts()["default"][State.RUNNING] == 1


HANGS = {
    "between statements": lambda connection, free: free.wait(),
    "in a statement": lambda connection, free: connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    ),
}


@pytest.mark.parametrize("where", HANGS)
def test_a_block_that_hangs_does_not_hold_the_file(store: Store, where: str) -> None:
    stage = Stage(store, Time())
    stage.put()
    held = stage.take()
    inside, free = threading.Event(), threading.Event()
    told: list[Exception] = []

    def hang() -> None:
        with store.transaction(held, decide(held, Succeeded()), lease=600_000) as connection:
            store.insert([new(queue="effect")], connection=connection)
            inside.set()
            try:
                HANGS[where](connection, free)
                connection.execute("DELETE FROM job")
            except TransactionError as error:
                told.append(error)

    def work() -> None:
        try:
            hang()
        except TransactionError as error:
            told.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    store.insert([new()])
    free.set()
    thread.join()
    assert len(told) == 2
    assert store.counts()["default"][State.RUNNING] == 1
    assert len(store.find(Select())) == 2
    assert store.check() == []


def test_a_cursor_from_before_is_refused_as_well_when_the_time_is_up(store: Store) -> None:
    stage = Stage(store, Time())
    stage.put()
    held = stage.take()

    def work() -> None:
        connection: Any
        with store.transaction(held, decide(held, Succeeded()), lease=600_000) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT number FROM job")
            other = threading.Thread(target=lambda: store.insert([new()]))
            other.start()
            other.join()
            cursor.execute("DELETE FROM job")

    with pytest.raises(TransactionError, match="third of the lease"):
        work()
    assert len(store.find(Select())) == 2


def test_a_block_that_ends_while_it_is_called_back_lets_go_of_the_file(path: Path) -> None:
    url = f"sqlite:///{path}"
    open_store(url).close()
    connection = connect(address(url), factory=Lent)
    assert isinstance(connection, Lent)
    connection.execute("BEGIN IMMEDIATE")
    unread = connection.execute("SELECT value FROM json_each('[1, 2, 3]')")
    called_back = threading.Event()
    with connection.using(), connection.limited(0.0, called_back.set):
        while not _is_called_back(connection):
            time.sleep(0)
        # Who calls back waits for `using`; this thread is quicker.
        connection.roll_back()
    connection.close()
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
    del unread


def _is_called_back(connection: Lent) -> bool:
    try:
        connection.must_be_lent()
    except TransactionError:
        return True
    return False
