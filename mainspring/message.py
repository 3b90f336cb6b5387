"""Message: a job claimed by hand, held until it is settled or its lease ends."""

import time
import traceback
from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar
from uuid import UUID

from msgspec.structs import replace

from mainspring import codec
from mainspring.durations import Duration, instant, microseconds
from mainspring.errors import InvalidArguments, LeaseLost, MainspringError
from mainspring.job import (
    Claimed,
    Failed,
    HandedBack,
    JobError,
    Outcome,
    Reason,
    Snoozed,
    State,
    Succeeded,
    Transition,
)
from mainspring.leases import Leases
from mainspring.lifecycle import decide
from mainspring.store import Note, Store
from mainspring.twins import in_thread

T_co = TypeVar("T_co", covariant=True)

LONGEST_TEXT = 4000
LONGEST_TRACEBACK = 16_000

ALL_BITS = 2**64 - 1
"""Of a token, without its sign."""


class Holding(Protocol):
    """What a message needs of its app."""

    @property
    def store(self) -> Store: ...

    @property
    def leases(self) -> Leases: ...

    @property
    def max_result(self) -> int: ...


class Message(Generic[T_co]):
    """A job this program has taken from a queue, and must settle before its lease ends.

    Inside `with` the lease is renewed, and only there. Left well the message is acknowledged;
    left by an exception it is given back as failed, and the exception goes on; left by
    KeyboardInterrupt or a cancellation it is released. Settling twice does nothing.
    """

    __slots__ = (
        "_at",
        "_body",
        "_deadline",
        "_home",
        "_job",
        "cancelled",
        "consumer",
        "lease",
        "state",
    )

    def __init__(
        self, home: Holding, job: Claimed, body: T_co, *, consumer: str, lease: int, at: int
    ) -> None:
        self._home = home
        self._job = job
        self._at = at
        self._deadline = at + lease
        self._body = body
        self.consumer = consumer
        self.lease = lease
        self.cancelled = False
        self.state = State.RUNNING

    @property
    def body(self) -> T_co:
        """What was published."""
        return self._body

    @property
    def id(self) -> UUID:
        """The job's id."""
        return UUID(bytes=self._job.id)

    @property
    def claimed(self) -> Claimed:
        """The job as it is held."""
        return self._job

    @property
    def number(self) -> int:
        """The job's number, for people."""
        return self._job.number

    @property
    def token(self) -> int:
        """The grant it is held under, with all that was taken in the same call."""
        return self._job.token

    @property
    def task(self) -> str:
        """What kind of message it is: the name it was published under."""
        return self._job.task

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers it was published with."""
        return codec.decode_headers(self._job.headers)

    @property
    def attempt(self) -> int:
        """Which delivery this is, from 1; one that was released does not count."""
        return self._job.attempt

    @property
    def deadline(self) -> datetime:
        """When the lease ends unless it is renewed (aware, UTC)."""
        return instant(self._deadline)

    @property
    def receipt(self) -> str:
        """Printable text by which any process can settle the message: `queue.ack(receipt)`."""
        return receipt(self._job.queue, self._job.number, self._job.token)

    def ack(self, result: object = None) -> None:
        """Done. The result, if any, is stored for who waits for it.

        `LeaseLost`; `ResultTooLarge`, and the message is still held.
        """
        encoded = codec.encode_result(result, f"result of {self.task}", self._home.max_result)
        self._settle(Succeeded(encoded))

    def nack(self, error: str | BaseException = "", *, delay: Duration | None = None) -> State:
        """Failed: deliver it again after `delay`, or as its retries say, or bury it. `LeaseLost`.

        Returns where it went: retrying, failed or (if that had been asked) cancelled.
        """
        after = None if delay is None else microseconds(delay, "delay")
        return self._settle(Failed(error_of(self._job, error, self.consumer), delay=after))

    def reject(self, reason: str = "") -> None:
        """Failed for good, whatever attempts are left. `LeaseLost`."""
        self._settle(rejected(self._job, reason, self.consumer))

    def release(self, *, delay: Duration | None = None) -> None:
        """Give it back as if it had not been taken, at once or after `delay`. `LeaseLost`."""
        self._settle(HandedBack() if delay is None else Snoozed(microseconds(delay, "delay")))

    def extend(self, lease: Duration | None = None) -> datetime:
        """Hold it for `lease` from now, or as long as at first; the new deadline. `LeaseLost`.

        Holds for all messages that were taken in the same call.
        """
        if self.state is State.RUNNING:
            now = time.time_ns() // 1000
            span = self.lease if lease is None else positive(lease, "lease")
            self._home.leases.extend(self, span)
            self.lease, self._deadline = span, now + span
        return self.deadline

    def progress(self, percent: float, note: str = "") -> None:
        """Tell how far it is, 0 to 100."""
        if not isinstance(percent, int | float) or not 0 <= percent <= 100:
            raise InvalidArguments(f"progress: expected 0 to 100, got {percent!r}")
        at = time.time_ns() // 1000
        text = _clean(note)
        told = Note(self._job.number, self._job.token, at, text, float(percent))
        self._home.leases.tell(self.consumer, told)

    aack = in_thread(ack)
    anack = in_thread(nack)
    areject = in_thread(reject)
    arelease = in_thread(release)
    aextend = in_thread(extend)
    aprogress = in_thread(progress)

    def __enter__(self) -> Self:
        if self.state is State.RUNNING:
            self._home.leases.hold(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._home.leases.drop(self)
        if error is None:
            self.ack()
            return
        try:
            if isinstance(error, Exception):
                self.nack(error)
            else:
                self.release()
        except MainspringError as trouble:
            error.add_note(f"message {self.receipt} could not be given back: {trouble}")

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._aexit(kind, error, traceback)

    _aexit = in_thread(__exit__)

    def __repr__(self) -> str:
        return f"<message #{self.number} {self.task} {self.state}>"

    def pulse(self, renewed: bool, cancelled: bool) -> None:
        """For whoever renews the lease."""
        if renewed:
            self._deadline = time.time_ns() // 1000 + self.lease
        self.cancelled = self.cancelled or cancelled

    def _settle(self, outcome: Outcome) -> State:
        if self.state is State.RUNNING:
            self._home.leases.drop(self)
            took = max(0, time.time_ns() // 1000 - self._at)
            transition = replace(decide(self._job, outcome), took=took)
            self.state = settle(self._home.store, transition)
        return self.state


def settle(store: Store, transition: Transition) -> State:
    """Write one transition: the state it led to; `LeaseLost`."""
    answer = store.exchange([transition])
    if answer.lost:
        raise not_held(transition.number)
    return State.CANCELLED if transition.number in answer.cancelled else transition.to


def not_held(number: int) -> LeaseLost:
    """That nobody holds the job under such a receipt."""
    return LeaseLost(f"job #{number} is no longer held: its lease ended, or it was settled")


def receipt(queue: str, number: int, token: int) -> str:
    """The lease as text. At any other queue it says one that nobody has, so that no look at the
    store is needed to find a mistake."""
    return f"{number}-{token & ALL_BITS ^ _mask(queue):016x}"


def parsed(queue: str, receipt: str) -> tuple[int, int]:
    """The (number, token) that a receipt means at this queue; `InvalidArguments`."""
    try:
        number, _, masked = receipt.partition("-")
        bits = int(masked, 16)
        if not 0 <= bits <= ALL_BITS or len(masked) != 16:
            raise ValueError
        token = bits ^ _mask(queue)
        return int(number), token - (token >> 63 << 64)
    except (ValueError, AttributeError):
        raise InvalidArguments(f"expected the receipt of a message, got {receipt!r}") from None


def _mask(queue: str) -> int:
    return int.from_bytes(blake2b(queue.encode(), digest_size=8).digest())


def positive(duration: Duration, what: str) -> int:
    """The duration in microseconds; nothing is too little."""
    span = microseconds(duration, what)
    if not span:
        raise InvalidArguments(f"{what}: expected more than 0 seconds, got {duration!r}")
    return span


def error_of(job: Claimed, error: str | BaseException, consumer: str) -> JobError:
    """What went wrong with this delivery, as it is stored."""
    told, words = "", error
    if isinstance(error, BaseException):
        try:
            words = str(error)
            told = "".join(traceback.format_exception(error))[-LONGEST_TRACEBACK:]
        except Exception as trouble:
            words = f"<the error cannot be put into words: {type(trouble).__name__}>"
    return JobError(
        attempt=job.attempt,
        type=type(error).__qualname__ if isinstance(error, BaseException) else "Nack",
        message=_clean(str(words)),
        traceback=told.encode(errors="backslashreplace").decode(),
        worker=consumer,
        at=time.time_ns() // 1000,
    )


def rejected(job: Claimed, why: str | BaseException, consumer: str) -> Failed:
    """The outcome of a delivery that is not to be repeated."""
    return Failed(error_of(job, why, consumer), permanent=True, reason=Reason.REJECTED)


def _clean(text: str) -> str:
    """Text that can be stored, whatever is in it."""
    return str(text)[:LONGEST_TEXT].encode(errors="backslashreplace").decode()
