"""Verdict: what it means for a job that the process died in which it ran."""

import time

from mainspring.job import (
    Cancelled,
    Claimed,
    Failed,
    HandedBack,
    JobError,
    Lost,
    Outcome,
    Reason,
    decode_policy,
)
from mainspring.worker.crew.station import Departure
from mainspring.worker.link.board import Why


def verdict(job: Claimed, departure: Departure, worker: str) -> Outcome:
    """How the attempt at a job ended that had begun in a process that is gone."""
    match departure.why:
        case Why.TIME:
            limit = decode_policy(job.policy).timeout
            told = f" of {limit / 1_000_000:g} s" if limit else ""
            message = f"did not end within its time limit{told} nor when it was told to: killed"
            error = attempt_error(job, "TimeLimit", message, worker, Reason.TIMED_OUT)
            return Failed(error, reason=Reason.TIMED_OUT)
        case Why.MEMORY:
            message = f"killed beyond its memory limit, with {megabytes(departure.memory)}"
            return Failed(attempt_error(job, "MemoryLimit", message, worker))
        case Why.CANCEL:
            return Cancelled("cancelled while it ran; killed, as it did not end when told")
        case Why.QUIT:
            return HandedBack()
    message = f"its process died: {departure.status}"
    if departure.memory:
        message += f"; it had taken {megabytes(departure.memory)} of memory at most"
    return Lost(lost(job, message, worker))


def lost(job: Claimed, message: str, worker: str = "") -> JobError:
    """The error of an attempt whose end nobody saw."""
    return attempt_error(job, "WorkerLost", message, worker, Reason.WORKER_LOST)


def attempt_error(job: Claimed, kind: str, message: str, worker: str, reason: str = "") -> JobError:
    """An error of this attempt, now, of which no function has told."""
    return JobError(
        attempt=job.attempt,
        type=kind,
        message=message,
        reason=reason,
        worker=worker,
        at=time.time_ns() // 1000,
    )


def megabytes(size: int) -> str:
    """Bytes for people."""
    return f"{size / 1_000_000:,.0f} MB"
