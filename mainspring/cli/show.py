"""A job as people and machines read it: rows, full pages, JSON."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from mainspring import codec
from mainspring.cli.tables import (
    NOTHING,
    duration,
    fitted,
    local_time,
    printable,
    seconds,
    table,
    utc,
)
from mainspring.errors import MainspringError
from mainspring.job import JobError, Record
from mainspring.store import Line


def rows(records: Iterable[Record], width: int | None) -> str:
    """A table with a line for each job, whole or for a terminal of that width: there the number
    does for the id."""
    headers = ("id", "#", "state", "task", "queue", "attempt", "created", "took", "about")
    cells = [
        (
            UUID(bytes=job.id),
            job.number,
            job.state,
            job.task,
            job.queue,
            job.attempt,
            local_time(job.created),
            duration(job.took if job.started else None),
            about(job),
        )
        for job in records
    ]
    return fitted(headers, cells, width, ("id", "created")) if width else table(headers, cells)


def about(job: Record) -> str:
    """What is most worth knowing of a job, in a few words."""
    if job.error and job.state in ("failed", "retrying"):
        return f"{job.error.type}: {job.error.message}"
    if stopping(job):
        return "asked to stop"
    if job.state == "running" and job.progress is not None:
        return f"{job.progress:.0f}% {job.note or ''}".strip()
    return job.reason or job.label or ""


def stopping(job: Record) -> bool:
    """Whether the job runs and was asked to stop."""
    return job.state == "running" and job.cancel_asked


def text_of(data: bytes | None) -> str:
    """A stored value in words: text bare, everything else as JSON."""
    if data is None:
        return NOTHING
    value = _decoded(data)
    if isinstance(value, bytes):
        return f"{len(value):,} bytes, in base64: {b64encode(value).decode()}"
    return printable(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def as_json(job: Record) -> dict[str, Any]:
    """Everything a record holds, for machines."""
    return {
        "id": str(UUID(bytes=job.id)),
        "number": job.number,
        "state": job.state,
        "reason": job.reason,
        "task": job.task,
        "version": job.policy.version,
        "queue": job.queue,
        "priority": job.priority,
        "attempt": job.attempt,
        "max_retries": job.policy.retry.max_retries,
        "claims": job.claims,
        "payload": _value(job.payload),
        "result": None if job.result is None else _value(job.result),
        "error": None if job.error is None else error_as_json(job.error),
        "progress": job.progress,
        "note": job.note,
        "created": utc(job.created),
        "due": utc(job.due),
        "started": utc(job.started),
        "finished": utc(job.finished),
        "expires": utc(job.expires),
        "took_seconds": seconds(job.took),
        "worker": job.worker,
        "cancel_asked": job.cancel_asked,
        "key": job.key,
        "unique": job.unique,
        "label": job.label,
        "tags": job.tags,
        "headers": job.headers,
        "parents": [str(UUID(bytes=parent)) for parent in job.parents],
    }


def error_as_json(error: JobError) -> dict[str, Any]:
    """What went wrong in one attempt, for machines."""
    return {
        "attempt": error.attempt,
        "type": error.type,
        "message": error.message,
        "traceback": error.traceback,
        "reason": error.reason,
        "worker": error.worker,
        "at": utc(error.at),
    }


def _value(data: bytes) -> Any:
    value = _decoded(data)
    return {"base64": b64encode(value).decode()} if isinstance(value, bytes) else value


def _decoded(data: bytes) -> Any:
    """The value; the bytes themselves where other software wrote what is none."""
    try:
        return codec.decode(data)
    except (MainspringError, ValueError, RecursionError):
        return data


def page(
    job: Record,
    position: int | None,
    history: Sequence[JobError],
    log: Sequence[Line],
    parents: Sequence[Record | None],
    *,
    in_full: bool,
) -> str:
    """All there is to know of one job; of its attempts before the last only `in_full`."""
    blocks = [
        _facts(job, position),
        block("Payload", text_of(job.payload)),
        block("Result", text_of(job.result)) if job.result is not None else "",
        block("Errors", _errors(history, in_full)),
        block("Log", "\n".join(f"{local_time(line.at)}  {line.text}" for line in log)),
        block("Waits for" if job.state == "blocked" else "Came after", _parents(job, parents)),
    ]
    return "\n\n".join(block for block in blocks if block)


def _facts(job: Record, position: int | None) -> str:
    state = f"{job.state} ({job.reason})" if job.reason else str(job.state)
    progress = None if job.progress is None else f"{job.progress:.0f}% {job.note or ''}".strip()
    told = {
        "Job": f"{UUID(bytes=job.id)}  #{job.number}",
        "Label": job.label,
        "Task": job.task,
        "Version": job.policy.version if job.policy.version > 1 else None,
        "Queue": job.queue,
        "State": state + (", asked to stop" if stopping(job) else ""),
        "Priority": job.priority or None,
        "Position": position,
        "Attempt": f"{job.attempt} of {job.policy.retry.max_retries + 1}, claimed {job.claims}×",
        "Progress": progress,
        "Worker": job.worker,
        "Created": local_time(job.created),
        "Due": local_time(job.due) if job.due else None,
        "Started": local_time(job.started) if job.started else None,
        "Finished": local_time(job.finished) if job.finished else None,
        "Took": duration(job.took) if job.started and job.took is not None else None,
        "Expires": local_time(job.expires) if job.expires else None,
        "Key": job.key,
        "Unique": job.unique,
        "Tags": ", ".join(job.tags),
        "Headers": ", ".join(f"{name}={value}" for name, value in job.headers.items()),
    }
    return facts(told)


def facts(told: Mapping[str, object]) -> str:
    """A line for each of these that there is."""
    width = max(map(len, told)) + 1
    return "\n".join(
        f"{name + ':':<{width}} {printable(str(value))}" for name, value in told.items() if value
    )


def block(title: str, text: str) -> str:
    """The text under a title; nothing if there is none."""
    indented = "\n".join(f"  {line}" for line in printable(text).split("\n"))
    return f"{title}:\n{indented}" if text else ""


def _errors(history: Sequence[JobError], in_full: bool) -> str:
    if in_full:
        return "\n".join(map(_error, history))
    return "\n".join([*map(_error_line, history[:-1]), *map(_error, history[-1:])])


def _error_line(error: JobError) -> str:
    why = f"{error.type}: {error.message}".partition("\n")[0]
    return f"attempt {error.attempt}, {local_time(error.at)}: {why}"


def _error(error: JobError) -> str:
    head = f"attempt {error.attempt}, {local_time(error.at)}, {error.worker or 'no worker'}"
    why = f"{error.type}: {error.message}" + (f" ({error.reason})" if error.reason else "")
    return "\n".join(part for part in (head, why, error.traceback.rstrip()) if part)


def _parents(job: Record, parents: Sequence[Record | None]) -> str:
    return "\n".join(
        f"{UUID(bytes=id)}  {parent.state + '  ' + parent.task if parent else 'gone'}"
        for id, parent in zip(job.parents, parents, strict=True)
    )
