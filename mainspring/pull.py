"""Queue: messages published and consumed by hand. A message is a job, to consume is to claim it."""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar, Unpack

from mainspring import codec
from mainspring.durations import SECOND, Duration, instant, microseconds
from mainspring.errors import LeaseLost
from mainspring.handle import Home, Job
from mainspring.job import (
    Claimed,
    Failed,
    HandedBack,
    NewJob,
    Outcome,
    Snoozed,
    State,
    Transition,
)
from mainspring.leases import Leases
from mainspring.lifecycle import decide
from mainspring.message import Message, error_of, not_held, parsed, positive, rejected, settle
from mainspring.publishing import Published as Published
from mainspring.publishing import PublishOptions, jobs
from mainspring.rules import Rule, Rules
from mainspring.store import News, Traffic
from mainspring.taking import Taking, give_back
from mainspring.twins import in_thread

T = TypeVar("T")

FOREVER = "52w"


class Pulls(Home, Protocol):
    """What a queue needs of its app."""

    @property
    def leases(self) -> Leases: ...

    @property
    def rules(self) -> Rules: ...

    @property
    def max_result(self) -> int: ...

    def put(self, jobs: Sequence[NewJob[Any]], *, tx: Any = None) -> list[Job[Any]]:
        """Store the jobs in one transaction."""
        ...

    async def aput(self, jobs: Sequence[NewJob[Any]], *, tx: Any = None) -> list[Job[Any]]:
        """The async twin of `put`."""
        ...


class Queue(Generic[T]):
    """A queue by its name, of messages whose bodies are `T`. Making one does no I/O.

    Each verb has an async twin with an "a" in front. Keep such queues apart from those a worker
    takes: a worker knows no task for a message and would put it aside.
    """

    def __init__(self, home: Pulls, name: str, body: Any) -> None:
        self.name = name
        self._home = home
        self._shape = codec.Shape(body, f"queue {name!r}")

    def publish(self, body: T, **options: Unpack[PublishOptions]) -> Published:
        """Store a message."""
        jobs, tx = self._jobs([body], options, self._rule())
        return Published(self._home.put(jobs, tx=tx)[0])

    async def apublish(self, body: T, **options: Unpack[PublishOptions]) -> Published:
        """The async twin of `publish`; concurrent calls share a transaction."""
        jobs, tx = self._jobs([body], options, await self._arule())
        return Published((await self._home.aput(jobs, tx=tx))[0])

    def publish_many(
        self, bodies: Iterable[T], **options: Unpack[PublishOptions]
    ) -> list[Published]:
        """Store all messages or none, in one transaction, with the same options."""
        jobs, tx = self._jobs(bodies, options, self._rule())
        return [Published(job) for job in self._home.put(jobs, tx=tx)]

    async def apublish_many(
        self, bodies: Iterable[T], **options: Unpack[PublishOptions]
    ) -> list[Published]:
        """The async twin of `publish_many`."""
        jobs, tx = self._jobs(bodies, options, await self._arule())
        return [Published(job) for job in await self._home.aput(jobs, tx=tx)]

    def message(self, body: T, **options: Unpack[PublishOptions]) -> NewJob[Any]:
        """The job that such a message is: a value, for `app.enqueue_many`."""
        return self._jobs([body], options, self._rule())[0][0]

    async def amessage(self, body: T, **options: Unpack[PublishOptions]) -> NewJob[Any]:
        """The async twin of `message`."""
        return self._jobs([body], options, await self._arule())[0][0]

    def consume(
        self,
        *,
        wait: Duration = 0,
        lease: Duration | None = None,
        consumer: str = "",
        types: Sequence[str] = (),
    ) -> Message[T] | None:
        """Take the next message, waiting up to `wait` for one; None if there is none.

        It is this program's for `lease`, as long as the queue's `ack_deadline` by default (30 s).
        `types` are the kinds to take, all by default.
        """
        found = self.consume_many(1, wait=wait, lease=lease, consumer=consumer, types=types)
        return found[0] if found else None

    async def aconsume(
        self,
        *,
        wait: Duration = 0,
        lease: Duration | None = None,
        consumer: str = "",
        types: Sequence[str] = (),
    ) -> Message[T] | None:
        """The async twin of `consume`. Cancelled, it takes nothing."""
        found = await self.aconsume_many(1, wait=wait, lease=lease, consumer=consumer, types=types)
        return found[0] if found else None

    def consume_many(
        self,
        limit: int,
        *,
        wait: Duration = 0,
        lease: Duration | None = None,
        consumer: str = "",
        types: Sequence[str] = (),
    ) -> list[Message[T]]:
        """Take up to `limit` messages (1 to 1000), waiting until there is at least one."""
        wish = self.taking(limit, lease=lease, consumer=consumer, types=types)
        end = _moment(wait)
        found = wish.claim()
        if found or time.monotonic() >= end:
            return found
        signal = self._home.store.listen(News.WORK)
        try:
            while not (found := wish.claim()) and (left := end - time.monotonic()) > 0:
                signal.wait(min(left, wish.patience()))
            return found
        finally:
            signal.close()

    async def aconsume_many(
        self,
        limit: int,
        *,
        wait: Duration = 0,
        lease: Duration | None = None,
        consumer: str = "",
        types: Sequence[str] = (),
    ) -> list[Message[T]]:
        """The async twin of `consume_many`. Cancelled, it takes nothing."""
        wish = self.taking(limit, lease=lease, consumer=consumer, types=types)
        end = _moment(wait)
        found = await wish.aclaim()
        if found or time.monotonic() >= end:
            return found
        with self._home.waiter.bell(News.WORK) as bell:
            while not (found := await wish.aclaim()) and (left := end - time.monotonic()) > 0:
                await bell.rung(min(left, wish.patience()))
        return found

    def taking(
        self,
        limit: int,
        *,
        lease: Duration | None = None,
        consumer: str = "",
        types: Sequence[str] = (),
    ) -> Taking[T]:
        """A wish for messages, as in `consume_many`, for who waits in a way of his own."""
        return Taking(self._home, self.name, self._shape, limit, lease, consumer, types)

    def stats(self) -> Traffic:
        """What waits in the queue, and what went through it; see `Traffic`."""
        return self._home.store.traffic(self.name)

    def messages(
        self, *, lease: Duration | None = None, prefetch: int = 1, consumer: str = ""
    ) -> Iterator[Message[T]]:
        """Every message, waiting for the next one for ever; `prefetch` are taken at a time."""
        while True:
            taken = self.consume_many(prefetch, wait=FOREVER, lease=lease, consumer=consumer)
            try:
                while taken:
                    yield taken.pop(0)
            finally:
                give_back(taken)

    async def amessages(
        self, *, lease: Duration | None = None, prefetch: int = 1, consumer: str = ""
    ) -> AsyncIterator[Message[T]]:
        """The async twin of `messages`."""
        while True:
            taken = await self.aconsume_many(prefetch, wait=FOREVER, lease=lease, consumer=consumer)
            try:
                while taken:
                    yield taken.pop(0)
            finally:
                for message in taken:
                    with suppress(LeaseLost):
                        await message.arelease()

    def ack(self, receipt: str, result: object = None) -> None:
        """Acknowledge the message of this receipt, of this queue, from whatever process.

        `LeaseLost`; `ResultTooLarge`, and the message is still held.
        """
        number, token = parsed(self.name, receipt)
        encoded = codec.encode_result(result, f"result of {receipt}", self._home.max_result)
        # A success is decided by no policy, so the receipt says all, and a repeat is answered.
        settle(self._home.store, Transition(number, token, State.COMPLETED, result=encoded))

    def nack(
        self, receipt: str, error: str | BaseException = "", *, delay: Duration | None = None
    ) -> State:
        """Give back the message of this receipt as failed; where it went. `LeaseLost`."""
        after = None if delay is None else microseconds(delay, "delay")
        return self._end(
            receipt, lambda job: Failed(error_of(job, error, self._consumer), delay=after)
        )

    def reject(self, receipt: str, reason: str = "") -> State:
        """Fail the message of this receipt for good. `LeaseLost`."""
        return self._end(receipt, lambda job: rejected(job, reason, self._consumer))

    def release(self, receipt: str, *, delay: Duration | None = None) -> State:
        """Give the message of this receipt back as if it had not been taken. `LeaseLost`."""
        given = HandedBack() if delay is None else Snoozed(microseconds(delay, "delay"))
        return self._end(receipt, lambda job: given)

    def extend(self, receipt: str, lease: Duration) -> datetime:
        """Have the message of this receipt held for `lease` from now, with all that were taken in
        the same call; the new deadline. `LeaseLost`."""
        span = positive(lease, "lease")
        job = self._held(receipt)
        self._home.leases.renew(job.token, span)
        return instant(time.time_ns() // 1000 + span)

    astats = in_thread(stats)
    aack = in_thread(ack)
    anack = in_thread(nack)
    areject = in_thread(reject)
    arelease = in_thread(release)
    aextend = in_thread(extend)

    def __iter__(self) -> Iterator[Message[T]]:
        return self.messages()

    def __aiter__(self) -> AsyncIterator[Message[T]]:
        return self.amessages()

    def __repr__(self) -> str:
        return f"<queue {self.name}>"

    @property
    def _consumer(self) -> str:
        return self._home.leases.consumer

    def _held(self, receipt: str) -> Claimed:
        """The message of this receipt, which must be held, and of this queue."""
        number, token = parsed(self.name, receipt)
        for job in self._home.store.held([token]):
            if job.number == number and job.queue == self.name:
                return job
        raise not_held(number)

    def _end(self, receipt: str, outcome: Callable[[Claimed], Outcome]) -> State:
        job = self._held(receipt)
        return settle(self._home.store, decide(job, outcome(job)))

    def _rule(self) -> Rule:
        return self._home.rules.of(self.name)

    async def _arule(self) -> Rule:
        return await self._home.rules.aof(self.name)

    def _jobs(
        self, bodies: Iterable[T], options: Mapping[str, Any], rule: Rule
    ) -> tuple[list[NewJob[Any]], Any]:
        """The jobs that messages with these bodies are, and the connection to store them by."""
        made = jobs(self.name, self._shape, bodies, options, rule.policy)
        return made, options.get("tx")


def _moment(wait: Duration) -> float:
    """When the wait is over, on the monotonic clock."""
    return time.monotonic() + microseconds(wait, "wait") / SECOND
