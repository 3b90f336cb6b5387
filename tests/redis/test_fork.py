"""Forks: a child has connections of its own, hears for itself, and counts only what it did."""

import os
from collections.abc import Callable

import pytest

from mainspring.job import State
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


def test_a_child_hears_of_commits_although_its_parent_listened(store: Store) -> None:
    listening = store.listen()

    def listen() -> None:
        signal = store.listen()
        while signal.wait(0.05):
            pass
        store.insert([new()])
        assert signal.wait(10)

    assert in_child(listen) == 0
    assert listening.wait(10)
    listening.close()
