"""A store that was open at a fork: both sides use it, each on connections of its own."""

import multiprocessing
from typing import Any

from mainspring.job import State
from mainspring.store import Store
from tests.contract.stage import new


def child_process(store: Store, answers: Any) -> None:
    store.insert([new(queue="child")])
    answers.put(store.counts()["parent"][State.PENDING])


def test_parent_and_child_both_go_on(store: Store) -> None:
    heard = store.listen()
    store.insert([new(queue="parent")])
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    for n in range(1, 4):
        process = fork.Process(target=child_process, args=(store, answers))
        process.start()
        assert answers.get() == n
        process.join()
        assert process.exitcode == 0
        store.insert([new(queue="parent")])
        assert store.counts()["child"][State.PENDING] == n
    answers.close()
    heard.close()
