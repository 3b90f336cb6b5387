"""One outcome that cannot be written does not hold up the others; an outage costs no attempt."""

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from mainspring.engines import open_store
from mainspring.errors import StoreUnavailable
from mainspring.ids import new_ids, new_token
from mainspring.job import Claimed, NewJob, Select, State, Transition
from mainspring.store import Claim, Exchanged, Grant, Note, Presence, Pulse, Store
from mainspring.worker.books.contact import Contact
from mainspring.worker.books.keeper import Keeper
from mainspring.worker.books.ledger import Ledger, Round
from tests.worker.faulty import FaultyStore

SURROGATE = "\ud800"
"""Text that no store can keep."""


class Desk:
    """Waits for the round."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.told: list[str] = []

    def written(self, round: Round, answer: Exchanged) -> None:
        self.done.set()

    def away(self, error: str) -> None:
        self.told.append("away")

    def back(self) -> None:
        self.told.append("back")

    def broken(self, error: BaseException) -> None:
        self.told.append("broken")


@pytest.fixture
def store() -> Iterator[Store]:
    store = open_store("sqlite://:memory:")
    yield store
    assert store.check() == []
    store.close()


def _claimed(store: Store, count: int) -> list[Claimed]:
    store.insert([NewJob(id=id, task="t", payload=b"{}") for id in new_ids(count)])
    grant = Grant(token=new_token(), worker="w", lease=60_000_000)
    return store.exchange([], Claim(grant=grant, limit=count, slots=count)).jobs


def _write(store: Any, ends: list[Transition], notes: list[Note], tell: Any = None) -> None:
    desk = Desk()
    ledger = Ledger(store, Contact(desk), desk.written, tell or (lambda notes: None))
    ledger.submit(Round(ends, notes, None, time.monotonic()))
    assert desk.done.wait(20)
    ledger.close()


def test_an_outcome_that_cannot_be_written_fails_its_own_job_and_no_other(store: Store) -> None:
    jobs = _claimed(store, 3)
    ends = [Transition(job.number, job.token, State.COMPLETED) for job in jobs]
    ends[1] = Transition(jobs[1].number, jobs[1].token, State.CANCELLED, reason=SURROGATE)
    _write(store, ends, [])
    found = store.find(Select())
    assert [job.state for job in found] == [State.COMPLETED, State.FAILED, State.COMPLETED]
    assert found[1].error is not None
    assert "could not be written" in found[1].error.message


def test_an_outcome_that_cannot_even_fail_is_given_up(store: Store) -> None:
    """Whoever looks for jobs that nobody has will find it."""
    good, bad = _claimed(store, 2)
    ends = [Transition(job.number, job.token, State.COMPLETED) for job in (good, bad)]
    _write(Picky(store, bad.number), ends, [])
    assert [job.state for job in store.find(Select())] == [State.RUNNING, State.COMPLETED]


class Picky(FaultyStore):
    """Refuses whatever is about one job."""

    def __init__(self, store: Store, number: int) -> None:
        super().__init__(store)
        self._number = number

    def exchange(self, transitions: Sequence[Transition], claim: Any = None) -> Exchanged:
        if any(each.number == self._number for each in transitions):
            raise ValueError("not this one")
        answer: Exchanged = self._store.exchange(transitions, claim)
        return answer


@pytest.mark.parametrize(
    ("error", "times"),
    [(MemoryError(), 9), (RuntimeError("can't start new thread"), 9), (KeyError(), 2)],
)
def test_an_outcome_refused_for_a_reason_that_passes_is_written(
    store: Store, error: Exception, times: int
) -> None:
    class Short(FaultyStore):
        left = times

        def exchange(self, transitions: Sequence[Transition], claim: Any = None) -> Exchanged:
            self.left -= 1
            if self.left >= 0:
                raise error
            answer: Exchanged = self._store.exchange(transitions, claim)
            return answer

    [job] = _claimed(store, 1)
    end = Transition(job.number, job.token, State.COMPLETED, result=b"42")
    _write(Short(store), [end], [])
    [found] = store.find(Select())
    assert (found.state, found.result) == (State.COMPLETED, b"42")


def test_a_store_that_took_nothing_but_notes_again_is_back(store: Store) -> None:
    tries: list[int] = []

    def tell(notes: Sequence[Note]) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise StoreUnavailable("not now")

    desk = Desk()
    ledger = Ledger(store, Contact(desk), desk.written, tell)
    ledger.submit(Round([], [Note(1, 1, 0, "half way", 50.0)], None, time.monotonic()))
    assert desk.done.wait(20)
    ledger.close()
    assert desk.told == ["away", "back"]


def test_notes_that_cannot_be_written_hold_up_no_outcome(store: Store) -> None:
    [job] = _claimed(store, 1)

    def tell(notes: Sequence[Note]) -> None:
        raise ValueError("not in these words")

    note = Note(job.number, job.token, 0, SURROGATE)
    _write(store, [Transition(job.number, job.token, State.COMPLETED)], [note], tell)
    assert [job.state for job in store.find(Select())] == [State.COMPLETED]


def test_a_grant_whose_answer_was_long_in_coming_is_renewed_at_once(store: Store) -> None:
    """The next beat would come a third of a lease later, and that might be too late."""
    beats: list[Sequence[int]] = []
    beaten = threading.Event()

    class Heart(FaultyStore):
        def heartbeat(self, presence: Presence, tokens: Sequence[int], *rest: Any) -> Pulse:
            beats.append(tokens)
            beaten.set()
            return Pulse()

    me = Presence(id="w", host="h", pid=1, started=0, state="running")
    heart: Any = Heart(store)
    keeper = Keeper(heart, 3600.0, Contact(Desk()), lambda: me, lambda pulse: None)
    keeper.start()
    assert beaten.wait(10)
    beaten.clear()
    keeper.hold(7, 1, asked=time.monotonic() - 1800)
    assert beaten.wait(10)
    assert beats[-1] == [7]
    keeper.close()
    assert beats[-1] == []


def test_a_store_is_lost_when_the_first_misses_it_and_back_when_nobody_does() -> None:
    desk = Desk()
    contact = Contact(desk)
    contact.failed("keeper", OSError("gone"))
    contact.failed("ledger", OSError("gone"))
    contact.answered("keeper")
    assert desk.told == ["away"]
    contact.answered("ledger")
    contact.answered("ledger")
    assert desk.told == ["away", "back"]
