"""Context: what a running job knows of itself and may say. Costs next to nothing to make."""

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from mainspring import codec
from mainspring.errors import InvalidArguments, InvalidState, TransactionError
from mainspring.job import Claimed, Policy, Succeeded, encode_policy
from mainspring.lifecycle import decide
from mainspring.store import Note, Store
from mainspring.transactions import OnLoop

LONGEST_LINE = 8192
"""Characters of a log line or note; the rest is cut off."""

MAX_RESULT = 10_000_000
"""Bytes of an encoded result, unless the app says otherwise."""

LARGEST_RESULT: ContextVar[int] = ContextVar("mainspring.largest_result", default=MAX_RESULT)
"""Bytes of an encoded result, as the app says whose jobs run here."""


class Channel(Protocol):
    """The way from a running job to its worker."""

    lease: int

    def note(self, note: Note, /) -> None:
        """Pass progress or a line of log on."""
        ...

    def store(self) -> Store:
        """The store, for `Context.transaction` and for looking at parents."""
        ...


class Context:
    """One attempt at one job, as its function sees it. Made by the worker.

    `claims` grows with every claim of the job and never falls: the fencing token for systems that
    take one. `cancelled` turns True when the job is to stop; a function on a thread must look.
    """

    __slots__ = ("_channel", "_deadline", "_headers", "_job", "cancelled", "settled", "worker")

    def __init__(
        self, job: Claimed, *, worker: str, deadline: float | None, channel: Channel
    ) -> None:
        self._job = job
        self._deadline = deadline
        self._channel = channel
        self._headers: Mapping[str, str] | None = None
        self.worker = worker
        self.cancelled = False
        self.settled = False

    @property
    def id(self) -> UUID:
        """The job's id."""
        return UUID(bytes=self._job.id)

    @property
    def number(self) -> int:
        """The job's number, for people; 0 outside a job."""
        return self._job.number

    @property
    def task(self) -> str:
        """The name under which the job was stored."""
        return self._job.task

    @property
    def version(self) -> int:
        """The version of the task for which the job was made."""
        return self._job.version

    @property
    def queue(self) -> str:
        """The job's queue."""
        return self._job.queue

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1; 0 outside a job."""
        return self._job.attempt

    @property
    def claims(self) -> int:
        """How often the job was claimed, this time included; 0 outside a job."""
        return self._job.claims

    @property
    def last_attempt(self) -> bool:
        """Whether no retry is left if this attempt fails."""
        return self._job.last_attempt

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers given when the job was made."""
        if self._headers is None:
            self._headers = codec.decode_headers(self._job.headers)
        return self._headers

    @property
    def deadline(self) -> datetime | None:
        """When the attempt must have ended (aware, UTC), None without a time limit."""
        left = self.remaining
        return None if left is None else datetime.now(UTC) + timedelta(seconds=left)

    @property
    def remaining(self) -> float | None:
        """Seconds until the deadline, negative after it, None without a time limit."""
        return None if self._deadline is None else self._deadline - time.monotonic()

    @property
    def parents(self) -> list[UUID]:
        """The ids of the jobs this one waited for. Reads the store."""
        return [UUID(bytes=parent) for parent in self._parents()]

    def parent_results(self) -> list[Any]:
        """What the jobs this one waited for resulted in, as plain JSON values or bytes.

        In the order of `parents`; None for one that did not complete or is no longer kept.
        """
        records = self._channel.store().get(self._parents())
        return [
            codec.decode(record.result) if record and record.result is not None else None
            for record in records
        ]

    def _parents(self) -> tuple[bytes, ...]:
        [record] = self._channel.store().get([self._job.id])
        return record.parents if record else ()

    def progress(self, percent: float, note: str = "") -> None:
        """Tell how far the job is, 0 to 100; shown at once, stored at the next heartbeat."""
        if isinstance(percent, bool) or not isinstance(percent, int | float):
            raise InvalidArguments(f"progress: expected 0 to 100, got {percent!r}")
        if not 0 <= percent <= 100:
            raise InvalidArguments(f"progress: expected 0 to 100, got {percent!r}")
        self._note(note, float(percent))

    def log(self, message: str, **fields: object) -> None:
        """Add a line to the job's own log; fields are written behind it as name=value."""
        told = "".join(f" {name}={value!r}" for name, value in fields.items())
        self._note(f"{message}{told}", None)

    def _note(self, text: str, percent: float | None) -> None:
        # A lone surrogate in a file name must not end the job that reports it.
        clean = str(text)[:LONGEST_LINE].encode(errors="backslashreplace").decode()
        at = time.time_ns() // 1000
        self._channel.note(Note(self._job.number, self._job.token, at, clean, percent))

    @contextmanager
    def transaction(self, result: object = None, *, tx: Any = None) -> Iterator[Any]:
        """A connection whose commit completes the job with this result, or neither happens.

        With `tx` it is this connection or session, on which no transaction may be open. Leaving
        the block well commits; an exception rolls back. What the function returns afterwards counts
        for nothing. `LeaseLost`, `TransactionError` (open beyond a third of the lease, a second
        one in one attempt), `InvalidState` outside a job, `Unsupported` by this engine,
        `ResultTooLarge`.
        """
        with self._completing(result, tx) as connection:
            yield connection
        self.settled = True

    @asynccontextmanager
    async def atransaction(self, result: object = None, *, tx: Any = None) -> AsyncIterator[Any]:
        """The async twin of `transaction`, with an async connection: `tx`, or one that is made."""
        loop = OnLoop(tx)
        async with loop.within(self._completing(result, loop)) as connection:
            yield connection
        self.settled = True

    def _completing(self, result: object, connection: Any) -> AbstractContextManager[Any]:
        if self.settled:
            raise TransactionError("this attempt has completed its job already")
        encoded = codec.encode_result(result, f"result of {self.task}", LARGEST_RESULT.get())
        transition = decide(self._job, Succeeded(encoded))
        store, lease = self._channel.store(), self._channel.lease
        return store.transaction(self._job, transition, lease=lease, connection=connection)

    def cancel(self) -> None:
        """Tell the function to stop. For the worker: a program calls `job.cancel()`."""
        self.cancelled = True


class _Nowhere:
    """The channel of code that runs outside a job."""

    lease = 0

    def note(self, note: Note, /) -> None:
        return

    def store(self) -> Store:
        raise InvalidState("no job is running here: only a task called by a worker has one")


_OUTSIDE = Context(
    Claimed(0, 0, bytes(16), "", "", b"null", 0, 0, 0, 0, 0, encode_policy(Policy())),
    worker="",
    deadline=None,
    channel=_Nowhere(),
)

RUNNING: ContextVar[Context] = ContextVar("mainspring.context", default=_OUTSIDE)
"""The attempt that runs here; set by the worker around each call of a function."""


def current() -> Context:
    """The context of the job that runs here, or one that does nothing where none does.

    Reaches coroutines and `asyncio.to_thread`, not threads a function starts by itself.
    """
    return RUNNING.get()
