"""Dossier: all that a store knows of one job, so that another store can go on where it stands."""

from typing import Any, Literal, TypeAlias

from msgspec import Struct

from mainspring.job import JobError, NewJob, State

Standing: TypeAlias = Literal["open", "met", "broken"]


class Wait(Struct, frozen=True, array_like=True):
    """One of the jobs that a job waits for (`open`), waited for while it waits for others yet
    (`met`), or was cancelled because of (`broken`)."""

    parent: bytes
    run_anyway: bool
    standing: Standing


class Dossier(Struct, frozen=True, kw_only=True):
    """A job as it stands. Times in microseconds, moments on the wall clock.

    `job` is what was asked for. `due`, `score` and `lift` are its place among those that wait:
    score = due - lift unless the score is an old one; they say nothing of a job that has ended.
    `careful` and `losses` mean what they mean in `Transition`; `suspect` jobs wait apart.
    `unique_until` is None if it does not hold its key. `keep` overrides its queue's retention.
    """

    number: int
    job: NewJob[Any]
    created: int
    state: State
    attempt: int = 0
    claims: int = 0
    losses: int = 0
    careful: bool = False
    suspect: bool = False
    due: int = 0
    score: int = 0
    lift: int = 0
    expires: int | None = None
    unique_until: int | None = None
    reason: str | None = None
    finished: int | None = None
    took: int = 0
    keep: int | None = None
    result: bytes | None = None
    progress: tuple[float, str] | None = None
    waits: tuple[Wait, ...] = ()
    errors: tuple[JobError, ...] = ()
    lines: tuple[tuple[int, int, str], ...] = ()
    """The log: when, in which attempt, what."""
