"""What a job is, what happened to it, and what one may ask about it: values only.

Times are integer microseconds, ids sixteen bytes; the public face turns them into datetimes and
UUIDs. Nothing here does I/O or reads a clock.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any, Generic, Literal, NamedTuple, Self, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from mainspring.errors import InvalidArguments
from mainspring.retry import Backoff

R_co = TypeVar("R_co", covariant=True)

LOWEST_PRIORITY, HIGHEST_PRIORITY = -100, 100
DEFAULT_QUEUE = "default"

MESSAGE = "message"
"""The task name of a message published by hand: a queue that gets one is left to consumers by
workers that take all queues."""


class State(StrEnum):
    """Where a job stands. The last three are final."""

    SCHEDULED = "scheduled"
    BLOCKED = "blocked"
    PENDING = "pending"
    RUNNING = "running"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether the job has ended."""
        return self in FINAL


FINAL = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})
WAITING = frozenset({State.SCHEDULED, State.BLOCKED, State.PENDING, State.RETRYING})


class Reason(StrEnum):
    """Why a job stands where it stands, where the state alone does not say."""

    RETRIES_EXHAUSTED = "retries exhausted"
    PERMANENT = "permanent"
    REJECTED = "rejected"
    TIMED_OUT = "timed out"
    EXPIRED = "expired"
    WORKER_LOST = "worker lost"
    UNKNOWN_TASK = "unknown task"
    DEPENDENCY_FAILED = "dependency failed"
    SNOOZED = "snoozed"
    RATE_LIMITED = "rate limited"


class Now(NamedTuple):
    """The two clocks of a store, in microseconds: `wall` for scores, due times and schedules,
    `lease` for leases and rates."""

    wall: int
    lease: int


class Policy(Struct, frozen=True, array_like=True):
    """The rules that travel with a job, so that any process can settle it.

    `timeout` limits one attempt, `keep` says how long the job is kept after it completed
    (None: as its queue says); microseconds. `version` is that of the task that wrote the payload.
    """

    retry: Backoff = Backoff()
    timeout: int | None = None
    keep: int | None = None
    version: int = 1


_encode_policy = msgspec.msgpack.Encoder().encode
_decode_policy = msgspec.msgpack.Decoder(Policy).decode


@lru_cache(1024)
def encode_policy(policy: Policy) -> bytes:
    """The policy as bytes; equal policies give equal bytes."""
    if policy.version == 1:
        # As it was written before there were versions, so that what is there already is the same.
        return _encode_policy((policy.retry, policy.timeout, policy.keep))
    return _encode_policy(policy)


@lru_cache(1024)
def decode_policy(data: bytes) -> Policy:
    """The policy again."""
    return _decode_policy(data)


class Edge(Struct, frozen=True, array_like=True):
    """A job waits for `parent`. If the parent ends otherwise than completed, the job is
    cancelled, unless the edge says to run anyway."""

    parent: bytes
    run_anyway: bool = False


class NewJob(Struct, Generic[R_co], kw_only=True, frozen=True, gc=False):
    """A job one asks for: a value, made by `task.job(...)`, stored by `app.enqueue(...)`.

    `delay` counts from the insert, `run_at` is a moment; `expires` is how long the job may wait
    after it was inserted. `unique` names what may exist only once: the key is held until the job
    ends and at least for `unique_for`. Times in microseconds.
    """

    id: bytes
    task: str
    payload: bytes
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    delay: int = 0
    run_at: int | None = None
    expires: int | None = None
    key: str | None = None
    unique: str | None = None
    unique_for: int = 0
    on_duplicate: Literal["return", "replace", "error"] = "return"
    edges: tuple[Edge, ...] = ()
    policy: Policy = Policy()
    headers: Mapping[str, str] = {}
    tags: tuple[str, ...] = ()
    label: str | None = None

    @property
    def uuid(self) -> UUID:
        """The id as a UUID."""
        return UUID(bytes=self.id)

    def after(
        self, *others: "NewJob[Any] | Identified | UUID | str", run_anyway: bool = False
    ) -> Self:
        """The same job, waiting until the others have ended well (or ended, with `run_anyway`).

        The others are jobs or their ids; `InvalidArguments` if one is neither.
        """
        edges = tuple(Edge(identity(other), run_anyway) for other in others)
        return msgspec.structs.replace(self, edges=self.edges + edges)


class Identified:
    """Anything stored that has an `id`: what a job can wait for."""

    __slots__ = ()
    id: UUID


def identity(job: "NewJob[Any] | Identified | UUID | str") -> bytes:
    """The sixteen bytes of a job's id, however it is given; `InvalidArguments`."""
    if isinstance(job, NewJob):
        return job.id
    if isinstance(job, str):
        try:
            return UUID(job).bytes
        except ValueError:
            raise InvalidArguments(f"expected the id of a job (a UUID), got {job!r}") from None
    if not isinstance(job, Identified | UUID):
        raise InvalidArguments(f"expected a job or its id (a UUID), got {job!r}")
    return (job if isinstance(job, UUID) else job.id).bytes


class Inserted(Struct, frozen=True):
    """The answer to an insert: the job's number, and whose place it took nothing from.

    `duplicate_of` is the id of the job that holds the unique key (the new one was not stored);
    `repeated` says that this very id was there already, with the same content; `created`, where
    neither holds, when the job was stored (microseconds).
    """

    id: bytes
    number: int
    duplicate_of: bytes | None = None
    repeated: bool = False
    created: int | None = None


class Claimed(Struct, frozen=True, array_like=True):
    """A job as the worker that claimed it holds it.

    `number` and `token` together are the lease. `attempt` is this attempt (from 1); `claims`
    counts every claim and never goes back: the fencing token a task sees. `losses` counts
    attempts in a row that ended with the death of the worker. `policy` is as `encode_policy` makes
    it, `headers` are msgpack of `{str: str}`, None if there are none.
    """

    number: int
    token: int
    id: bytes
    queue: str
    task: str
    payload: bytes
    attempt: int
    claims: int
    losses: int
    created: int
    due: int
    policy: bytes
    headers: bytes | None = None

    @property
    def uuid(self) -> UUID:
        """The id as a UUID."""
        return UUID(bytes=self.id)

    @property
    def last_attempt(self) -> bool:
        """Whether no retry is left after this attempt."""
        return self.attempt > decode_policy(self.policy).retry.max_retries

    @property
    def version(self) -> int:
        """The version of the task that wrote the payload."""
        return decode_policy(self.policy).version

    @property
    def alone(self) -> bool:
        """Whether the job is suspected of killing its workers and must run beside no other."""
        return self.losses > 1 or (self.losses == 1 and self.last_attempt)


class JobError(Struct, frozen=True, kw_only=True):
    """What went wrong in one attempt. `at` in microseconds."""

    attempt: int
    type: str
    message: str
    traceback: str = ""
    reason: str = ""
    worker: str = ""
    at: int = 0


class Succeeded(Struct, frozen=True):
    """The function returned; `result` is encoded (None: nothing to keep)."""

    result: bytes | None = None


class Failed(Struct, frozen=True):
    """The function raised. `permanent` rules out a retry, `delay` (microseconds) overrides the
    policy's, `reason` names the final state's reason instead of "retries exhausted"."""

    error: JobError
    permanent: bool = False
    delay: int | None = None
    reason: str | None = None


class Snoozed(Struct, frozen=True):
    """The job asked to run again after `delay` microseconds, at no cost."""

    delay: int
    reason: str = Reason.SNOOZED


class Cancelled(Struct, frozen=True):
    """The job asked to be cancelled, or yielded to a request to cancel."""

    reason: str = ""


class HandedBack(Struct, frozen=True):
    """The job was not begun (stop, pause, too much read ahead), or must not count."""


class TaskUnknown(Struct, frozen=True):
    """This worker does not know the job's task."""


class Lost(Struct, frozen=True):
    """Whoever held the job is gone, or its lease ended."""

    error: JobError


Outcome = Succeeded | Failed | Snoozed | Cancelled | HandedBack | TaskUnknown | Lost


class Transition(Struct, frozen=True, array_like=True):
    """What a finished attempt means for the job: the one thing a store is told to write.

    `delay` counts from the store's own present. `give_back` returns the attempt; `old_score`
    keeps the job's place in the order. `careful` jobs are claimed only into a free slot (their
    next attempt is the last, or the last one lost its worker). `took` is the run time.
    """

    number: int
    token: int
    to: State
    delay: int = 0
    took: int = 0
    result: bytes | None = None
    error: JobError | None = None
    reason: str | None = None
    give_back: bool = False
    old_score: bool = False
    careful: bool = False
    losses: int = 0


class Record(Struct, kw_only=True):
    """A job as the store last saw it. Times in microseconds, None where not applicable. `token` is
    that of the grant under which it is held."""

    id: bytes
    number: int
    state: State
    queue: str
    task: str
    payload: bytes
    priority: int
    attempt: int
    claims: int
    created: int
    reason: str | None = None
    due: int | None = None
    started: int | None = None
    finished: int | None = None
    took: int | None = None
    worker: str | None = None
    token: int | None = None
    result: bytes | None = None
    progress: float | None = None
    note: str | None = None
    cancel_asked: bool = False
    key: str | None = None
    unique: str | None = None
    label: str | None = None
    expires: int | None = None
    headers: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    parents: tuple[bytes, ...] = ()
    policy: Policy = Policy()
    error: JobError | None = None


class Select(Struct, frozen=True, kw_only=True):
    """Which jobs: every field that is given must match. `before` and `after` bound the time of
    insertion (microseconds; after ≤ created < before)."""

    ids: tuple[bytes, ...] | None = None
    states: tuple[State, ...] | None = None
    queues: tuple[str, ...] | None = None
    tasks: tuple[str, ...] | None = None
    keys: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    before: int | None = None
    after: int | None = None


class Changed(Struct, frozen=True):
    """What a verb over a selection did: ids of the jobs changed, and of those refused with the
    words why."""

    ids: tuple[bytes, ...] = ()
    refused: Mapping[bytes, str] = {}
