"""What tests arrange and look at, by the store's verbs alone, at a time they own."""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from mainspring.durations import HOUR, MINUTE, SECOND, Duration, microseconds
from mainspring.ids import new_id, new_token
from mainspring.job import (
    Claimed,
    Failed,
    Inserted,
    JobError,
    Lost,
    NewJob,
    Now,
    Outcome,
    Policy,
    Record,
    Select,
    State,
    Succeeded,
    Transition,
)
from mainspring.lifecycle import decide
from mainspring.retry import Backoff
from mainspring.store import Claim, Exchanged, Grant, Note, Presence, Pulse, Store

LEASE = 15 * SECOND

OOPS = JobError(
    attempt=1, type="ValueError", message="no", traceback="Traceback …", worker="w1", at=77
)


def retries(most: int, wait: int = SECOND) -> Policy:
    """A policy of so many retries, each after the same wait."""
    return Policy(Backoff(most, kind="fixed", base=wait, max_delay=HOUR, jitter=False))


def new(**options: Any) -> NewJob[Any]:
    """A job; what is not named is plain."""
    return NewJob(**{"id": new_id(), "task": "send", "payload": b"{}", **options})


class Time:
    """Both clocks of a store. They stand still until the test moves them."""

    def __init__(self) -> None:
        self.wall = 1_900_000_000 * SECOND
        self.lease = 5_000 * SECOND

    @property
    def now(self) -> Now:
        return Now(self.wall, self.lease)

    def passes(self, duration: Duration) -> None:
        self.wall += microseconds(duration)
        self.lease += microseconds(duration)


class Stage:
    """A store, a clock and the hands of everybody who uses the store."""

    def __init__(self, store: Store, time: Time) -> None:
        self.store = store
        self.time = time
        self.leases: dict[bytes, Claimed] = {}
        """Each job as it was last claimed here."""

    @property
    def now(self) -> Now:
        return self.time.now

    def passes(self, duration: Duration) -> None:
        self.time.passes(duration)

    # --- produce --------------------------------------------------------------------------------

    def insert(self, *jobs: NewJob[Any]) -> list[Inserted]:
        return self.store.insert(jobs, now=self.now)

    def put(self, **options: Any) -> NewJob[Any]:
        """One stored job."""
        return self.put_many(1, **options)[0]

    def put_many(self, count: int, **options: Any) -> list[NewJob[Any]]:
        jobs = [new(**options) for _ in range(count)]
        self.insert(*jobs)
        return jobs

    # --- work -----------------------------------------------------------------------------------

    def wish(
        self,
        limit: int = 100,
        *,
        slots: int | None = None,
        token: int | None = None,
        worker: str = "w1",
        lease: int = LEASE,
        **options: Any,
    ) -> Claim:
        grant = Grant(token=new_token() if token is None else token, worker=worker, lease=lease)
        return Claim(grant=grant, limit=limit, slots=limit if slots is None else slots, **options)

    def look(self, limit: int = 100, **options: Any) -> Exchanged:
        """The whole answer to a claim."""
        answer = self.store.exchange([], self.wish(limit, **options), now=self.now)
        self.leases.update((job.id, job) for job in answer.jobs)
        return answer

    def claim(self, limit: int = 100, **options: Any) -> list[Claimed]:
        return self.look(limit, **options).jobs

    def take(self, **options: Any) -> Claimed:
        """The one job that can be claimed."""
        (job,) = self.claim(**options)
        return job

    def settle(self, *transitions: Transition) -> Exchanged:
        return self.store.exchange(transitions, now=self.now)

    def end(self, job: Claimed, outcome: Outcome) -> Exchanged:
        """Settle what this outcome means for the job."""
        return self.settle(decide(job, outcome))

    def complete(self, jobs: Iterable[Claimed]) -> None:
        answer = self.settle(*(decide(job, Succeeded()) for job in jobs))
        assert answer.lost == ()

    def fail(self, job: Claimed) -> None:
        """Fail it for good."""
        answer = self.end(job, Failed(OOPS, permanent=True))
        assert answer.lost == ()

    def heartbeat(
        self,
        *tokens: int,
        worker: str = "w1",
        lease: int = LEASE,
        notes: Sequence[Note] = (),
        **presence: Any,
    ) -> Pulse:
        told = Presence(
            **{
                "id": worker,
                "host": "here",
                "pid": 1,
                "started": self.time.wall,
                "state": "running",
                **presence,
            }
        )
        return self.store.heartbeat(told, tokens, lease, notes, now=self.now)

    def reclaim(self, limit: int = 100, worker: str = "w2", lease: int = LEASE) -> list[Claimed]:
        grant = Grant(token=new_token(), worker=worker, lease=lease)
        return self.store.reclaim(grant, limit, now=self.now)

    def lose_all(self) -> None:
        """All workers die; another settles what they held."""
        self.passes("16s")
        for taken in self.reclaim():
            self.end(taken, Lost(OOPS))

    def tidy(self) -> None:
        """Upkeep, until nothing is left to do."""
        for _ in range(100):
            if self.store.upkeep(1000, now=self.now) < 1000:
                return
        raise AssertionError("upkeep finds something to do for ever")

    # --- bring a job into a state ---------------------------------------------------------------

    def bring(self, state: State, **options: Any) -> NewJob[Any]:
        """A job that has come to this state the plain way, alone in a queue of its own."""
        queue = f"{state}-{next(_queues)}"
        parent = new(queue=queue, delay=HOUR)
        match state:
            case State.SCHEDULED:
                return self.put(queue=queue, delay=MINUTE, **options)
            case State.BLOCKED:
                job = new(queue=queue, **options).after(parent)
                self.insert(parent, job)
                return job
        job = self.put(queue=queue, policy=retries(1), **options)
        if state is State.CANCELLED:
            self.store.cancel(Select(ids=(job.id,)), now=self.now)
        elif state is not State.PENDING:
            held = self.take(queues=(queue,))
            if state is State.COMPLETED:
                self.end(held, Succeeded())
            elif state is not State.RUNNING:
                self.end(held, Failed(OOPS, permanent=state is State.FAILED))
        return job

    # --- look -----------------------------------------------------------------------------------

    def record(self, job: NewJob[Any]) -> Record:
        (record,) = self.store.get([job.id])
        assert record is not None
        return record

    def state(self, job: NewJob[Any]) -> State:
        return self.record(job).state

    def states(self, *jobs: NewJob[Any]) -> list[State]:
        return [self.state(job) for job in jobs]

    def gone(self, job: NewJob[Any]) -> bool:
        return self.store.get([job.id]) == [None]

    def count(self, state: State, queue: str = "default") -> int:
        return self.store.counts().get(queue, {}).get(state, 0)


_queues = itertools.count()


def ids(jobs: Iterable[Claimed | NewJob[Any] | Record]) -> list[bytes]:
    return [job.id for job in jobs]


def lease(job: Claimed) -> tuple[int, int]:
    return job.number, job.token


def everything(store: Store) -> list[Record]:
    """All jobs there are, newest first, page by page."""
    found: list[Record] = []
    while page := store.find(Select(), limit=1000, after=found[-1].number if found else None):
        found += page
    return found


def assert_sound(store: Store) -> None:
    """No invariant is broken, and the counts are those one gets by counting."""
    assert store.check() == []
    counted = Counter((record.queue, record.state) for record in everything(store))
    told = {
        (queue, state): count
        for queue, states in store.counts().items()
        for state, count in states.items()
        if count
    }
    assert told == counted
