"""Narrow: what a caller that may use some queues only gets to see of single jobs."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from mainspring.errors import UnknownJob
from mainspring.handle import Job
from mainspring.job import Record
from mainspring.server.callers import Caller
from mainspring.server.problems import Problem


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


def hide_holders(caller: Caller, stored: Sequence[Job[Any]]) -> None:
    """A `Problem` if one of these is a job in another's queue, which holds a unique key."""
    if not all(caller.knows(job.record.queue) for job in stored):
        raise taken()


def taken() -> Problem:
    """That a unique key is held, and not by whom."""
    return Problem(409, "unique-taken", "a unique key is held by another job")
