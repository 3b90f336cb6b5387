"""Taking: a wish for messages of a queue, claimed as often as its owner wants to look."""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from mainspring import codec
from mainspring.durations import SECOND, Duration
from mainspring.errors import InvalidArguments, LeaseLost
from mainspring.ids import new_token
from mainspring.job import Claimed
from mainspring.leases import Leases
from mainspring.lifecycle import decide
from mainspring.message import Message, positive, rejected
from mainspring.options import text, texts
from mainspring.results import POLL
from mainspring.rules import Rules
from mainspring.store import Claim, Grant, Store

if TYPE_CHECKING:
    from asyncio import Future

T = TypeVar("T")

MOST = 1000
"""Messages in one claim."""


class Home(Protocol):
    """What it needs of its app."""

    @property
    def store(self) -> Store: ...

    @property
    def leases(self) -> Leases: ...

    @property
    def rules(self) -> Rules: ...

    @property
    def max_result(self) -> int: ...


class Taking(Generic[T]):
    """One wish for messages, and the claims it takes."""

    def __init__(
        self,
        home: Home,
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
        self._lease = None if lease is None else positive(lease, "lease")
        self._consumer = text(consumer, "consumer") if consumer else home.leases.consumer
        self._types = texts(types, "types") or None
        self._next_due: int | None = None

    def claim(self) -> list[Message[T]]:
        """Take what is there. What cannot be read is rejected, since it never will be."""
        self._home.leases.round()
        lease = self._lease or self._home.rules.of(self._queue).lease
        while True:
            at = time.time_ns() // 1000
            grant = Grant(token=new_token(), worker=self._consumer, lease=lease)
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
            messages = [self._message(job, lease, at) for job in answer.jobs]
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
            claiming.add_done_callback(returned)
            raise

    def patience(self) -> float:
        """Seconds to wait for a hint, before something falls due or it is time to look anyway."""
        if self._next_due is None:
            return POLL
        return min(POLL, max(0.001, self._next_due / SECOND - time.time()))

    def _message(self, job: Claimed, lease: int, at: int) -> Message[T] | None:
        try:
            body = self._shape.decode(job.payload, f"queue {self._queue!r}")
        except InvalidArguments as error:
            self._home.store.exchange([decide(job, rejected(job, error, self._consumer))])
            return None
        return Message(self._home, job, body, consumer=self._consumer, lease=lease, at=at)


def returned(claiming: "Future[list[Message[Any]]]") -> None:
    """Release, off the event loop, what nobody waits for any more."""
    if not claiming.cancelled() and claiming.exception() is None and claiming.result():
        loop = claiming.get_loop()
        loop.run_in_executor(None, give_back, claiming.result())


def give_back(messages: Iterable[Message[Any]]) -> None:
    """Give back messages that nobody waits for any more, as if they had not been taken."""
    for message in messages:
        with suppress(LeaseLost):
            message.release()
