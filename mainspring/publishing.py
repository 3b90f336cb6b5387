"""Publishing: messages, from their bodies and options to jobs that can be stored."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from msgspec.structs import replace

from mainspring import codec
from mainspring.durations import Duration
from mainspring.errors import InvalidArguments
from mainspring.handle import Job
from mainspring.ids import new_ids
from mainspring.job import MESSAGE, NewJob, Policy
from mainspring.options import OnDuplicate, apply, given_id, text
from mainspring.retry import Retry


class PublishOptions(TypedDict, total=False):
    """Options of a message; as those of a job. `task` says what kind of message it is."""

    task: str
    priority: int
    headers: Mapping[str, str]
    delay: Duration
    run_at: datetime
    expires: Duration
    key: str
    unique: str
    unique_for: Duration
    on_duplicate: OnDuplicate
    retry: Retry
    max_retries: int
    tags: Sequence[str]
    label: str
    id: UUID
    tx: Any


class Published:
    """A message that was stored."""

    __slots__ = ("_job",)

    def __init__(self, job: Job[Any]) -> None:
        self._job = job

    @property
    def id(self) -> UUID:
        """The job's id."""
        return self._job.id

    @property
    def number(self) -> int:
        """The job's number, for people."""
        return self._job.number

    @property
    def position(self) -> int | None:
        """Its place in the queue now, from 1; None unless it is pending. Asks the store."""
        return self._job.position()


def jobs(
    queue: str,
    shape: codec.Shape,
    bodies: Iterable[Any],
    options: Mapping[str, Any],
    usual: Policy,
) -> list[NewJob[Any]]:
    """The jobs that messages with these bodies are. `usual` holds for what options do not say."""
    if unknown := [name for name in options if name not in PublishOptions.__annotations__]:
        known = ", ".join(PublishOptions.__annotations__)
        raise InvalidArguments(f"unknown option {unknown[0]!r}; expected one of {known}")
    rest = {name: options[name] for name in options if name not in ("task", "tx")}
    task = text(options.get("task", MESSAGE), "task")
    template = apply(rest, NewJob(id=b"", task=task, payload=b"", queue=queue, policy=usual))
    if "max_retries" in rest:
        retry = replace(usual.retry, max_retries=template.policy.retry.max_retries)
        template = replace(template, policy=replace(template.policy, retry=retry))
    payloads = [codec.encode(body, f"queue {queue!r}") for body in bodies]
    for payload in payloads:
        shape.decode(payload, f"queue {queue!r}")
    ids = new_ids(len(payloads))
    if given := given_id(rest):
        if len(ids) != 1:
            raise InvalidArguments(f"id: expected one message, got {len(ids)}")
        ids = [given]
    pairs = zip(ids, payloads, strict=True)
    return [replace(template, id=id, payload=payload) for id, payload in pairs]
