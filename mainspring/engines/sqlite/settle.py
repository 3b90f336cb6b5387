"""Settle: write what finished attempts mean, each fenced by the grant it was made under."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from mainspring.engines.common.codes import (
    CANCELLED,
    CHORES,
    CODE,
    COMPLETED,
    EXPIRES,
    FAILED,
    KEEPS,
    PENDING,
    RETRYING,
    RUNNING,
    default_lane,
)
from mainspring.engines.common.handed import queue_of, task_of
from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite import ending
from mainspring.engines.sqlite.places import places
from mainspring.engines.sqlite.step import Step, as_json
from mainspring.job import State, Transition
from mainspring.store import News

SQL = sections(__file__)

_encode_error = msgspec.msgpack.Encoder().encode

HISTORY = 1000
"""Errors kept of one job; older ones are dropped."""


class Settled(NamedTuple):
    """What became of the transitions."""

    lost: list[tuple[int, int]]
    cancelled: list[int]


def settle(step: Step, transitions: Sequence[Transition]) -> Settled:
    """Apply each transition whose job is held under its token; tell of the others."""
    answer = Settled([], [])
    if len({each.number for each in transitions}) < len(transitions):
        for each in transitions:
            _settle(step, [each], answer)
    else:
        _settle(step, transitions, answer)
    return answer


def _settle(step: Step, transitions: Sequence[Transition], answer: Settled) -> None:
    completed: defaultdict[int, list[Transition]] = defaultdict(list)
    others: list[Transition] = []
    for each in transitions:
        (completed[each.token] if each.to is State.COMPLETED else others).append(each)
    ended: dict[int, int] = {}
    for token, batch in completed.items():
        if not _complete(step, token, batch, ended):
            others += batch
    missing = _one_by_one(step, others, ended, answer) if others else []
    if ended:
        step.news |= News.ENDS
        _see_to_dependents(step, ended)
    if missing:
        _look_for(step, missing, answer)


# --- the common case: successes, by whole sets --------------------------------------------------


def _complete(step: Step, token: int, batch: Sequence[Transition], ended: dict[int, int]) -> bool:
    """Complete all of these; False (and nothing done) if one needs a closer look."""
    tooks = {each.number: each.took for each in batch}
    numbers = as_json(list(tooks))
    kinds = step.handed.kinds(token, tooks)
    if kinds is None:
        kinds = [kind for (kind,) in step.rows(SQL["kinds"], (numbers,))]
    special = {kind for kind in set(kinds) if kind & (KEEPS | CHORES)}
    if len(kinds) < len(tooks) or any(kind & KEEPS for kind in special):
        return False
    if _write_completed(step, token, batch, tooks) < len(tooks):
        step.run(SQL["uncomplete"], (numbers, token))
        return False
    step.run(SQL["unrun"], (token, numbers))
    step.run(SQL["left"], (len(tooks), token))
    ended.update(dict.fromkeys(tooks, COMPLETED))
    _count(step, kinds, tooks)
    if special:
        ending.let_go(step, zip(tooks, kinds, strict=True))
    step.after(partial(step.handed.forget, token, tooks))
    return True


def _write_completed(
    step: Step, token: int, batch: Sequence[Transition], tooks: Mapping[int, int]
) -> int:
    """Write the rows of `finished` for those that are held; how many that were."""
    results = [
        (step.wall, each.took, each.result, each.number, token)
        for each in batch
        if each.result is not None
    ]
    done = step.many(SQL["complete_with"], results) if results else 0
    if len(results) < len(batch):
        if results:
            tooks = {each.number: each.took for each in batch if each.result is None}
        done += step.run(SQL["complete"], (step.wall, as_json(tooks), token)).rowcount
    return done


def _count(step: Step, kinds: Sequence[int], tooks: Mapping[int, int]) -> None:
    runs: dict[int, list[int]] = {kind >> 8: [] for kind in set(kinds)}
    if len(runs) == 1:
        runs = {kinds[0] >> 8: list(tooks.values())}
    else:
        for kind, took in zip(kinds, tooks.values(), strict=True):
            runs[kind >> 8].append(took)
    for kind, each in runs.items():
        queue, task = queue_of(kind << 8), task_of(kind << 8)
        step.moved[queue, RUNNING] -= len(each)
        step.moved[queue, COMPLETED] += len(each)
        _tell(step, queue, task, each, completed=len(each))


def _tell(step: Step, queue: int, task: int, runs: list[int], **counts: int) -> None:
    step.after(partial(step.statistics.ended, step.wall, queue, task, runs, **counts))


# --- everything else ----------------------------------------------------------------------------


class _Held(NamedTuple):
    """A running job, as far as its settlement must know it."""

    number: int
    token: int
    queue: int
    lane: int
    score: int
    lift: int
    attempt: int
    claims: int
    cancel: str | None
    task: int
    flags: int
    priority: int
    policy: int
    expires: int | None
    aging: int


class _Rows:
    """What is to be written, table by table."""

    def __init__(self) -> None:
        self.finished: list[tuple[Any, ...]] = []
        self.later: list[tuple[Any, ...]] = []
        self.ready: list[tuple[Any, ...]] = []
        self.errors: list[tuple[int, int, bytes]] = []
        self.expiries: list[tuple[int, int | None, int]] = []
        self.let_go: list[tuple[int, int]] = []


def _one_by_one(
    step: Step, transitions: Sequence[Transition], ended: dict[int, int], answer: Settled
) -> list[Transition]:
    """Apply those whose job is held; the rest is returned."""
    numbers = as_json([each.number for each in transitions])
    held = {row[0]: _Held(*row) for row in step.rows(SQL["held"], (numbers,))}
    rows, missing, left = _Rows(), [], Counter[int]()
    done: list[int] = []
    for each in transitions:
        job = held.get(each.number)
        if job is None or job.token != each.token:
            missing.append(each)
            continue
        left[each.token] += 1
        done.append(each.number)
        state = _apply(step, job, each, rows)
        if state >= COMPLETED:
            ended[each.number] = state
        if state == CANCELLED and job.cancel is not None:
            answer.cancelled.append(each.number)
    if done:
        step.run(SQL["unrun_all"], (as_json(done),))
        step.many(SQL["left"], [(n, token) for token, n in left.items()])
        _write(step, rows)
        step.after(lambda: _forget(step, transitions))
    return missing


def _apply(step: Step, job: _Held, transition: Transition, rows: _Rows) -> int:
    """Note the rows for one transition; the state it leads to."""
    state, reason = CODE[transition.to], transition.reason
    if job.cancel is not None and state != COMPLETED:
        state, reason = CANCELLED, job.cancel or reason
    if transition.error is not None:
        error = transition.error
        if not error.at:
            error = msgspec.structs.replace(error, at=step.wall)
        rows.errors.append((job.number, job.claims, _encode_error(error)))
    attempt = job.attempt - transition.give_back
    memory = (transition.token, CODE[transition.to])
    if state >= COMPLETED:
        _note_end(step, job, transition, state, (attempt, memory, reason), rows)
    else:
        _note_wait(step, job, transition, state, (attempt, memory, reason), rows)
    step.moved[job.queue, RUNNING] -= 1
    step.moved[job.queue, state] += 1
    _tell(
        step,
        job.queue,
        job.task,
        [] if transition.give_back else [transition.took],
        completed=int(state == COMPLETED),
        failed=int(state == FAILED),
        retried=int(state == RETRYING),
    )
    return state


def _note_end(
    step: Step,
    job: _Held,
    transition: Transition,
    state: int,
    facts: tuple[int, tuple[int, int], str | None],
    rows: _Rows,
) -> None:
    attempt, memory, reason = facts
    keep = None
    if state == COMPLETED and job.flags & KEEPS:
        keep = step.names.policy_of(step.run, job.policy).keep
    rows.finished.append(
        (
            *(job.number, state, job.queue, step.wall, transition.took),
            *(attempt, job.claims, *memory, keep, reason, transition.result),
        )
    )
    if job.flags & CHORES:
        rows.let_go.append((job.number, job.flags))


def _note_wait(
    step: Step,
    job: _Held,
    transition: Transition,
    state: int,
    facts: tuple[int, tuple[int, int], str | None],
    rows: _Rows,
) -> None:
    attempt, memory, reason = facts
    due = step.wall + transition.delay
    lift = job.lift if transition.old_score else job.priority * job.aging
    score = job.score if transition.old_score else due - lift
    lane = default_lane(job.queue) - _is_suspect(step, job, attempt + 1, transition.losses)
    past = (attempt, job.claims, transition.losses, transition.careful, *memory)
    if state == PENDING:
        rows.ready.append((lane, score, job.number, lift, 1, *past))
    else:
        rows.later.append(
            (
                *(job.number, job.queue, due, lane, score, lift),
                *(transition.old_score, state, *past, reason),
            )
        )
    if job.flags & EXPIRES:
        rows.expiries.append((job.queue, job.expires, job.number))


def _is_suspect(step: Step, job: _Held, attempt: int, losses: int) -> bool:
    """Whether the job must run beside no other next time (see `Claimed.alone`)."""
    if losses != 1:
        return losses > 1
    retry = step.names.policy_of(step.run, job.policy).retry
    return attempt > retry.max_retries


def _write(step: Step, rows: _Rows) -> None:
    if rows.finished:
        step.many(SQL["finished"], rows.finished)
    if rows.later:
        step.many(SQL["later"], rows.later)
    if rows.ready:
        step.news |= News.WORK
        step.many(SQL["ready"], rows.ready)
    if rows.expiries:
        step.many(SQL["expiry"], rows.expiries)
    if rows.errors:
        step.many(SQL["error"], rows.errors)
        step.many(
            SQL["old_errors"],
            [(number, claims - HISTORY) for number, claims, _ in rows.errors if claims > HISTORY],
        )
    if rows.let_go:
        ending.let_go(step, rows.let_go)


def _see_to_dependents(step: Step, ended: dict[int, int]) -> None:
    """Only if there is an edge to one of them: one look at the range that they lie in."""
    if step.row(SQL["any_edge"], (min(ended), max(ended))) is not None:
        ending.end(step, ended)


def _look_for(step: Step, transitions: Sequence[Transition], answer: Settled) -> None:
    """Repeats of what was done already are done; the others are lost."""
    where = {place.number: place for place in places(step, [t.number for t in transitions])}
    for each in transitions:
        place = where.get(each.number)
        if place is None or (place.last, place.did) != (each.token, CODE[each.to]):
            answer.lost.append((each.number, each.token))
        elif place.state == CANCELLED and each.to is not State.CANCELLED:
            answer.cancelled.append(each.number)
    step.after(lambda: _forget(step, transitions))


def _forget(step: Step, transitions: Sequence[Transition]) -> None:
    for each in transitions:
        step.handed.forget(each.token, (each.number,))
