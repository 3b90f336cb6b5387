"""The state machine: the table as data, and `decide`, the only place that chooses a next state.

Knows no clock and no store. What a store adds inside its transaction: the fence, "a request to
cancel beats everything but a success", and the release of dependents.
"""

from typing import Literal

from mainspring.durations import MINUTE, SECOND
from mainspring.job import (
    Cancelled,
    Claimed,
    Failed,
    HandedBack,
    Lost,
    Outcome,
    Reason,
    Snoozed,
    State,
    Succeeded,
    TaskUnknown,
    Transition,
    decode_policy,
)

Event = Literal[
    "due",
    "released",
    "dependency failed",
    "expired",
    "claim",
    "success",
    "failure",
    "permanent failure",
    "snooze",
    "hand back",
    "unknown task",
    "lease ended",
    "cancel",
    "delete",
    "replay",
]

S = State
GONE = None
"""The state of a job that has been deleted."""

TABLE: dict[tuple[State, Event], frozenset[State | None]] = {
    (S.SCHEDULED, "due"): frozenset({S.PENDING}),
    (S.RETRYING, "due"): frozenset({S.PENDING}),
    (S.BLOCKED, "released"): frozenset({S.PENDING, S.SCHEDULED}),
    (S.BLOCKED, "dependency failed"): frozenset({S.CANCELLED, S.BLOCKED, S.PENDING, S.SCHEDULED}),
    (S.PENDING, "claim"): frozenset({S.RUNNING}),
    (S.RUNNING, "success"): frozenset({S.COMPLETED}),
    (S.RUNNING, "failure"): frozenset({S.RETRYING, S.FAILED}),
    (S.RUNNING, "permanent failure"): frozenset({S.FAILED}),
    (S.RUNNING, "snooze"): frozenset({S.SCHEDULED}),
    (S.RUNNING, "hand back"): frozenset({S.PENDING}),
    (S.RUNNING, "unknown task"): frozenset({S.SCHEDULED}),
    (S.RUNNING, "lease ended"): frozenset({S.RETRYING, S.FAILED}),
    (S.RUNNING, "cancel"): frozenset({S.RUNNING, S.CANCELLED}),
    **{(s, "expired"): frozenset({S.FAILED}) for s in (S.SCHEDULED, S.BLOCKED, S.PENDING)},
    (S.RETRYING, "expired"): frozenset({S.FAILED}),
    **{
        (s, "cancel"): frozenset({S.CANCELLED})
        for s in (S.SCHEDULED, S.BLOCKED, S.PENDING, S.RETRYING)
    },
    **{
        (s, "delete"): frozenset({GONE})
        for s in (
            S.SCHEDULED,
            S.BLOCKED,
            S.PENDING,
            S.RETRYING,
            S.COMPLETED,
            S.FAILED,
            S.CANCELLED,
        )
    },
    **{
        (s, "replay"): frozenset({S.PENDING, S.BLOCKED})
        for s in (S.COMPLETED, S.FAILED, S.CANCELLED)
    },
}
"""Every allowed (state, event) and the states it may lead to; any other pair is refused."""

UNKNOWN_TASK_DELAY = SECOND
UNKNOWN_TASK_LONGEST = 5 * MINUTE


def decide(job: Claimed, outcome: Outcome) -> Transition:
    """What this end of an attempt means for the job."""
    match outcome:
        case Succeeded(result=result):
            return Transition(job.number, job.token, State.COMPLETED, result=result)
        case Failed():
            return _failed(job, outcome)
        case Lost(error=error):
            return _lost(job, Failed(error, reason=Reason.WORKER_LOST))
        case Snoozed(delay=delay, reason=reason):
            return Transition(
                job.number,
                job.token,
                State.SCHEDULED,
                delay=delay,
                reason=reason,
                give_back=True,
                careful=_careful(job, job.attempt),
            )
        case Cancelled(reason=reason):
            return Transition(job.number, job.token, State.CANCELLED, reason=reason or None)
        case HandedBack():
            return Transition(
                job.number,
                job.token,
                State.PENDING,
                give_back=True,
                old_score=True,
                careful=_careful(job, job.attempt) or job.losses > 0,
                losses=job.losses,
            )
        case TaskUnknown():
            return Transition(
                job.number,
                job.token,
                State.SCHEDULED,
                delay=_patience(job),
                reason=Reason.UNKNOWN_TASK,
                give_back=True,
                old_score=True,
                careful=_careful(job, job.attempt) or job.losses > 0,
                losses=job.losses,
            )


def _failed(job: Claimed, outcome: Failed, losses: int = 0) -> Transition:
    retry = decode_policy(job.policy).retry
    if outcome.permanent or job.attempt > retry.max_retries:
        exhausted = Reason.PERMANENT if outcome.permanent else Reason.RETRIES_EXHAUSTED
        return Transition(
            job.number,
            job.token,
            State.FAILED,
            error=outcome.error,
            reason=outcome.reason or exhausted,
        )
    delay = retry.delay(job.attempt, job.id) if outcome.delay is None else outcome.delay
    return Transition(
        job.number,
        job.token,
        State.RETRYING,
        delay=delay,
        error=outcome.error,
        reason=outcome.reason,
        careful=losses > 0 or _careful(job, job.attempt + 1),
        losses=losses,
    )


def _lost(job: Claimed, outcome: Failed) -> Transition:
    return _failed(job, outcome, job.losses + 1)


def _careful(job: Claimed, attempt: int) -> bool:
    return attempt > decode_policy(job.policy).retry.max_retries


def _patience(job: Claimed) -> int:
    """One second, doubling with every claim that came to nothing, up to five minutes."""
    in_vain = max(0, job.claims - job.attempt)
    return min(UNKNOWN_TASK_LONGEST, UNKNOWN_TASK_DELAY << min(in_vain, 16))
