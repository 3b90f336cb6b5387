"""Tasks: `client.tasks`. Jobs for whoever handles them, and what becomes of them."""

import builtins
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict, TypeVar, Unpack
from uuid import UUID

from msgspec import Raw, Struct, field

from mainspring import codec
from mainspring.client.call import Call, body, form, members, milliseconds, once, place, raw
from mainspring.client.verbs import Awaiting, Blocking, verb
from mainspring.durations import SECOND, Duration, instant, microseconds
from mainspring.errors import ResultTimeout
from mainspring.job import FINAL, State
from mainspring.options import OnDuplicate

T = TypeVar("T")

POLL = 60.0
"""Seconds that one request waits; a longer wait is several."""


class TaskOptions(TypedDict, total=False):
    """Options of a task, as those of a job (`Options`)."""

    queue: str
    priority: int
    delay: Duration
    run_at: datetime
    expires: Duration
    timeout: Duration
    keep_result: Duration
    max_retries: int
    retry_delay: Duration
    retry_backoff: Literal["exponential", "linear", "fixed"]
    key: str
    unique: str
    unique_for: Duration
    on_duplicate: OnDuplicate
    headers: Mapping[str, str]
    tags: Sequence[str]
    label: str
    id: UUID
    depends_on: Sequence[UUID]


DURATIONS = {"delay", "expires", "timeout", "keep_result", "retry_delay", "unique_for"}


class TaskError(Struct, frozen=True, rename="camel"):
    """What went wrong in the last attempt."""

    attempt: int
    type: str
    message: str
    stack: str = ""


class Task(Struct, frozen=True, rename="camel"):
    """A job as it stood when it was asked for. A key that may not read is not told what is in it:
    neither `payload` nor `result`, reasons, notes, labels, tags or headers."""

    id: UUID
    number: int
    type: str
    status: State
    queue: str
    priority: int
    attempts: int
    max_attempts: int
    reason: str | None = None
    progress: float | None = None
    note: str | None = None
    error: TaskError | None = None
    worker_id: str | None = None
    cancel_requested: bool = False
    label: str | None = None
    tags: tuple[str, ...] = ()
    headers: dict[str, str] = {}
    raw_payload: Raw = field(default=Raw(b"null"), name="payload")
    raw_result: Raw = field(default=Raw(b"null"), name="result")
    created_ms: int = field(default=0, name="createdAt")
    completed_ms: int | None = field(default=None, name="completedAt")

    @property
    def ended(self) -> bool:
        """Whether it is completed, failed or cancelled."""
        return self.status in FINAL

    @property
    def payload(self) -> Any:
        """What it was asked with; bytes are `{"base64": ...}`."""
        return codec.decode(bytes(self.raw_payload))

    @property
    def result(self) -> Any:
        """What it resulted in, as a plain JSON value; bytes are `{"base64": ...}`."""
        return codec.decode(bytes(self.raw_result))

    def result_as(self, kind: builtins.type[T]) -> T:
        """What it resulted in, read as that type; `InvalidArguments` if it is none."""
        what = f"result of {self.type}"
        found: T = codec.Shape(kind, what).decode(bytes(self.raw_result), what)
        return found

    @property
    def created_at(self) -> datetime:
        """When it was stored (aware, UTC)."""
        return instant(self.created_ms * 1000)

    @property
    def completed_at(self) -> datetime | None:
        """When it ended (aware, UTC)."""
        return None if self.completed_ms is None else instant(self.completed_ms * 1000)


class _One(Struct):
    task: Task


_one = form(_One)


def _task(method: str, id: UUID | str, verb: str = "", **more: Any) -> Call[Task]:
    where = place("tasks", str(id), *([verb] if verb else []))
    return Call(method, where, lambda answer: _one(answer).task, **more)


def _awaited(id: UUID | str, seconds: float) -> Call[Task]:
    wait = max(0.0, min(POLL, seconds))
    return _task("GET", id, "wait", query={"timeout": f"{wait:.3f}"}, wait=wait)


class Verbs:
    """What can be asked of tasks."""

    @verb
    def add(self, type: str, payload: Any = None, /, **options: Unpack[TaskOptions]) -> Call[Task]:
        """Store a job of this type; without a payload it is the empty object.

        Sent again after trouble it is stored once. `InvalidArguments`, `UniqueTaken`, …
        """
        said = members(options, TaskOptions, dict.fromkeys(DURATIONS, milliseconds))
        given = None if payload is None else raw(payload, type)
        return Call(
            "POST",
            "/tasks",
            lambda answer: _one(answer).task,
            body=body(type=type, payload=given, **said),
            headers=once(),
        )

    @verb
    def get(self, id: UUID | str) -> Call[Task]:
        """A job as it stands; `UnknownJob`."""
        return _task("GET", id)

    @verb
    def cancel(self, id: UUID | str, reason: str = "") -> Call[Task]:
        """End a waiting job, ask a running one to stop; how it stands then. `UnknownJob`,
        `InvalidState`."""
        return _task("POST", id, "cancel", body=body(reason=reason))

    @verb
    def replay(self, id: UUID | str) -> Call[Task]:
        """Make a job that has ended run again, with all attempts; how it stands then. `UnknownJob`,
        `InvalidState`."""
        return _task("POST", id, "replay", repeatable=False)

    @verb
    def delete(self, id: UUID | str) -> Call[None]:
        """Remove a job that has ended. `UnknownJob`, `InvalidState`."""
        return Call("DELETE", place("tasks", str(id)), lambda answer: None, repeatable=False)


class Tasks(Verbs, Blocking):
    """Jobs, as `app.enqueue` makes them."""

    def wait(self, id: UUID | str, timeout: Duration = "5m") -> Task:
        """A job once it has ended. `ResultTimeout`, `UnknownJob`."""
        end = _end(timeout)
        while True:
            task = self.do(_awaited(id, end - time.monotonic()))
            if task.ended:
                return task
            _refuse_late(task, end, timeout)


class AsyncTasks(Verbs, Awaiting):
    """The async twin of `Tasks`."""

    async def wait(self, id: UUID | str, timeout: Duration = "5m") -> Task:
        """The async twin of `Tasks.wait`."""
        end = _end(timeout)
        while True:
            task = await self.do(_awaited(id, end - time.monotonic()))
            if task.ended:
                return task
            _refuse_late(task, end, timeout)


def _refuse_late(task: Task, end: float, timeout: Duration) -> None:
    if time.monotonic() >= end:
        raise ResultTimeout(f"task {task.id} is {task.status} after {timeout}")


def _end(timeout: Duration) -> float:
    return time.monotonic() + microseconds(timeout, "timeout") / SECOND
