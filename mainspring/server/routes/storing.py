"""Storing: the jobs that a request brings, as far as its caller may have them."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request

from mainspring.errors import IdConflict
from mainspring.handle import Job
from mainspring.job import NewJob
from mainspring.server.backend.service import Service
from mainspring.server.forms.asked import header
from mainspring.server.forms.problems import Problem
from mainspring.server.forms.wishes import ids
from mainspring.server.permissions.callers import caller_of
from mainspring.server.permissions.narrow import hiding_holders, taken
from mainspring.server.permissions.seen import Seen


def idempotency_key(request: Request) -> str:
    """By what the request is known when it is sent again; "" if it says nothing of that."""
    return header(request, b"idempotency-key")


async def stored(
    service: Service, request: Request, new_jobs: Sequence[NewJob[Any]]
) -> list[Job[Any]]:
    """What was stored, or was there already; a `Problem` for what the caller may not have."""
    caller, key = caller_of(request), idempotency_key(request)
    if caller.only:
        made = ids(key, len(new_jobs), caller.only) if key else ()
        await service.ask(Seen(service.app.store, caller).admit, new_jobs, made)
    try:
        with hiding_holders(caller):
            found = await service.app.aput(new_jobs)
    except IdConflict as error:
        if not key:
            raise
        detail = f"expected the same request as before under this Idempotency-Key: {error}"
        raise Problem(422, "idempotency-key-reused", detail) from None
    if caller.only:
        seen = sum(caller.knows(job.record.queue) for job in found)
        if seen < len(found):
            raise taken(others_stored=seen > 0)
    return found
