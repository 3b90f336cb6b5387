"""Queue: `client.queue`. Messages published, consumed and settled."""

import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict, TypeVar, Unpack, overload
from uuid import UUID

import msgspec
from msgspec import Struct

from mainspring import codec
from mainspring.client import delivery
from mainspring.client.call import Call, body, form, members, once, place, raw, seconds
from mainspring.client.delivery import AsyncMessage, Delivery, Message
from mainspring.client.tasks import Task
from mainspring.client.verbs import Awaiting, Blocking, verb
from mainspring.durations import SECOND, Duration, microseconds
from mainspring.errors import InvalidArguments
from mainspring.options import OnDuplicate, text

T = TypeVar("T")

POLL = 60.0
"""Seconds that one request waits for a message; a longer wait is several."""


class PublishOptions(TypedDict, total=False):
    """Options of a message: `type` says what kind it is; the others are those of a job."""

    type: str
    priority: int
    headers: Mapping[str, str]
    delay: Duration
    run_at: datetime
    expires: Duration
    max_retries: int
    key: str
    unique: str
    unique_for: Duration
    on_duplicate: OnDuplicate
    tags: Sequence[str]
    label: str
    id: UUID


DURATIONS = {"delay", "expires", "unique_for"}


class Wanted(TypedDict, total=False):
    """Which messages are to be taken, all kinds by default, and by whom: what the consumer is
    called where people look."""

    types: Sequence[str]
    consumer: str


class Published(Struct, frozen=True, rename="camel"):
    """A message that was stored, and its place in the queue, from 1; None unless it can be taken
    at once, and of several."""

    message_id: str
    position: int | None = None


class Stats(Struct, frozen=True, rename="camel"):
    """What waits in a queue, is held by consumers, and went through it since its beginning."""

    depth: int
    consumers: int
    published_total: int
    consumed_total: int
    acked_total: int
    dead_lettered_total: int
    dead_letter_count: int
    avg_wait_time_ms: float
    in_flight: int = 0


class _Taken(Struct):
    messages: list[Delivery]


class _Many(Struct):
    messages: list[Published]


class _Told(Struct):
    stats: Stats


class _Letters(Struct):
    tasks: list[Task]
    next: int | None = None


class _Replayed(Struct):
    replayed: int


class _Deleted(Struct):
    deleted: int


_taken, _one, _many, _told = form(_Taken), form(Published), form(_Many), form(_Told)
_letters, _replayed, _deleted = form(_Letters), form(_Replayed), form(_Deleted)


class Verbs:
    """What can be asked of queues."""

    @verb
    def publish(
        self, queue: str, message: Any, **options: Unpack[PublishOptions]
    ) -> Call[Published]:
        """Store a message: any JSON value, or bytes. Sent again after trouble it is stored once.
        `QueueFull`, `PayloadTooLarge`, …"""
        said = msgspec.json.encode(_letter(queue, message, options))
        return Call("POST", _at(queue, "publish"), _one, body=said, headers=once())

    @verb
    def publish_many(
        self, queue: str, messages: Iterable[Any], **options: Unpack[PublishOptions]
    ) -> Call[list[Published]]:
        """Store up to 1000 messages with the same options, all or none."""
        letters = [_letter(queue, message, options) for message in messages]
        return Call(
            "POST",
            _at(queue, "publish"),
            lambda answer: _many(answer).messages,
            body=msgspec.json.encode(letters),
            headers=once(),
        )

    @verb
    def ack(self, queue: str, message_id: str, result: Any = None) -> Call[None]:
        """The message of this id, or of this receipt, is done; `result` is kept. A receipt is good
        for one delivery, an id means whoever holds the message. `LeaseLost`, `UnknownJob`."""
        return delivery.acked(queue, message_id, result)

    @verb
    def nack(
        self,
        queue: str,
        message_id: str,
        requeue: bool = True,
        *,
        delay: Duration | None = None,
        error: str = "",
    ) -> Call[str]:
        """The message of this id or receipt failed: deliver it again after `delay`, or as its
        retries say; with `requeue=False` make a dead letter of it. What became of it: "requeued",
        "dead_lettered" or "cancelled". `LeaseLost`, `UnknownJob`."""
        return delivery.nacked(queue, message_id, requeue, delay, error)

    @verb
    def extend(self, queue: str, message_id: str, ack_deadline: Duration) -> Call[datetime]:
        """Hold the message of this id or receipt for so long from now on; until when.
        `LeaseLost`, `UnknownJob`."""
        return delivery.extended(queue, message_id, ack_deadline)

    @verb
    def release(self, queue: str, message_id: str, *, delay: Duration | None = None) -> Call[None]:
        """Give the message of this id or receipt back as if it had not been taken. `LeaseLost`,
        `UnknownJob`."""
        return delivery.released(queue, message_id, delay)

    @verb
    def stats(self, queue: str) -> Call[Stats]:
        """What waits in the queue, and what went through it."""
        return Call("GET", _at(queue, "stats"), lambda answer: _told(answer).stats)

    @verb
    def replay_dead_letters(self, queue: str, *ids: str) -> Call[int]:
        """Deliver dead letters again, with all attempts: these (up to 1000), or all; how many."""
        where = _at(queue, "dead-letters", "replay")
        said = body(ids=list(ids) or None)
        return Call("POST", where, lambda answer: _replayed(answer).replayed, body=said)

    @verb
    def purge_dead_letters(self, queue: str, *ids: str) -> Call[int]:
        """Remove dead letters: these (up to 1000), or all; how many."""
        where = _at(queue, "dead-letters", "purge")
        said = body(ids=list(ids) or None)
        return Call("POST", where, lambda answer: _deleted(answer).deleted, body=said)


class Queues(Verbs, Blocking):
    """Messages by the name of their queue, which exists from its first use."""

    @overload
    def consume(
        self,
        queue: str,
        timeout: Duration = 0,
        ack_deadline: Duration | None = None,
        **wanted: Unpack[Wanted],
    ) -> Message[Any] | None: ...
    @overload
    def consume(
        self,
        queue: str,
        timeout: Duration = 0,
        ack_deadline: Duration | None = None,
        *,
        type: type[T],
        **wanted: Unpack[Wanted],
    ) -> Message[T] | None: ...

    def consume(
        self,
        queue: str,
        timeout: Duration = 0,
        ack_deadline: Duration | None = None,
        *,
        type: Any = Any,
        **wanted: Unpack[Wanted],
    ) -> Message[Any] | None:
        """Take the next message, waiting up to `timeout` for one; None if there is none.

        It is this program's for `ack_deadline`, or as long as the queue says. With a `type` it is
        read as that; one that is none becomes a dead letter, and the next is taken.
        """
        found = self.consume_many(queue, 1, timeout, ack_deadline, type=type, **wanted)
        return found[0] if found else None

    def consume_many(
        self,
        queue: str,
        max: int,
        timeout: Duration = 0,
        ack_deadline: Duration | None = None,
        *,
        type: Any = Any,
        **wanted: Unpack[Wanted],
    ) -> list[Message[Any]]:
        """Take up to `max` messages (1 to 100), waiting until there is at least one."""
        wish = _Wish(queue, max, timeout, ack_deadline, type, wanted)
        while True:
            found = []
            deliveries = self.do(wish.call())
            for told in deliveries:
                try:
                    found.append(Message(self._line, queue, told, told.read(wish.shape)))
                except InvalidArguments as error:
                    self.do(delivery.nacked(queue, told.receipt, False, None, str(error)))
            if found or (wish.over and not deliveries):
                return found

    def dead_letters(self, queue: str) -> Iterator[Task]:
        """The messages that failed for good, the newest first."""
        page = self.do(_page(queue, None))
        yield from page.tasks
        while page.next is not None:
            page = self.do(_page(queue, page.next))
            yield from page.tasks


class AsyncQueues(Verbs, Awaiting):
    """The async twin of `Queues`."""

    @overload
    async def consume(
        self,
        queue: str,
        timeout: Duration = 0,
        ack_deadline: Duration | None = None,
        **wanted: Unpack[Wanted],
    ) -> AsyncMessage[Any] | None: ...
    @overload
    async def consume(
        self,
        queue: str,
        timeout: Duration = 0,
        ack_deadline: Duration | None = None,
        *,
        type: type[T],
        **wanted: Unpack[Wanted],
    ) -> AsyncMessage[T] | None: ...

    async def consume(
        self,
        queue: str,
        timeout: Duration = 0,
        ack_deadline: Duration | None = None,
        *,
        type: Any = Any,
        **wanted: Unpack[Wanted],
    ) -> AsyncMessage[Any] | None:
        """The async twin of `Queues.consume`. Cancelled while it waits, it takes nothing."""
        found = await self.consume_many(queue, 1, timeout, ack_deadline, type=type, **wanted)
        return found[0] if found else None

    async def consume_many(
        self,
        queue: str,
        max: int,
        timeout: Duration = 0,
        ack_deadline: Duration | None = None,
        *,
        type: Any = Any,
        **wanted: Unpack[Wanted],
    ) -> list[AsyncMessage[Any]]:
        """The async twin of `Queues.consume_many`."""
        wish = _Wish(queue, max, timeout, ack_deadline, type, wanted)
        while True:
            found = []
            deliveries = await self.do(wish.call())
            for told in deliveries:
                try:
                    found.append(AsyncMessage(self._line, queue, told, told.read(wish.shape)))
                except InvalidArguments as error:
                    await self.do(delivery.nacked(queue, told.receipt, False, None, str(error)))
            if found or (wish.over and not deliveries):
                return found

    async def dead_letters(self, queue: str) -> AsyncIterator[Task]:
        """The async twin of `Queues.dead_letters`."""
        page = await self.do(_page(queue, None))
        for task in page.tasks:
            yield task
        while page.next is not None:
            page = await self.do(_page(queue, page.next))
            for task in page.tasks:
                yield task


class _Wish:
    """What a consumer wants, for as many requests as it takes."""

    def __init__(
        self,
        queue: str,
        most: int,
        timeout: Duration,
        ack_deadline: Duration | None,
        kind: Any,
        wanted: Wanted,
    ) -> None:
        self.shape = codec.Shape(kind, f"queue {queue!r}")
        self._queue = queue
        self._end = time.monotonic() + microseconds(timeout, "timeout") / SECOND
        self._said: dict[str, Any] = {
            "max": most,
            "ackDeadline": seconds(ack_deadline, "ack_deadline"),
            **{name: value for name, value in wanted.items() if value},
        }

    def call(self) -> Call[list[Delivery]]:
        """The next request."""
        wait = max(0.0, min(POLL, self._end - time.monotonic()))
        return Call(
            "POST",
            _at(self._queue, "consume"),
            lambda answer: _taken(answer).messages,
            body=body(timeout=round(wait, 3), **self._said),
            wait=wait,
        )

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._end


def _at(queue: str, *more: str) -> str:
    return place("queues", text(queue, "queue"), *more)


def _page(queue: str, after: int | None) -> Call[_Letters]:
    query = {} if after is None else {"after": after}
    return Call("GET", _at(queue, "dead-letters"), _letters, query=query)


def _letter(queue: str, message: Any, options: PublishOptions) -> dict[str, Any]:
    letter = members(options, PublishOptions, dict.fromkeys(DURATIONS, seconds))
    if isinstance(message, bytes | bytearray | memoryview):
        return {"base64": b64encode(message).decode(), **letter}
    return {"body": raw(message, f"queue {queue!r}"), **letter}
