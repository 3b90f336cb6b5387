"""Dossiers from rows and into them."""

from collections.abc import Iterable
from typing import Any, TypeAlias

from mainspring.dossier import Dossier, Standing, Wait
from mainspring.engines.common.codes import KEY, STATE, TAG
from mainspring.engines.common.extra import decode_extra, decode_headers
from mainspring.errors import InvalidState, StoreDamaged
from mainspring.job import JobError, NewJob, State, decode_policy

STANDINGS: tuple[Standing, ...] = "met", "open", "broken"
"""By the number that stands for them in tables."""

ID_BYTES = 16

Row: TypeAlias = tuple[Any, ...]
"""number, id, queue, task, payload, priority, created, expires, policy, headers, extra, state,
attempt, claims, losses, careful, suspect, due, score, lift, until, reason, finished, took, keep,
result, percent, text."""


def dossier(
    row: Row,
    waits: Iterable[Wait],
    errors: Iterable[JobError],
    lines: Iterable[tuple[int, int, str]],
) -> Dossier:
    """The dossier of a row; `StoreDamaged` names the job if it cannot be read."""
    number, id, queue, task, payload, _, created, *_ = row
    kinds = [type(each) for each in (id, queue, task, payload, created)]
    try:
        if kinds != [bytes, str, str, bytes, int] or len(id) != ID_BYTES:
            raise ValueError("its id, queue, task, payload or time is missing or damaged")
        return _read(row, tuple(waits), tuple(errors), tuple(lines))
    except (ValueError, TypeError, AttributeError) as error:
        raise StoreDamaged(
            f"job #{number} cannot be read: {error}; delete it, or restore a backup"
        ) from error


def _read(
    row: Row,
    waits: tuple[Wait, ...],
    errors: tuple[JobError, ...],
    lines: tuple[tuple[int, int, str], ...],
) -> Dossier:
    number, id, queue, task, payload, priority, created, expires, policy, headers, extra, *at = row
    state, attempt, claims, losses, careful, suspect, due, score, lift, until, *end = at
    reason, finished, took, keep, result, percent, text = end
    return Dossier(
        number=number,
        job=_asked(id, queue, task, payload, priority, policy, headers, extra),
        created=created,
        state=State(STATE[state]),
        attempt=attempt,
        claims=claims,
        losses=losses,
        careful=bool(careful),
        suspect=bool(suspect),
        due=due,
        score=score,
        lift=lift,
        expires=expires,
        unique_until=until,
        reason=reason,
        finished=finished,
        took=took,
        keep=keep,
        result=result,
        progress=None if percent is None else (percent, text),
        waits=waits,
        errors=errors,
        lines=lines,
    )


def _asked(
    id: bytes,
    queue: str,
    task: str,
    payload: bytes,
    priority: int,
    policy: bytes,
    headers: bytes | None,
    column: bytes | None,
) -> NewJob[Any]:
    extra = decode_extra(column)
    return NewJob(
        id=id,
        task=task,
        payload=payload,
        queue=queue,
        priority=priority,
        delay=extra.delay,
        run_at=extra.run_at,
        expires=extra.expires,
        key=extra.key,
        unique=extra.unique,
        unique_for=extra.unique_for,
        on_duplicate=extra.on_duplicate,
        edges=extra.edges,
        policy=decode_policy(policy),
        headers=decode_headers(headers),
        tags=extra.tags,
        label=extra.label,
    )


def stands_as_told(each: Dossier, blocked: bool, finished: int | None) -> bool:
    """Whether nothing became of a job here since it arrived: it is blocked, or ended, as it was."""
    return (blocked, finished) == (each.state is State.BLOCKED, each.finished)


def refuse_running(each: Dossier) -> None:
    """`InvalidState` if the job was running."""
    if each.state is State.RUNNING:
        raise InvalidState(f"job {each.job.uuid} is running: its worker would lose it")


def still_holds(each: Dossier, wall: int) -> bool:
    """Whether the job holds its unique key: an ended one does only so long."""
    until = each.unique_until
    return until is not None and (not each.state.final or until > wall)


def marks(each: Dossier) -> list[tuple[int, str]]:
    """Kind and value of what the job is found by."""
    found = [(TAG, tag) for tag in dict.fromkeys(each.job.tags)]
    return found if each.job.key is None else [*found, (KEY, each.job.key)]


def is_moved(each: Dossier) -> bool:
    """Whether a pending job is elsewhere than its own row says."""
    return each.suspect or each.claims > 0 or each.score != each.created - each.lift
