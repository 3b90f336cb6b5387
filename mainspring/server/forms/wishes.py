"""Wishes: the jobs a client asks for, from their JSON to values that can be stored.

A duration is a number of milliseconds, or text such as "90s".
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.json import Decoder
from msgspec.structs import astuple

from mainspring.durations import Duration
from mainspring.errors import InvalidArguments
from mainspring.job import NewJob
from mainspring.options import text
from mainspring.registry import Tasks
from mainspring.retry import MOST_RETRIES, Retry

LONGEST_IDEMPOTENCY_KEY = 255

IDEMPOTENT = 8
"""The version of ids that follow from an idempotency key: one of our own making."""

MOST_WISHES = 1000

Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=10**10)] | str
"""A duration where what it is about is counted in seconds: messages, entries."""

Span: TypeAlias = Annotated[float, Meta(ge=0, le=10**13)] | str


class Wish(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A job that is asked for. Options are those of the library (`Options`); `max_attempts` counts
    all executions, `max_retries` those after the first."""

    type: str
    payload: Any = {}
    queue: str | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    delay: Span | UnsetType = UNSET
    run_at: datetime | UnsetType = UNSET
    expires: Span | UnsetType = UNSET
    timeout: Span | UnsetType = UNSET
    keep_result: Span | UnsetType = UNSET
    max_attempts: Annotated[int, Meta(ge=1, le=MOST_RETRIES + 1)] | UnsetType = UNSET
    max_retries: Annotated[int, Meta(ge=0, le=MOST_RETRIES)] | UnsetType = UNSET
    retry_delay: Span | UnsetType = UNSET
    retry_backoff: Literal["exponential", "linear", "fixed"] | UnsetType = UNSET
    key: str | UnsetType = UNSET
    unique: str | UnsetType = UNSET
    unique_for: Span | UnsetType = UNSET
    on_duplicate: Literal["return", "replace", "error"] | UnsetType = UNSET
    headers: dict[str, str] | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    label: str | UnsetType = UNSET
    id: UUID | UnsetType = UNSET
    depends_on: list[UUID] | UnsetType = UNSET

    def job(self, tasks: Tasks, id: UUID | None) -> NewJob[Any]:
        """The job, of the task as it is declared or as it is; `id` unless the wish brings one."""
        options: dict[str, Any] = {} if id is None else {"id": id}
        retrying = False
        for (name, read), value in zip(_OPTIONS, astuple(self)[2:], strict=True):
            if value is UNSET:
                continue
            if read is None:
                retrying = True
            else:
                options[name] = read(value)
        if retrying:
            options["retry"] = self._retry(tasks)
        return tasks.job_by_name(self.type, self.payload, options)

    def _retry(self, tasks: Tasks) -> Retry:
        """The policy of the declared task, or the usual one, with what this wish says."""
        declared = tasks.get(self.type)
        said: dict[str, Any] = {}
        if self.max_attempts is not UNSET and self.max_retries is not UNSET:
            raise InvalidArguments("expected maxAttempts or maxRetries, got both")
        if self.max_attempts is not UNSET:
            said["max_retries"] = self.max_attempts - 1
        if self.max_retries is not UNSET:
            said["max_retries"] = self.max_retries
        if self.retry_delay is not UNSET:
            said["base"] = span(self.retry_delay)
        if self.retry_backoff is not UNSET:
            said["backoff"] = self.retry_backoff
        return replace(declared.retry if declared else Retry(), **said)


Wishes: TypeAlias = Wish | Annotated[list[Wish], Meta(min_length=1, max_length=MOST_WISHES)]
WISHES: Decoder[Wish | list[Wish]] = Decoder(Wishes)


def jobs(
    wishes: Sequence[Wish], tasks: Tasks, idempotency_key: str, only: Sequence[str] = ()
) -> list[NewJob[Any]]:
    """The jobs; under the same idempotency key, unless it is empty, the same ids, as `ids` has
    it."""
    if not idempotency_key:
        return [wish.job(tasks, None) for wish in wishes]
    named = zip(wishes, ids(idempotency_key, len(wishes), only), strict=True)
    return [wish.job(tasks, id) for wish, id in named]


def span(value: float | str) -> Duration:
    """A duration as the library takes it."""
    return value if isinstance(value, str) else timedelta(milliseconds=value)


def _as_it_is(value: object) -> object:
    return value


_READERS: dict[str, Callable[[Any], Any] | None] = {
    **dict.fromkeys(("delay", "expires", "timeout", "keep_result", "unique_for"), span),
    **dict.fromkeys(("max_attempts", "max_retries", "retry_delay", "retry_backoff"), None),
}
_OPTIONS = [(name, _READERS.get(name, _as_it_is)) for name in Wish.__struct_fields__[2:]]
"""All but type and payload: what may be left out, and how it becomes an option; None: together with
others."""


def ids(idempotency_key: str, n: int, only: Sequence[str] = ()) -> list[UUID]:
    """So many ids that follow from the key and the place in the request. Callers that may use other
    names only (`only`) do not meet by their idempotency keys."""
    text(idempotency_key, "Idempotency-Key", LONGEST_IDEMPOTENCY_KEY)
    seed = "\0".join((idempotency_key, *sorted(only))).encode()
    return [_id(seed, at) for at in range(n)]


def _id(seed: bytes, n: int) -> UUID:
    """An id that follows from the key and the place in the request."""
    digest = hashlib.sha256(b"idempotency-key %d %b" % (n, seed)).digest()
    bits = int.from_bytes(digest[:16]) & ~(0xF << 76) & ~(3 << 62)
    return UUID(int=bits | IDEMPOTENT << 76 | 2 << 62)
