"""Shards fail at random, before they do something or after: every job ends, and is claimed once."""

from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainspring.engines import open_store
from mainspring.engines.shards import shard
from mainspring.engines.shards.store import ShardsStore
from mainspring.errors import PartlyUnavailable, StoreUnavailable
from mainspring.ids import new_token
from mainspring.job import Claimed, NewJob, State, Succeeded, Transition
from mainspring.lifecycle import decide
from mainspring.store import Claim, Grant, Presence
from tests.contract.stage import assert_sound, everything, new
from tests.worker.faulty import FaultyStore

QUEUES = ("default", "mail", "orders", "events", "logs")
VERBS = ("insert", "exchange", "heartbeat", "held", "queues", "get")
LEASE = 3_600_000_000


class Hands:
    """A producer and a worker that repeat what fails, as the library's own do."""

    def __init__(self, random: Random) -> None:
        urls = " ".join(f"{name}=sqlite://:memory:" for name in "abc")
        store = open_store(f"shards://{urls} partitioned=events,logs draining=c")
        assert isinstance(store, ShardsStore)
        self.store = store
        self.random = random
        self.held: dict[int, Claimed] = {}
        self.missed: list[Transition] = []
        self.stored: set[bytes] = set()
        self.faulty: list[FaultyStore] = []
        for each in store._ring.shards:
            each._store = faulty = FaultyStore(each.store())  # type: ignore[assignment]
            self.faulty.append(faulty)

    def break_something(self) -> None:
        store, verb = self.random.choice(self.faulty), self.random.choice(VERBS)
        match self.random.randrange(4):
            case 0:
                store.fail(verb)
            case 1:
                store.commit_and_fail(verb)
            case 2:
                store.go_away(*VERBS)
            case 3:
                store.come_back()

    def produce(self) -> None:
        jobs: list[NewJob[Any]] = []
        for _ in range(self.random.randint(1, 5)):
            job = new(queue=self.random.choice(QUEUES))
            jobs.append(job)
        for _ in range(50):
            try:
                answers = self.store.insert(jobs)
            except StoreUnavailable:
                self.some_come_back()
                continue
            assert [answer.id for answer in answers] == [job.id for job in jobs]
            self.stored.update(job.id for job in jobs)
            return
        raise AssertionError("never stored")

    def work(self) -> None:
        """One round of a ledger."""
        ending = [job for job in self.held.values() if self.random.random() < 0.5]
        ends, self.missed = [decide(job, Succeeded()) for job in ending] + self.missed, []
        grant = Grant(token=new_token(), worker="w", lease=LEASE)
        limit = self.random.choice((1, 3, 100))
        queues = self.random.choice((None, QUEUES, QUEUES[2::-1]))
        claim = Claim(grant=grant, limit=limit, slots=limit, queues=queues)
        for job in ending:
            del self.held[job.number]
        for _ in range(50):
            try:
                answer = self.store.exchange(ends, claim)
            except PartlyUnavailable as error:
                answer, self.missed = error.answer, list(error.missed)
            except StoreUnavailable:
                self.some_come_back()
                continue
            assert answer.lost == ()
            for job in answer.jobs:
                assert job.number not in self.held
                assert job.claims == 1
                self.held[job.number] = job
            return
        raise AssertionError("never answered")

    def beat(self) -> None:
        tokens = {job.token for job in self.held.values()}
        presence = Presence(id="w", host="h", pid=1, started=1, state="running")
        try:
            pulse = self.store.heartbeat(presence, sorted(tokens), LEASE)
        except PartlyUnavailable as error:
            pulse = error.answer
        except StoreUnavailable:
            return
        assert pulse.lost == ()

    def some_come_back(self) -> None:
        self.random.choice(self.faulty).come_back()

    def finish(self) -> None:
        for store in self.faulty:
            store.come_back()
            store._before.clear()
            store._after.clear()
        for _ in range(200):
            if not (self.left() or self.held):
                break
            self.work()
        found = everything(self.store)
        assert {record.id for record in found} == self.stored
        assert {(record.state, record.claims) for record in found} <= {(State.COMPLETED, 1)}
        assert len(found) == len(self.stored)
        assert_sound(self.store)
        self.store.close()

    def left(self) -> int:
        counts = self.store.counts().values()
        return sum(states[State.PENDING] + states[State.RUNNING] for states in counts)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard that failed is asked again at once, so that faults come close together."""
    monkeypatch.setattr(shard, "PAUSE", 0.0)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
@pytest.mark.usefixtures("no_pause")
def test_every_job_ends_and_is_claimed_once_whatever_fails(seed: int) -> None:
    random = Random(seed)
    hands = Hands(random)
    acts = (hands.produce, hands.work, hands.work, hands.beat, hands.break_something)
    for _ in range(60):
        random.choice(acts)()
    hands.finish()
