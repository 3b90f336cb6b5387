"""Whose file it is: ours, somebody else's, a newer one; and who makes it when many come at once."""

import multiprocessing
import sqlite3
import threading
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from mainspring.engines import open_store
from mainspring.engines.sqlite import migrate
from mainspring.engines.sqlite.migrate import APPLICATION_ID, VERSION
from mainspring.engines.sqlite.store import SqliteStore
from mainspring.errors import SchemaError, StoreUnavailable
from mainspring.job import State
from mainspring.store import Store
from tests.contract.stage import new


def refusal_of(path: Path) -> str:
    before = path.read_bytes()
    store = SqliteStore(f"sqlite:///{path}")
    for attempt in (store.open, store.migrate):
        with pytest.raises(SchemaError) as refusal:
            attempt()
    assert path.read_bytes() == before
    return str(refusal.value)


def test_a_file_of_something_else_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"#!/bin/sh\n" * 1000)
    assert "expected an SQLite database" in refusal_of(path)


def test_a_database_of_another_application_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE customer(name TEXT)")
    assert "got a database of another application" in refusal_of(path)


def test_a_database_with_another_application_id_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 77")
    assert "got a database of another application" in refusal_of(path)


def test_a_newer_schema_is_refused_naming_both_versions(store: Store, path: Path) -> None:
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 41}")
        connection.execute("PRAGMA journal_mode = DELETE")
    words = refusal_of(path)
    assert str(VERSION + 41) in words
    assert f"knows {VERSION}" in words


def test_the_file_says_whose_it_is(store: Store, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store.migrate() == store.health().schema == VERSION


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="nowhere"):
        open_store(f"sqlite:///{tmp_path}/nowhere/jobs.db")


def come(path: str, start: Barrier, migrates: bool) -> None:
    store = SqliteStore(f"sqlite:///{path}")
    start.wait()
    if migrates:
        assert store.migrate() == VERSION
    store.open()
    store.insert([new()])
    store.close()


def test_twenty_processes_can_make_a_new_file_at_once(path: Path) -> None:
    clean = multiprocessing.get_context("forkserver")
    start = clean.Barrier(20)
    processes = [clean.Process(target=come, args=(str(path), start, n % 2 == 0)) for n in range(20)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 20
    store = open_store(f"sqlite:///{path}")
    assert store.counts()["default"][State.PENDING] == 20
    assert store.check() == []
    store.close()


def test_an_older_schema_is_brought_up_to_date_by_whoever_opens_it_first(
    store: Store, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.insert([new()])
    newer = tmp_path / "0002_more.sql"
    newer.write_text("CREATE TABLE more(n INTEGER);\nINSERT INTO more VALUES(1);\n")
    monkeypatch.setattr(migrate, "MIGRATIONS", [*migrate.MIGRATIONS, (VERSION + 1, newer)])
    monkeypatch.setattr(migrate, "VERSION", VERSION + 1)
    start = threading.Barrier(8)

    def open_and_use() -> None:
        other = SqliteStore(f"sqlite:///{path}")
        start.wait()
        other.open()
        other.insert([new()])
        other.close()

    threads = [threading.Thread(target=open_and_use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.insert([new()])
    assert store.counts()["default"][State.PENDING] == 10
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION + 1,)
        assert connection.execute("SELECT n FROM more").fetchall() == [(1,)]
    assert store.check() == []


def test_a_table_that_other_software_dropped_is_named_and_nothing_is_written(path: Path) -> None:
    store = open_store(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE ready")
    with pytest.raises(SchemaError, match="no such table: ready"):
        store.insert([new()])
    store.close()
