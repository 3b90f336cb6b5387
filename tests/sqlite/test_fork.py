"""Forks: a child gets connections of its own and does its parent's file no harm."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mainspring.engines import open_store
from mainspring.errors import StoreUnavailable
from mainspring.job import Select, State
from mainspring.store import Store
from tests.contract.stage import new

# These tests fork a process that has threads, which newer Pythons warn of.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def in_child(act: Callable[[], object]) -> int:
    """Do it in a forked child; its exit status, 0 when all went well."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            act()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return status


def test_parent_and_child_both_write_after_a_fork(store: Store) -> None:
    store.insert([new()])
    for _ in range(3):
        assert in_child(lambda: store.insert([new()])) == 0
        store.insert([new()])
    assert store.counts()["default"][State.PENDING] == 7
    assert store.check() == []


def test_a_child_that_ends_the_plain_way_takes_nothing_along(store: Store) -> None:
    store.insert([new()])

    def use_and_close() -> None:
        store.insert([new()])
        store.close()

    assert in_child(use_and_close) == 0
    store.insert([new()])
    assert len(store.find(Select())) == 3
    assert store.check() == []


def test_a_fork_while_other_threads_write_blocks_nobody(store: Store) -> None:
    enough = threading.Event()
    started = threading.Barrier(5)

    def write() -> None:
        started.wait()
        while not enough.is_set():
            store.insert([new()])

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    try:
        statuses = [in_child(lambda: store.insert([new(queue="child")])) for _ in range(10)]
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    assert statuses == [0] * 10
    assert store.counts()["child"][State.PENDING] == 10
    assert store.check() == []


def test_a_child_holds_no_lock_when_its_parent_is_gone(path: Path) -> None:
    ready, done = os.pipe(), os.pipe()

    def parent() -> None:
        store = open_store(f"sqlite:///{path}")
        store.insert([new()])
        if os.fork() == 0:
            os.write(ready[1], b"!")
            os.read(done[0], 1)
            os._exit(0)

    assert in_child(parent) == 0
    os.read(ready[0], 1)
    store = open_store(f"sqlite:///{path}")
    store.insert([new()])
    assert store.counts()["default"][State.PENDING] == 2
    store.close()
    os.write(done[1], b"!")
    for end in (*ready, *done):
        os.close(end)


def test_a_store_in_memory_stays_with_the_process_that_made_it() -> None:
    store = open_store("sqlite://:memory:")
    store.insert([new()])

    def look() -> None:
        with pytest.raises(StoreUnavailable):
            store.counts()

    assert in_child(look) == 0
    assert store.counts()["default"][State.PENDING] == 1
    store.close()
