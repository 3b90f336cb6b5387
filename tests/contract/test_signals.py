"""Signals: what was committed after one was taken wakes it, wherever it was committed. Other news
do not."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from queue import SimpleQueue
from typing import Any

import pytest

from mainspring.ids import new_token
from mainspring.job import Select, Succeeded
from mainspring.lifecycle import decide
from mainspring.posts import NewPost
from mainspring.store import Claim, Grant, News, Signal, Store
from tests.contract.stage import new

LONG = 20.0
"""Seconds nobody waits in vain: a signal that is not given fails the test after them."""


@pytest.fixture
def signal(store: Store) -> Iterator[Signal]:
    signal = store.listen()
    yield signal
    signal.close()


def quiet(signal: Signal) -> None:
    """Take in hints that came for nothing, such as those of an `open`."""
    while signal.wait(0.05):
        pass


def claim(store: Store) -> Any:
    grant = Grant(token=new_token(), worker="w", lease=60_000_000)
    return store.exchange([], Claim(grant=grant, limit=1, slots=1)).jobs[0]


def test_an_insert_after_the_signal_was_taken_is_not_missed(other: Store, signal: Signal) -> None:
    quiet(signal)
    other.insert([new()])
    assert signal.wait(LONG)


def test_an_end_is_not_missed(other: Store, signal: Signal) -> None:
    other.insert([new()])
    held = claim(other)
    quiet(signal)
    other.exchange([decide(held, Succeeded())])
    assert signal.wait(LONG)


@pytest.mark.parametrize("verb", ["cancel", "replay"])
def test_what_operators_do_is_not_missed(other: Store, signal: Signal, verb: str) -> None:
    job = new()
    other.insert([job])
    if verb == "replay":
        other.cancel(Select(ids=(job.id,)))
    quiet(signal)
    getattr(other, verb)(Select(ids=(job.id,)))
    assert signal.wait(LONG)


def test_who_waits_already_is_woken(other: Store, signal: Signal) -> None:
    quiet(signal)
    woken: list[News] = []
    waiting = threading.Thread(target=lambda: woken.append(signal.wait(LONG)))
    waiting.start()
    other.insert([new()])
    waiting.join(LONG)
    assert woken == [News.WORK]


def happen(store: Store, news: News, held: Any) -> None:
    """Do what makes such news, and no other."""
    if news is News.WORK:
        store.insert([new()])
    elif news is News.ENDS:
        store.exchange([decide(held, Succeeded())])
    else:
        store.post([NewPost("t", b"1")])


def test_who_waits_for_one_kind_of_news_is_not_woken_by_another(store: Store, other: Store) -> None:
    other.insert([new(), new()])
    signals = {news: store.listen(news) for news in News}
    for order in (list(News), list(News)[::-1]):
        held = claim(other)
        for signal in signals.values():
            quiet(signal)
        woken: SimpleQueue[News] = SimpleQueue()
        for signal in signals.values():
            waiting = threading.Thread(
                target=lambda signal, to: to.put(signal.wait(LONG)), args=(signal, woken)
            )
            waiting.start()
        for news in order:
            happen(other, news, held)
            assert woken.get(timeout=2 * LONG) == news
    for signal in signals.values():
        signal.close()


def test_who_waits_may_come_to_wait_for_more(store: Store, other: Store) -> None:
    signal = store.listen(News.WORK)
    signal.add(News.POSTS)
    quiet(signal)
    other.post([NewPost("t", b"1")])
    assert signal.wait(LONG) == News.POSTS
    other.insert([new()])
    assert signal.wait(LONG) == News.WORK
    signal.close()


def test_an_insert_in_a_callers_transaction_is_heard_of_however_much_is_posted(
    store: Store, caller: Callable[[], AbstractContextManager[Any]]
) -> None:
    for _ in range(2):
        store.post([NewPost("t", b"1")])
        signal = store.listen(News.WORK)
        quiet(signal)
        with caller() as connection:
            store.insert([new()], connection=connection)
            connection.execute("COMMIT")
            store.post([NewPost("t", b"1")])
        assert News.WORK in signal.wait(LONG)
        signal.close()


def test_every_signal_is_woken_by_every_commit(store: Store, other: Store) -> None:
    signals = [store.listen() for _ in range(3)]
    for signal in signals:
        quiet(signal)
    for _ in range(3):
        other.insert([new()])
        assert all([signal.wait(LONG) for signal in signals])
    for signal in signals:
        signal.close()


def timed(wait: Callable[[], object]) -> float:
    start = time.monotonic()
    wait()
    return time.monotonic() - start


@pytest.mark.parametrize("early", [True, False], ids=["before the wait", "during the wait"])
def test_wake_ends_a_wait_from_another_thread(store: Store, early: bool) -> None:
    signal = store.listen()
    quiet(signal)
    waker = threading.Timer(0 if early else 0.05, signal.wake)
    waker.start()
    if early:
        waker.join()
    assert timed(lambda: signal.wait(LONG)) < LONG / 2
    waker.join()
    signal.close()


def test_a_wait_ends_by_itself(store: Store) -> None:
    signal = store.listen()
    assert timed(lambda: quiet(signal)) < LONG / 2
    signal.close()
