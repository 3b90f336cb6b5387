"""Narrow: what a caller that may use some queues only gets to see of queues and single jobs."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from starlette.requests import Request

from mainspring.errors import UniqueTaken, UnknownJob
from mainspring.job import Record
from mainspring.options import text
from mainspring.server.forms.problems import Problem
from mainspring.server.permissions.callers import Caller, caller_of


def there(caller: Caller, id: UUID, record: Record | None) -> Record:
    """The job, if there is one that the caller may know of; `UnknownJob`."""
    if record is None or not caller.knows(record.queue):
        raise UnknownJob(f"no task has the id {id}")
    return record


def permit(caller: Caller, name: str, what: str = "a queue") -> None:
    """A `Problem` unless the caller may have something of that name."""
    if not caller.knows(name):
        expected = " or ".join(caller.only)
        raise Problem(403, "forbidden", f"expected {what} called {expected}, got {name!a}")


def everything(caller: Caller) -> None:
    """A `Problem` unless the caller may use all names."""
    if caller.only:
        detail = f"expected a key for all names, got one for {', '.join(caller.only)} only"
        raise Problem(403, "forbidden", detail)


def known_queue(request: Request) -> str:
    """The name of the queue in the path; one that the caller may not use is not there."""
    name = text(request.path_params["name"], "queue")
    if not caller_of(request).knows(name):
        raise unknown_queue(name)
    return name


def permitted_queue(request: Request) -> str:
    """The same where the queue is made if need be."""
    name = text(request.path_params["name"], "queue")
    permit(caller_of(request), name)
    return name


def unknown_queue(name: str) -> Problem:
    """That there is no such queue, for this caller."""
    return Problem(404, "unknown-queue", f"no queue is called {name!r} so far")


@contextmanager
def hiding_holders(caller: Caller) -> Iterator[None]:
    """Who holds a unique key is told only to those who may use all queues."""
    try:
        yield
    except UniqueTaken:
        if caller.only:
            raise taken() from None
        raise


def taken(*, others_stored: bool = False) -> Problem:
    """That a unique key is held, and not by whom; and what became of the others."""
    detail = "a unique key is held by another job"
    if others_stored:
        detail += "; the other jobs of the same request were stored"
    return Problem(409, "unique-taken", detail)
