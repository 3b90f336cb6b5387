"""Delivery: a message that was taken, and what can be said of it."""

from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from mainspring import codec
from mainspring.client.call import Call, body, form, place, raw, seconds
from mainspring.client.lines import AsyncLine, Line
from mainspring.client.verbs import Awaiting, Blocking, verb
from mainspring.durations import Duration, instant
from mainspring.errors import MainspringError
from mainspring.options import text

T = TypeVar("T")

LONGEST_ERROR = 4000


class Delivery(Struct, rename="camel"):
    """A message as a server tells of it."""

    message_id: str
    receipt: str
    number: int
    type: str
    body: Raw
    headers: dict[str, str]
    attempt: int
    published_at: int
    deadline: int

    def read(self, shape: codec.Shape) -> Any:
        """What was published; `InvalidArguments` if it has not that shape."""
        data = bytes(self.body)
        if data.startswith(b'{"base64":'):
            data = _bytes(data)
        return shape.decode(data, f"message {self.message_id}")


class _Bytes(Struct, forbid_unknown_fields=True):
    base64: str


class _Action(Struct):
    action: str


class _Until(Struct):
    deadline: int


_action, _until = form(_Action), form(_Until)


def acked(queue: str, message: str, result: Any) -> Call[None]:
    """The message of this receipt or id is done."""
    given = None if result is None else raw(result, f"result of {message}")
    return _said("ack", queue, message, lambda answer: None, result=given)


def nacked(
    queue: str, message: str, requeue: bool, delay: Duration | None, error: str
) -> Call[str]:
    """It failed."""
    return _said(
        "nack",
        queue,
        message,
        lambda answer: _action(answer).action,
        requeue=requeue,
        delay=seconds(delay, "delay"),
        error=error[:LONGEST_ERROR].encode(errors="backslashreplace").decode(),
    )


def extended(queue: str, message: str, ack_deadline: Duration) -> Call[datetime]:
    """It is held longer."""
    span = seconds(ack_deadline, "ack_deadline")
    return _said(
        "extend",
        queue,
        message,
        lambda answer: instant(_until(answer).deadline * 1000),
        ackDeadline=span,
    )


def released(queue: str, message: str, delay: Duration | None) -> Call[None]:
    """It goes back as if it had not been taken."""
    span = seconds(delay, "delay")
    return _said("release", queue, message, lambda answer: None, delay=span)


def _said(verb: str, queue: str, message: str, read: Any, **more: Any) -> Call[Any]:
    named = {"messageId" if _is_id(message) else "receipt": message}
    where = place("queues", text(queue, "queue"), verb)
    return Call("POST", where, read, body=body(**named, **more))


class _Settling:
    """What can be said of a message that was taken."""

    queue: str
    receipt: str

    @verb
    def ack(self, result: Any = None) -> Call[None]:
        """It is done; `result` is kept. `LeaseLost`."""
        return acked(self.queue, self.receipt, result)

    @verb
    def nack(
        self, requeue: bool = True, *, delay: Duration | None = None, error: str = ""
    ) -> Call[str]:
        """It failed: deliver it again after `delay`, or as its retries say; with `requeue=False`
        make a dead letter of it. What became of it: "requeued", "dead_lettered" or "cancelled".
        `LeaseLost`."""
        return nacked(self.queue, self.receipt, requeue, delay, error)

    @verb
    def extend(self, ack_deadline: Duration) -> Call[datetime]:
        """Hold it for so long from now on, with all that were taken by the same call; until when.
        `LeaseLost`."""
        return extended(self.queue, self.receipt, ack_deadline)

    @verb
    def release(self, *, delay: Duration | None = None) -> Call[None]:
        """Give it back as if it had not been taken, at once or after `delay`. `LeaseLost`."""
        return released(self.queue, self.receipt, delay)


class _Message(_Settling, Generic[T]):
    """What both kinds of messages have."""

    message: T
    message_id: str
    number: int
    type: str
    headers: Mapping[str, str]
    attempt: int
    published_at: datetime
    deadline: datetime

    def _fill(self, queue: str, told: Delivery, message: T) -> None:
        self.queue = queue
        self.message = message
        for name in ("message_id", "receipt", "number", "type", "headers", "attempt"):
            setattr(self, name, getattr(told, name))
        self.published_at = instant(told.published_at * 1000)
        self.deadline = instant(told.deadline * 1000)

    def _left_by(self, error: BaseException) -> Call[Any]:
        """What becomes of it when its block is left by that."""
        if isinstance(error, Exception):
            words = f"{type(error).__name__}: {error}"
            return nacked(self.queue, self.receipt, True, None, words)
        return released(self.queue, self.receipt, None)

    def _not_back(self, error: BaseException, trouble: MainspringError) -> None:
        error.add_note(f"message {self.message_id} could not be given back: {trouble}")

    def __repr__(self) -> str:
        return f"<message {self.message_id} of {self.queue}, attempt {self.attempt}>"


class Message(_Message[T], Blocking):
    """A message that this program holds until its `deadline` (aware, UTC).

    `attempt` is which delivery this is, from 1; `receipt` is good for this delivery alone. As a
    context it is acknowledged when left well, given back as failed when left by an exception, and
    released when interrupted. Nothing moves its deadline but `extend`.
    """

    def __init__(self, line: Line, queue: str, told: Delivery, message: T) -> None:
        super().__init__(line)
        self._fill(queue, told, message)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.ack()
            return
        try:
            self.do(self._left_by(error))
        except MainspringError as trouble:
            self._not_back(error, trouble)


class AsyncMessage(_Message[T], Awaiting):
    """The async twin of `Message`."""

    def __init__(self, line: AsyncLine, queue: str, told: Delivery, message: T) -> None:
        super().__init__(line)
        self._fill(queue, told, message)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self.ack()
            return
        try:
            await self.do(self._left_by(error))
        except MainspringError as trouble:
            self._not_back(error, trouble)


def _is_id(message: str) -> bool:
    try:
        UUID(message)
    except (ValueError, AttributeError, TypeError):
        return False
    return True


def _bytes(data: bytes) -> bytes:
    """Bytes as a store keeps them, if that is what was told."""
    try:
        return codec.RAW + b64decode(msgspec.json.decode(data, type=_Bytes).base64, validate=True)
    except ValueError:
        return data
