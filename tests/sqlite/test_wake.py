"""Waking: by another process, by another program's commit, and where files cannot be watched."""

import multiprocessing
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from mainspring.engines import open_store
from mainspring.engines.sqlite.wake import Poll, Watch
from mainspring.store import News, Signal, Store
from tests.contract.stage import new

LONG = 20.0


def quiet(signal: Signal) -> None:
    while signal.wait(0.05):
        pass


def insert_one(path: str) -> None:
    store = open_store(f"sqlite:///{path}")
    store.insert([new()])
    store.close()


def test_an_insert_by_another_process_wakes(store: Store, path: Path) -> None:
    signal = store.listen()
    quiet(signal)
    process = multiprocessing.get_context("spawn").Process(target=insert_one, args=(str(path),))
    process.start()
    assert signal.wait(LONG)
    process.join()
    signal.close()


def test_an_insert_within_a_callers_transaction_wakes_when_it_is_committed(
    store: Store, path: Path
) -> None:
    signal = store.listen()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        store.insert([new()], connection=connection)
        quiet(signal)
        connection.execute("COMMIT")
        assert signal.wait(LONG)
    signal.close()


def test_a_callers_commit_wakes_also_after_the_log_was_removed_and_made_again(
    store: Store, path: Path
) -> None:
    signal = store.listen()
    child = os.fork()  # before a fork the engine closes the file, and with it goes the log
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    store.insert([new()])
    quiet(signal)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        store.insert([new()], connection=connection)
        quiet(signal)
        connection.execute("COMMIT")
        assert signal.wait(LONG)
    signal.close()


@pytest.mark.parametrize("by", ["mainspring", "a caller"])
def test_files_that_cannot_be_watched_are_looked_at(store: Store, path: Path, by: str) -> None:
    store.insert([new()])
    signal = Poll(str(path), News.WORK)
    assert not signal.wait(0.01)
    if by == "mainspring":
        store.insert([new()])
    else:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            store.insert([new()], connection=connection)
            connection.execute("COMMIT")
    assert signal.wait(LONG)
    assert not signal.wait(0.01)
    waiting = threading.Thread(target=lambda: signal.wait(LONG))
    waiting.start()
    signal.wake()
    waiting.join(LONG)
    assert not waiting.is_alive()
    signal.close()


def test_where_nothing_more_can_be_watched_nothing_stays_open(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watch, "_watched", lambda *_: -1)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="inotify"):
        Watch(str(path), News.WORK)
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_file_is_watched_where_that_can_be_done(store: Store) -> None:
    signal = store.listen()
    assert isinstance(signal, Watch)
    signal.close()


def test_a_full_wake_file_system_harms_no_commit(store: Store, path: Path) -> None:
    path.with_name("jobs.db-wake").mkdir()
    (answer,) = store.insert([new()])
    assert not answer.repeated
