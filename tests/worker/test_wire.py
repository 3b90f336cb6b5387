"""What parent and child say to each other, and how much the parent asks for."""

import socket
import threading
from collections.abc import Iterator

import pytest

from mainspring.job import Claimed, Policy, State, Transition, encode_policy
from mainspring.store import Note
from mainspring.worker.child.backlog import Backlog, fed
from mainspring.worker.crew.station import Station
from mainspring.worker.link.wire import (
    BUFFER,
    ChildWire,
    Drop,
    Feed,
    Hello,
    Order,
    ParentWire,
    Quit,
    Recall,
    Report,
    Setup,
    Stop,
    Unable,
    Worn,
)


def job(number: int, token: int = 7, payload: bytes = b"{}") -> Claimed:
    policy = encode_policy(Policy())
    return Claimed(number, token, bytes(16), "default", "add", payload, 1, 1, 0, 1, 1, policy)


@pytest.fixture
def line() -> Iterator[tuple[ParentWire, ChildWire]]:
    ours, theirs = socket.socketpair()
    parent, child = ParentWire(ours), ChildWire(theirs)
    yield parent, child
    parent.close()
    child.close()


@pytest.mark.parametrize(
    "order",
    [
        Setup(1, "a:b", ["/x"], "w", 8, 1000, 15_000_000),
        Feed([job(1), job(2, -(2**63))], [0, 1], 2),
        Recall(),
        Recall([1, 2**62]),
        Stop([3]),
        Drop([-5]),
        Quit(),
    ],
)
def test_orders_arrive_as_they_were_sent(line: tuple[ParentWire, ChildWire], order: Order) -> None:
    parent, child = line
    parent.send(order)
    assert child.receive() == order


@pytest.mark.parametrize(
    "news",
    [
        Hello({"add": "thread"}, {"thread": 8}, "sqlite://:memory:"),
        Unable("ImportError: no", "Traceback"),
        Report(
            [Transition(1, 2, State.COMPLETED, result=b"\x00\xff")],
            notes=[Note(1, 2, 3, "text", 50.0), Note(1, 2, 3, "line")],
            settled=[4],
            returned=[5],
            stale=True,
            waited={"thread": 6},
        ),
        Worn("too many"),
    ],
)
def test_news_arrive_as_they_were_sent(
    line: tuple[ParentWire, ChildWire], news: Hello | Unable | Report | Worn
) -> None:
    parent, child = line
    child.send(news)
    assert parent.receive() == news


def test_the_parent_never_waits_for_a_child_that_does_not_read(
    line: tuple[ParentWire, ChildWire],
) -> None:
    parent, child = line
    sent = [Feed([job(n, payload=bytes(BUFFER))], [n]) for n in range(20)]
    for feed in sent:
        parent.send(feed)
    assert [child.receive() for _ in sent] == sent
    parent.send(Quit())
    assert child.receive() == Quit()


def test_the_end_of_the_line_is_no_message(line: tuple[ParentWire, ChildWire]) -> None:
    parent, child = line
    child.close()
    parent.send(Quit())
    assert list(parent) == []
    assert parent.ended


# --- books ---------------------------------------------------------------------------------------


class Nowhere:
    """A place that only remembers what it was told."""

    def __init__(self) -> None:
        self.orders: list[Order] = []

    def send(self, order: Order) -> None:
        self.orders.append(order)


def station(spots: int = 10) -> Station:
    books = Station(Nowhere(), bytearray(spots), spots)
    books.welcome({"thread": 2})
    return books


def test_a_report_of_another_claim_strikes_nothing_off() -> None:
    books = station()
    books.feed([job(1, token=7)], "thread")
    ended = books.take(Report([Transition(1, 8, State.COMPLETED), Transition(2, 7, State.FAILED)]))
    assert ended.transitions == []
    assert list(books.held) == [1]
    good = Transition(1, 7, State.COMPLETED, took=5)
    assert books.take(Report([good])).transitions == [good]
    assert books.load == {"thread": 0}


def test_spots_are_used_again_and_never_twice_at_once() -> None:
    books = station(spots=3)
    assert books.feed([job(n) for n in range(5)], "thread") == [job(3), job(4)]
    assert len({spot for _, spot, _ in books.held.values()}) == 3
    books.strike([1])
    assert books.feed([job(5)], "thread") == []
    assert len({spot for _, spot, _ in books.held.values()}) == 3


def test_what_had_begun_is_known_after_a_death() -> None:
    marks = bytearray(4)
    books = Station(Nowhere(), marks, 4)
    books.welcome({"thread": 2})
    books.feed([job(1), job(2)], "thread")
    marks[books.held[2][1]] = 1
    assert books.strike_all() == ([job(2)], [job(1)])
    assert books.held == {}


def test_every_waiting_job_is_either_begun_or_given_back() -> None:
    """However many threads take from a backlog while it is recalled."""
    backlog = Backlog()
    backlog.extend(fed([job(n) for n in range(20_000)], range(20_000), now=1))
    begun: list[int] = []

    def take() -> None:
        while True:
            try:
                entry = backlog.popleft()
            except IndexError:
                return
            begun.append(entry[0].number)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    recalled = [each.number for each in backlog.recall(set(range(0, 20_000, 2)))]
    recalled += [each.number for each in backlog.recall(None)]
    for thread in threads:
        thread.join()
    assert sorted(begun + recalled) == list(range(20_000))


def test_only_what_waited_too_long_is_stale() -> None:
    backlog = Backlog(fed([job(1), job(2)], [0, 1], now=10) + fed([job(3)], [2], now=20))
    assert backlog.stale(before=15) == [job(1), job(2)]
    assert [entry[0] for entry in backlog] == [job(3)]
