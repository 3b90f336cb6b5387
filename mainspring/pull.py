"""Queue: messages published and consumed by hand. A message is a job, to consume is to claim it."""

import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypedDict, TypeVar, Unpack
from uuid import UUID

from msgspec.structs import replace

from mainspring import codec
from mainspring.durations import SECOND, Duration, microseconds
from mainspring.errors import InvalidArguments, LeaseLost
from mainspring.handle import Home, Job
from mainspring.ids import new_ids, new_token
from mainspring.job import MESSAGE, Claimed, Failed, NewJob, Reason, State, Transition
from mainspring.leases import Leases
from mainspring.lifecycle import decide
from mainspring.message import Message, error_of, parsed, positive, settle
from mainspring.options import OnDuplicate, apply, given_id, text, texts
from mainspring.results import POLL
from mainspring.retry import Retry
from mainspring.store import Claim, Grant
from mainspring.twins import in_thread

if TYPE_CHECKING:
    from asyncio import Future

T = TypeVar("T")

LEASE = 30 * SECOND
MOST = 1000
"""Messages in one call of `consume_many`."""

FOREVER = "52w"


class Pulls(Home, Protocol):
    """What a queue needs of its app."""

    @property
    def leases(self) -> Leases: ...

    @property
    def max_result(self) -> int: ...

    def put(self, jobs: Sequence[NewJob[Any]], *, tx: Any = None) -> list[Job[Any]]:
        """Store the jobs in one transaction."""
        ...

    async def aput(self, jobs: Sequence[NewJob[Any]], *, tx: Any = None) -> list[Job[Any]]:
        """The async twin of `put`."""
        ...


class PublishOptions(TypedDict, total=False):
    """Options of a message; as those of a job. `task` says what kind of message it is."""

    task: str
    priority: int
    headers: Mapping[str, str]
    delay: Duration
    run_at: datetime
    expires: Duration
    key: str
    unique: str
    unique_for: Duration
    on_duplicate: OnDuplicate
    retry: Retry
    max_retries: int
    tags: Sequence[str]
    label: str
    id: UUID
    tx: Any


class Published:
    """A message that was stored."""

    __slots__ = ("_job",)

    def __init__(self, job: Job[Any]) -> None:
        self._job = job

    @property
    def id(self) -> UUID:
        """The job's id."""
        return self._job.id

    @property
    def number(self) -> int:
        """The job's number, for people."""
        return self._job.number

    @property
    def position(self) -> int | None:
        """Its place in the queue now, from 1; None unless it is pending. Asks the store."""
        return self._job.position()


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
        jobs, tx = self._jobs([body], options)
        return Published(self._home.put(jobs, tx=tx)[0])

    async def apublish(self, body: T, **options: Unpack[PublishOptions]) -> Published:
        """The async twin of `publish`; concurrent calls share a transaction."""
        jobs, tx = self._jobs([body], options)
        return Published((await self._home.aput(jobs, tx=tx))[0])

    def publish_many(
        self, bodies: Iterable[T], **options: Unpack[PublishOptions]
    ) -> list[Published]:
        """Store all messages or none, in one transaction, with the same options."""
        jobs, tx = self._jobs(bodies, options)
        return [Published(job) for job in self._home.put(jobs, tx=tx)]

    async def apublish_many(
        self, bodies: Iterable[T], **options: Unpack[PublishOptions]
    ) -> list[Published]:
        """The async twin of `publish_many`."""
        jobs, tx = self._jobs(bodies, options)
        return [Published(job) for job in await self._home.aput(jobs, tx=tx)]

    def consume(
        self,
        *,
        wait: Duration = 0,
        lease: Duration | None = None,
        consumer: str = "",
        types: Sequence[str] = (),
    ) -> Message[T] | None:
        """Take the next message, waiting up to `wait` for one; None if there is none.

        It is this program's for `lease` (30 s). `types` are the kinds to take, all by default.
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
        wish = self._wish(limit, lease, consumer, types)
        end = _end(wait)
        found = wish.claim()
        if found or time.monotonic() >= end:
            return found
        signal = self._home.store.listen()
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
        wish = self._wish(limit, lease, consumer, types)
        end = _end(wait)
        found = await wish.aclaim()
        if found or time.monotonic() >= end:
            return found
        with self._home.waiter.bell() as bell:
            while not (found := await wish.aclaim()) and (left := end - time.monotonic()) > 0:
                await bell.rung(min(left, wish.patience()))
        return found

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
                _release(taken)

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
        """Acknowledge the message of this receipt, from whatever process.

        `LeaseLost`; `ResultTooLarge`, and the message is still held.
        """
        number, token = parsed(receipt)
        encoded = codec.encode_result(result, f"result of {receipt}", self._home.max_result)
        # A success is decided by no policy, so the receipt says all, and a repeat is answered.
        settle(self._home.store, Transition(number, token, State.COMPLETED, result=encoded))

    def nack(
        self, receipt: str, error: str | BaseException = "", *, delay: Duration | None = None
    ) -> State:
        """Give back the message of this receipt as failed; where it went. `LeaseLost`."""
        number, token = parsed(receipt)
        after = None if delay is None else microseconds(delay, "delay")
        job = next((each for each in self._home.store.held([token]) if each.number == number), None)
        if job is None:
            raise LeaseLost(f"job #{number} is no longer held: its lease ended, or it was settled")
        outcome = Failed(error_of(job, error, self._home.leases.consumer), delay=after)
        return settle(self._home.store, decide(job, outcome))

    aack = in_thread(ack)
    anack = in_thread(nack)

    def __iter__(self) -> Iterator[Message[T]]:
        return self.messages()

    def __aiter__(self) -> AsyncIterator[Message[T]]:
        return self.amessages()

    def __repr__(self) -> str:
        return f"<queue {self.name}>"

    def _wish(
        self, limit: int, lease: Duration | None, consumer: str, types: Sequence[str]
    ) -> "_Wish[T]":
        return _Wish(self._home, self.name, self._shape, limit, lease, consumer, types)

    def _jobs(
        self, bodies: Iterable[T], options: Mapping[str, Any]
    ) -> tuple[list[NewJob[Any]], Any]:
        """The jobs that messages with these bodies are, and the connection to store them by."""
        if unknown := [name for name in options if name not in PublishOptions.__annotations__]:
            known = ", ".join(PublishOptions.__annotations__)
            raise InvalidArguments(f"unknown option {unknown[0]!r}; expected one of {known}")
        rest = {name: options[name] for name in options if name not in ("task", "tx")}
        task = text(options.get("task", MESSAGE), "task")
        template = apply(rest, NewJob(id=b"", task=task, payload=b"", queue=self.name))
        payloads = [codec.encode(body, f"queue {self.name!r}") for body in bodies]
        for payload in payloads:
            self._shape.decode(payload, f"queue {self.name!r}")
        ids = new_ids(len(payloads))
        if given := given_id(rest):
            if len(ids) != 1:
                raise InvalidArguments(f"id: expected one message, got {len(ids)}")
            ids = [given]
        pairs = zip(ids, payloads, strict=True)
        jobs = [replace(template, id=id, payload=payload) for id, payload in pairs]
        return jobs, options.get("tx")


class _Wish(Generic[T]):
    """One call for messages, and the claims it takes."""

    def __init__(
        self,
        home: Pulls,
        queue: str,
        shape: codec.Shape,
        limit: int,
        lease: Duration | None,
        consumer: str,
        types: Sequence[str],
    ) -> None:
        if isinstance(limit, bool) or not isinstance(limit, int) or not 0 < limit <= MOST:
            raise InvalidArguments(f"limit: expected 1 to {MOST:,} messages, got {limit!r}")
        self._home = home
        self._queue = queue
        self._shape = shape
        self._limit = limit
        self._lease = LEASE if lease is None else positive(lease, "lease")
        self._consumer = text(consumer, "consumer") if consumer else home.leases.consumer
        self._types = texts(types, "types") or None
        self._next_due: int | None = None

    def claim(self) -> list[Message[T]]:
        """Take what is there. What cannot be read is rejected, since it never will be."""
        self._home.leases.round()
        while True:
            at = time.time_ns() // 1000
            grant = Grant(token=new_token(), worker=self._consumer, lease=self._lease)
            wish = Claim(
                grant=grant,
                limit=self._limit,
                slots=self._limit,
                alone=1,
                queues=(self._queue,),
                tasks=self._types,
            )
            answer = self._home.store.exchange([], wish)
            self._next_due = answer.next_due
            messages = [self._message(job, at) for job in answer.jobs]
            good = [message for message in messages if message is not None]
            if good or not answer.jobs:
                return good

    async def aclaim(self) -> list[Message[T]]:
        """The same on a thread; if the caller is cancelled meanwhile, what was taken goes back."""
        import asyncio

        claiming = asyncio.ensure_future(asyncio.to_thread(self.claim))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            claiming.add_done_callback(_give_back)
            raise

    def patience(self) -> float:
        """Seconds to wait for a hint, before something falls due or it is time to look anyway."""
        if self._next_due is None:
            return POLL
        return min(POLL, max(0.001, self._next_due / SECOND - time.time()))

    def _message(self, job: Claimed, at: int) -> Message[T] | None:
        try:
            body = self._shape.decode(job.payload, f"queue {self._queue!r}")
        except InvalidArguments as error:
            told = error_of(job, error, self._consumer)
            outcome = Failed(told, permanent=True, reason=Reason.REJECTED)
            self._home.store.exchange([decide(job, outcome)])
            return None
        return Message(self._home, job, body, consumer=self._consumer, lease=self._lease, at=at)


def _give_back(claiming: "Future[list[Message[Any]]]") -> None:
    """Release, off the event loop, what nobody waits for any more."""
    if not claiming.cancelled() and claiming.exception() is None and claiming.result():
        loop = claiming.get_loop()
        loop.run_in_executor(None, _release, claiming.result())


def _release(messages: Iterable[Message[Any]]) -> None:
    for message in messages:
        with suppress(LeaseLost):
            message.release()


def _end(wait: Duration) -> float:
    """When the wait is over, on the monotonic clock."""
    return time.monotonic() + microseconds(wait, "wait") / SECOND
