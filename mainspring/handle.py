"""Job: what a program holds of a stored job. A snapshot; `refresh` reads it again."""

import time
import warnings
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, Protocol, Self, TypeVar, cast
from uuid import UUID

from mainspring import codec
from mainspring.context import current
from mainspring.durations import SECOND, Duration, instant, microseconds
from mainspring.errors import (
    InvalidState,
    JobCancelled,
    JobFailed,
    MainspringError,
    ResultTimeout,
    TransactionError,
    UnknownJob,
)
from mainspring.job import (
    Changed,
    Identified,
    Inserted,
    JobError,
    NewJob,
    Record,
    Select,
    State,
)
from mainspring.results import Waiter
from mainspring.store import Line, Store
from mainspring.twins import in_thread

R_co = TypeVar("R_co", covariant=True)


class Reader(Protocol):
    """Knows what results look like: a task."""

    def decode_result(self, data: bytes) -> Any:
        """The result again, of the type the task declares."""
        ...


class Home(Protocol):
    """What a job needs of the app it belongs to."""

    @property
    def store(self) -> Store: ...

    @property
    def waiter(self) -> Waiter: ...

    def reader(self, task: str) -> Reader | None:
        """The task of that name, if it is declared here."""
        ...


class Job(Identified, Generic[R_co]):
    """A stored job, as it was when last read, or when it was inserted.

    Attributes tell what the snapshot says and do no I/O; methods ask the store. Every method has
    an async twin with an "a" in front.
    """

    __slots__ = ("_answer", "_home", "_new", "_reader", "_record", "_uncommitted")

    def __init__(
        self,
        home: Home,
        record: Record | None,
        reader: Reader | None = None,
        new: NewJob[Any] | None = None,
        answer: Inserted | None = None,
        uncommitted: bool = False,
    ) -> None:
        """Either `record` is given, or what was inserted, with the store's answer, and
        whether that was in a transaction of the caller's."""
        self._home = home
        self._record = record
        self._reader = reader
        self._new = new
        self._answer = answer
        self._uncommitted = uncommitted

    @property
    def record(self) -> Record:
        """The snapshot as the store's own value: times in microseconds, ids as bytes."""
        if self._record is None:
            assert self._new is not None
            assert self._answer is not None
            self._record = _first_snapshot(self._new, self._answer)
        return self._record

    @property
    def id(self) -> UUID:  # type: ignore[override]  # made when asked for: it costs a microsecond
        """The job's id."""
        return UUID(bytes=self._id)

    @property
    def number(self) -> int:
        """The job's number, for people."""
        if self._answer is not None:
            return self._answer.number
        return self.record.number

    @property
    def duplicate(self) -> bool:
        """Whether nothing was stored, because this job holds the unique key already."""
        return self._answer is not None and self._answer.duplicate_of is not None

    @property
    def repeated(self) -> bool:
        """Whether nothing was stored, because a job with this very id and content was there."""
        return self._answer is not None and self._answer.repeated

    @property
    def state(self) -> State:
        """Where the job stood."""
        return self.record.state

    @property
    def reason(self) -> str | None:
        """Why it stood there, where the state alone does not say."""
        return self.record.reason

    @property
    def queue(self) -> str:
        """The job's queue."""
        return self.record.queue

    @property
    def task(self) -> str:
        """The name of the job's task."""
        return self.record.task

    @property
    def payload(self) -> Any:
        """The payload as plain JSON values or bytes; for a function, its named arguments."""
        return codec.decode(self.record.payload)

    @property
    def priority(self) -> int:
        """From -100 to 100; higher goes first."""
        return self.record.priority

    @property
    def attempt(self) -> int:
        """How many attempts were begun and not given back."""
        return self.record.attempt

    @property
    def claims(self) -> int:
        """How often it was claimed."""
        return self.record.claims

    @property
    def created(self) -> datetime:
        """When it was inserted."""
        return instant(self.record.created)

    @property
    def due(self) -> datetime | None:
        """When it may run, or may have run."""
        return _instant(self.record.due)

    @property
    def started(self) -> datetime | None:
        """When the last attempt began."""
        return _instant(self.record.started)

    @property
    def finished(self) -> datetime | None:
        """When it ended."""
        return _instant(self.record.finished)

    @property
    def progress(self) -> float | None:
        """What it last told of its progress, 0 to 100."""
        return self.record.progress

    @property
    def note(self) -> str | None:
        """The words that went with the progress."""
        return self.record.note

    @property
    def error(self) -> JobError | None:
        """The last attempt's error."""
        return self.record.error

    @property
    def key(self) -> str | None:
        """What the job belongs to."""
        return self.record.key

    @property
    def unique(self) -> str | None:
        """The unique key it was made with."""
        return self.record.unique

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers it was made with."""
        return self.record.headers

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags it was made with."""
        return self.record.tags

    @property
    def label(self) -> str | None:
        """What people should read instead of the task's name."""
        return self.record.label

    def refresh(self) -> Self:
        """Read the job again; `UnknownJob` if it is no longer kept."""
        [record] = self._home.store.get([self._id])
        self._record = self._there(record)
        return self

    def result(self, timeout: Duration | None = None) -> R_co:
        """Wait for the end of the job and return what its function returned.

        An end that this handle knows of is looked up again, since the job may have been replayed.
        `JobFailed`, `JobCancelled`; `ResultTimeout` after `timeout` (the job goes on);
        `InvalidState` on an event loop, where it would block everything else, and once the app is
        closed, which ends a wait;
        `TransactionError` while the transaction that made the job is open; `UnknownJob`.
        """
        if not self._ended():
            _refuse_on_loop()
            self._refuse_uncommitted()
            if current().number:
                text = "a job waits for another job: if all do, none is left to run them"
                warnings.warn(text, RuntimeWarning, stacklevel=2)
            try:
                record = self._home.waiter.wait(self._id, _seconds(timeout))
            except TimeoutError:
                raise ResultTimeout(self._late(timeout)) from None
            self._record = self._there(record)
        return self._outcome()

    async def aresult(self, timeout: Duration | None = None) -> R_co:
        """The async twin of `result`."""
        if not (self.record.state.final and await self._aended()):
            await self._arefuse_uncommitted()
            try:
                record = await self._home.waiter.await_(self._id, _seconds(timeout))
            except TimeoutError:
                raise ResultTimeout(await self._alate(timeout)) from None
            self._record = self._there(record)
        return self._outcome()

    def cancel(self, reason: str = "") -> bool:
        """End the job if it waits, ask it to stop if it runs. False if it had ended already."""
        return self._changed(self._home.store.cancel(self._select, reason)) is None

    def replay(self) -> None:
        """Make the ended job run again, with all attempts; `InvalidState` says why it cannot."""
        self._must(self._home.store.replay(self._select))

    def delete(self) -> None:
        """Remove the job and all that is known of it; `InvalidState` says why it cannot."""
        self._must(self._home.store.delete(self._select))

    def errors(self) -> list[JobError]:
        """The errors of all attempts, oldest first."""
        return self._home.store.history(self._id)

    def logs(self, *, limit: int = 1000) -> list[Line]:
        """The lines the job logged, oldest first."""
        return self._home.store.logs(self._id, limit=limit)

    def position(self) -> int | None:
        """The job's place in its queue's order, from 1; None unless it is pending."""
        return self._home.store.position(self._id)

    arefresh = in_thread(refresh)
    acancel = in_thread(cancel)
    areplay = in_thread(replay)
    adelete = in_thread(delete)
    aerrors = in_thread(errors)
    alogs = in_thread(logs)
    aposition = in_thread(position)

    def __repr__(self) -> str:
        return f"<job #{self.number} {self.task} {self.state}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other._id == self._id

    def __hash__(self) -> int:
        return hash(self._id)

    @property
    def _id(self) -> bytes:
        return self._new.id if self._new is not None else self.record.id

    @property
    def _select(self) -> Select:
        return Select(ids=(self._id,))

    def _there(self, record: Record | None) -> Record:
        if record is None:
            raise UnknownJob(f"no job has the id {self.id}")
        return record

    def _changed(self, changed: Changed) -> str | None:
        """None if the job was changed, else the words why not."""
        if self._id in changed.ids:
            return None
        if self._id not in changed.refused:
            raise UnknownJob(f"no job has the id {self.id}")
        return changed.refused[self._id]

    def _must(self, changed: Changed) -> None:
        if refused := self._changed(changed):
            raise InvalidState(f"job #{self.number}: {refused}")

    def _ended(self) -> bool:
        """Whether the job has ended, as far as this handle knows and the store does not deny."""
        if not self.record.state.final:
            return False
        [record] = self._home.store.get([self._id])
        if record is not None:  # else it is no longer kept, and can no longer change
            self._record = record
        return self.record.state.final

    _aended = in_thread(_ended)

    def _late(self, timeout: Duration | None) -> str:
        """Why the wait was in vain, as far as the store can tell."""
        told = f"job #{self.number} ({self.task}) did not end within {_seconds(timeout):g} s"
        try:
            told += f": it is {self.refresh().state}"
            if self._home.store.workers():
                return told
            return f"{told}, and no worker is running"
        except MainspringError:
            return told

    _alate = in_thread(_late)

    def _refuse_uncommitted(self) -> None:
        if not self._uncommitted:
            return
        if self._home.store.get([self._id]) == [None]:
            raise TransactionError(
                f"job #{self.number} cannot run before the transaction it was made in is committed"
            )
        self._uncommitted = False

    _arefuse_uncommitted = in_thread(_refuse_uncommitted)

    def _outcome(self) -> R_co:
        record = self.record
        told = f"job #{record.number} ({record.task})"
        if record.state is State.FAILED:
            error = record.error
            said = f": {error.type}: {error.message}" if error else ""
            raise JobFailed(f"{told} failed ({record.reason}){said}", error)
        if record.state is State.CANCELLED:
            why = f": {record.reason}" if record.reason else ""
            raise JobCancelled(f"{told} was cancelled{why}")
        if record.result is None:
            return cast(R_co, None)
        reader = self._reader or self._home.reader(record.task)
        decoded = reader.decode_result(record.result) if reader else codec.decode(record.result)
        return cast(R_co, decoded)


def _first_snapshot(job: NewJob[Any], answer: Inserted) -> Record:
    """What is known of a job that was just inserted, without asking the store."""
    # Who inserts a job again within a transaction may not see the one that is there.
    created = time.time_ns() // 1000 if answer.created is None else answer.created
    due = created + job.delay if job.run_at is None else max(created, job.run_at)
    state = State.PENDING
    if job.edges:
        state = State.BLOCKED
    elif due > created:
        state = State.SCHEDULED
    return Record(
        id=job.id,
        number=answer.number,
        state=state,
        queue=job.queue,
        task=job.task,
        payload=job.payload,
        priority=job.priority,
        attempt=0,
        claims=0,
        created=created,
        due=due,
        key=job.key,
        unique=job.unique,
        label=job.label,
        expires=None if job.expires is None else created + job.expires,
        headers=dict(job.headers),
        tags=job.tags,
        parents=tuple(edge.parent for edge in job.edges),
        policy=job.policy,
    )


def _refuse_on_loop() -> None:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise InvalidState("result() would block the event loop; use `await job.aresult()`")


def _seconds(timeout: Duration | None) -> float | None:
    return None if timeout is None else microseconds(timeout, "timeout") / SECOND


def _instant(micros: int | None) -> datetime | None:
    return None if micros is None else instant(micros)
