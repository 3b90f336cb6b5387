"""Narrow: what a caller that may use some queues only gets to see of jobs, and may store."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from mainspring.errors import UnknownDependency, UnknownJob
from mainspring.handle import Job
from mainspring.job import NewJob, Record
from mainspring.server.callers import Caller
from mainspring.server.problems import Problem
from mainspring.store import Store


def there(caller: Caller, id: UUID, record: Record | None) -> Record:
    """The job, if there is one that the caller may know of; `UnknownJob`."""
    if record is None or not caller.knows(record.queue):
        raise UnknownJob(f"no task has the id {id}")
    return record


def permit(caller: Caller, queue: str) -> None:
    """A `Problem` unless the caller may have such a queue."""
    if not caller.knows(queue):
        expected = " or ".join(caller.only)
        raise Problem(403, "forbidden", f"expected a queue called {expected}, got {queue!r}")


def permit_new(caller: Caller, store: Store, jobs: Sequence[NewJob[Any]]) -> None:
    """A `Problem` if some of these are to go where the caller has no business, or would replace
    what may be there; `UnknownDependency` if they wait for something there."""
    for job in jobs:
        permit(caller, job.queue)
        if job.unique is not None and job.on_duplicate == "replace":
            detail = "expected a key for all queues: a unique key may be held in any of them"
            raise Problem(403, "forbidden", detail)
    new = {job.id for job in jobs}
    parents = [edge.parent for job in jobs for edge in job.edges if edge.parent not in new]
    for parent, record in zip(parents, store.get(parents), strict=True):
        if record is None or not caller.knows(record.queue):
            raise UnknownDependency(f"a job waits for {UUID(bytes=parent)}, which does not exist")


def hide_holders(caller: Caller, stored: Sequence[Job[Any]]) -> None:
    """A `Problem` if one of these is a job in another's queue, which holds a unique key."""
    if not all(caller.knows(job.record.queue) for job in stored):
        raise taken()


def taken() -> Problem:
    """That a unique key is held, and not by whom."""
    return Problem(409, "unique-taken", "a unique key is held by another job")
