"""Answers: jobs, queues and workers as the server shows them.

Names are in camelCase and times whole milliseconds: durations, or moments since 1970.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
from msgspec import Raw, Struct
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mainspring.codec import RAW
from mainspring.durations import SECOND
from mainspring.job import JobError, Record, State
from mainspring.store import Presence, QueueInfo

MILLISECOND = 1000
"""Microseconds."""

_encode = msgspec.json.Encoder(uuid_format="canonical").encode
_read = msgspec.json.Decoder(Raw).decode
_KIND = (b"content-type", b"application/json")


class Answer(Response):
    """A response of JSON bytes, made and sent in a fraction of the time that one for everything
    takes."""

    def __init__(self, body: bytes, status: int, headers: Mapping[str, str] | None) -> None:
        self.body = body
        self.status_code = status
        self.background = None
        self.raw_headers = [_KIND, (b"content-length", b"%d" % len(body))]
        for name, value in (headers or {}).items():
            self.raw_headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        await send({"type": "http.response.body", "body": self.body})


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer, which ends its line, as those who read it in a terminal wish."""
    return Answer(_encode(value) + b"\n", status, headers)


class Shown(Struct, frozen=True, kw_only=True, rename="camel"):
    """The base of everything that is shown."""


class ErrorShown(Shown, frozen=True, kw_only=True):
    """What went wrong in one attempt."""

    attempt: int
    type: str
    message: str
    stack: str
    reason: str
    worker_id: str
    timestamp: int


class TaskStanding(Shown, frozen=True, kw_only=True):
    """A job to those who may not read: what it is and where it stands, nothing of what is in it."""

    id: str
    number: int
    type: str
    status: State
    queue: str
    priority: int
    attempts: int
    max_attempts: int
    cancel_requested: bool
    created_at: int
    updated_at: int
    due_at: int | None
    started_at: int | None
    completed_at: int | None
    expires_at: int | None


class TaskShown(TaskStanding, frozen=True, kw_only=True):
    """A job. `payload` and `result` are JSON values, or `{"base64": ...}` where they are bytes."""

    reason: str | None
    payload: Raw
    timeout: int | None
    retry_delay: int
    retry_backoff: str
    progress: float | None
    note: str | None
    result: Raw | None
    error: ErrorShown | None
    worker_id: str | None
    execution_time: int | None
    key: str | None
    unique: str | None
    label: str | None
    tags: tuple[str, ...]
    headers: dict[str, str]
    depends_on: tuple[str, ...]


def task(job: Record) -> TaskShown:
    """A job as it is shown."""
    policy = job.policy
    created = job.created // MILLISECOND
    ended = job.finished or job.started
    return TaskShown(
        id=named(job.id),
        number=job.number,
        type=job.task,
        status=job.state,
        reason=job.reason,
        queue=job.queue,
        payload=value(job.payload),
        priority=job.priority,
        attempts=job.attempt,
        max_attempts=policy.retry.max_retries + 1,
        timeout=None if policy.timeout is None else policy.timeout // MILLISECOND,
        retry_delay=policy.retry.base // MILLISECOND,
        retry_backoff=policy.retry.kind,
        progress=job.progress,
        note=job.note,
        result=None if job.result is None else value(job.result),
        error=None if job.error is None else _error(job.error),
        worker_id=job.worker,
        cancel_requested=job.cancel_asked,
        created_at=created,
        updated_at=created if ended is None else ended // MILLISECOND,
        due_at=None if job.due is None else job.due // MILLISECOND,
        started_at=None if job.started is None else job.started // MILLISECOND,
        completed_at=None if job.finished is None else job.finished // MILLISECOND,
        expires_at=None if job.expires is None else job.expires // MILLISECOND,
        execution_time=None if job.took is None else job.took // MILLISECOND,
        key=job.key,
        unique=job.unique,
        label=job.label,
        tags=job.tags,
        headers=job.headers,
        depends_on=tuple(map(named, job.parents)) if job.parents else (),
    )


def standing(job: Record) -> TaskStanding:
    """The same to those who may not read."""
    shown = task(job)
    return TaskStanding(**{name: getattr(shown, name) for name in TaskStanding.__struct_fields__})


class QueueShown(Shown, frozen=True, kw_only=True):
    """A queue, its settings, and how many jobs are in it by status. What is about messages is in
    seconds."""

    name: str
    paused: bool
    by_hand: bool
    aging: int
    keep_completed: int
    keep_cancelled: int
    keep_failed: int
    max_retries: int
    retry_delays: Sequence[float]
    ack_deadline_secs: float
    max_depth: int
    tasks: Mapping[State, int]


def queue(info: QueueInfo, counts: Mapping[State, int] | None) -> QueueShown:
    """A queue as it is shown; `counts` is None where nothing was ever in it."""
    return QueueShown(
        name=info.name,
        paused=info.paused,
        by_hand=info.by_hand,
        aging=info.aging // MILLISECOND,
        keep_completed=info.keep_completed // MILLISECOND,
        keep_cancelled=info.keep_cancelled // MILLISECOND,
        keep_failed=info.keep_failed // MILLISECOND,
        max_retries=info.max_retries,
        retry_delays=[delay / SECOND for delay in info.retry_delays],
        ack_deadline_secs=info.ack_deadline / SECOND,
        max_depth=info.max_depth,
        tasks=counts or dict.fromkeys(State, 0),
    )


class WorkerShown(Shown, frozen=True, kw_only=True):
    """A worker, as its last heartbeat told. `status` is starting, running, paused or stopping."""

    id: str
    host: str
    pid: int
    status: str
    queues: Sequence[str]
    types: Sequence[str]
    slots: int
    busy: int
    utilization: float
    processes: int
    tasks_processed: int
    tasks_failed: int
    current_task: str
    last_task: str
    started_at: int
    seen_at: int


def worker(presence: Presence) -> WorkerShown:
    """A worker as it is shown."""
    return WorkerShown(
        id=presence.id,
        host=presence.host,
        pid=presence.pid,
        status=presence.state,
        queues=presence.queues,
        types=presence.tasks,
        slots=presence.slots,
        busy=presence.busy,
        utilization=presence.utilisation,
        processes=presence.children,
        tasks_processed=presence.processed,
        tasks_failed=presence.failed,
        current_task=presence.current,
        last_task=presence.last,
        started_at=presence.started // MILLISECOND,
        seen_at=presence.seen // MILLISECOND,
    )


def _error(error: JobError) -> ErrorShown:
    return ErrorShown(
        attempt=error.attempt,
        type=error.type,
        message=error.message,
        stack=error.traceback,
        reason=error.reason,
        worker_id=error.worker,
        timestamp=error.at // MILLISECOND,
    )


def named(id: bytes) -> str:
    """An id as it is written (RFC 9562, section 4)."""
    digits = id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def value(data: bytes) -> Raw:
    """A payload or a result, which is JSON as it is stored. Bytes are told apart by what stands
    before them; what other software has damaged must not spoil a whole page, and is bytes, too."""
    if data[:1] != RAW:
        try:
            return _read(data)
        except msgspec.DecodeError:
            pass
    return Raw(msgspec.json.encode({"base64": b64encode(data.removeprefix(RAW)).decode()}))


class TaskTold(Shown, frozen=True, kw_only=True):
    """One job."""

    success: bool = True
    task: TaskShown


class TasksTold(Shown, frozen=True, kw_only=True):
    """Several jobs."""

    success: bool = True
    tasks: Sequence[TaskShown]


class StandingTold(Shown, frozen=True, kw_only=True):
    """Where one job stands."""

    success: bool = True
    task: TaskStanding


class StandingsTold(Shown, frozen=True, kw_only=True):
    """Where several jobs stand."""

    success: bool = True
    tasks: Sequence[TaskStanding]


class TasksPage(TasksTold, frozen=True, kw_only=True):
    """A page of jobs. `total` is how many there are on all pages, where that is counted; `next` is
    `after` of the next page, if there may be one."""

    total: int | None
    limit: int
    next: int | None


def tasks_page(
    records: Sequence[Record], next: int | None, total: int | None, limit: int
) -> Response:
    """A page of jobs as an answer."""
    return answer(
        TasksPage(
            tasks=[task(record) for record in records],
            total=total,
            limit=limit,
            next=next,
        )
    )


class Affected(Shown, frozen=True, kw_only=True):
    """What a verb over many jobs did: which it changed, and why it did not change others."""

    success: bool = True
    ids: Sequence[UUID]
    refused: Mapping[str, str]


class Deleted(Affected, frozen=True, kw_only=True):
    """Which jobs are gone, how many, and why others are not."""

    deleted: int


class Replayed(Affected, frozen=True, kw_only=True):
    """Which jobs run again, how many, and why others do not."""

    replayed: int
