"""Replay: ended jobs run again, as if they were new; what was cancelled because of them waits
again.

Attempts start at 0; claims, history and log stay. A time to live starts anew.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from mainspring.engines.common.codes import (
    BLOCKED,
    CANCELLED,
    COMPLETED,
    EDGES,
    EXPIRES,
    OPEN,
    PENDING,
    SATISFIED,
    SINGLE,
    UNIQUE,
    default_lane,
)
from mainspring.engines.common.extra import Extra, decode_extra
from mainspring.engines.common.sections import sections
from mainspring.engines.postgres import ending, keys
from mainspring.engines.postgres.arrays import bigints, blobs
from mainspring.engines.postgres.operate import Slice
from mainspring.engines.postgres.places import Place, places
from mainspring.engines.postgres.step import BEHIND, Step
from mainspring.store import News

SQL = sections(__file__)


def replay(step: Step, numbers: Sequence[int]) -> Slice:
    """Put ended jobs back, each with those cancelled because of it."""
    answer = Slice([], {})
    back: set[int] = set()
    for job in places(step, numbers):
        if job.number in back:
            answer.ids.append(job.id)
        elif job.state < COMPLETED:
            answer.refused[job.id] = "the job has not ended"
        elif holder := _put_back(step, job, back):
            answer.refused[job.id] = f"its unique key is held by job {UUID(bytes=holder)}"
        else:
            answer.ids.append(job.id)
    if answer.ids:
        step.news |= News.JOBS
    return answer


def _put_back(step: Step, job: Place, back: set[int]) -> bytes | None:
    """Put back a job and, wave by wave, all that was cancelled because of it; or the holder of its
    unique key, if that is another."""
    bodies = _bodies(step, [job])
    if holder := _take_key(step, job, bodies):
        return holder
    wave = [job]
    while wave:
        _wait_again(step, wave, bodies)
        back.update(each.number for each in wave)
        broken = step.rows(SQL["broken"], (bigints([each.number for each in wave]),))
        children = places(step, [number for (number,) in broken if number not in back])
        fallen = [child for child in children if child.state == CANCELLED]
        bodies = _bodies(step, fallen)
        wave = [child for child in fallen if not _take_key(step, child, bodies)]
    return None


class _Body(NamedTuple):
    extra: Extra
    aging: int


Bodies = dict[int, _Body]


def _bodies(step: Step, jobs: Sequence[Place]) -> Bodies:
    """What else is to be known of these jobs, by their numbers."""
    if not jobs:
        return {}
    rows = step.rows(SQL["bodies"], (bigints([job.number for job in jobs]),))
    return {number: _Body(decode_extra(extra), aging) for number, extra, aging in rows}


def _take_key(step: Step, job: Place, bodies: Bodies) -> bytes | None:
    """Hold the job's unique key again, if it has one; or the id of another that holds it."""
    if not job.flags & UNIQUE:
        return None
    extra = bodies[job.number].extra
    assert extra.unique is not None
    keys.reserve(step, [extra.unique])
    holder = keys.holder(step, extra.unique)
    if holder is not None and holder.number != job.number:
        return holder.id
    keys.take(step, [(extra.unique, job.number, job.created + extra.unique_for)])
    # At once: a job that has ended may be made to give up its key to the next of the wave.
    step.run(SQL["unfinish"], (bigints([job.number]),))
    return None


def _wait_again(step: Step, jobs: Sequence[Place], bodies: Bodies) -> None:
    """Give ended jobs a place among the waiting."""
    numbers = bigints([job.number for job in jobs])
    for name in ("unfinish", "unprogress", "unrelease"):
        step.run(SQL[name], (numbers,))
    held = _renew_edges(step, [job for job in jobs if job.flags & EDGES], bodies)
    expires = {
        job.number: step.wall + (bodies[job.number].extra.expires or 0)
        for job in jobs
        if job.flags & EXPIRES
    }
    if expires:
        step.run(SQL["expires"], (bigints(expires), bigints(expires.values())))
    blocked, ready = [], []
    for job in jobs:
        until, waits = expires.get(job.number), job.number in held
        if waits:
            blocked.append((job.number, job.last, until, job.queue, job.claims, job.did))
        else:
            lift = job.priority * bodies[job.number].aging
            key = (step.wall - lift, job.number, lift, job.last, default_lane(job.queue), job.task)
            careful, behind = job.flags & SINGLE != 0, lift > BEHIND
            ready.append((*key, job.claims, job.did, careful, behind, until))
        step.moved[job.queue, job.state] -= 1
        step.moved[-job.queue, job.state] += 1
        step.moved[job.queue, BLOCKED if waits else PENDING] += 1
    if blocked:
        step.run(SQL["blocked"], (step.wall, *map(bigints, zip(*blocked, strict=True))))
    if ready:
        step.run(SQL["ready"], tuple(map(bigints, zip(*ready, strict=True))))


def _renew_edges(step: Step, jobs: Sequence[Place], bodies: Bodies) -> set[int]:
    """Write these jobs' edges anew, to the parents that are still there; the jobs with an open
    one."""
    if not jobs:
        return set()
    for name in ("drop_edges", "drop_new_edges"):
        step.run(SQL[name], (bigints([job.number for job in jobs]),))
    ids = {edge.parent for job in jobs for edge in bodies[job.number].extra.edges}
    parents = {
        id: (number, state) for id, number, state in step.rows(SQL["parents"], (blobs([*ids]),))
    }
    rows: dict[tuple[int, int], tuple[bool, int]] = {}
    for job in jobs:
        for edge in bodies[job.number].extra.edges:
            if edge.parent not in parents:
                continue
            number, state = parents[edge.parent]
            done = state == COMPLETED or (state is not None and edge.run_anyway)
            if rows.get((number, job.number), (False, SATISFIED))[1] != OPEN:
                rows[number, job.number] = edge.run_anyway, SATISFIED if done else OPEN
    if rows:
        columns = zip(*(key + row for key, row in rows.items()), strict=True)
        step.run(SQL["edge"], tuple(map(bigints, columns)))
        # What ended since the parents were looked at is looked for again.
        open_ends = {number for number, state in parents.values() if state is None}
        ending.expect(step, [edge for edge in rows if edge[0] in open_ends])
    return {child for (_, child), (_, state) in rows.items() if state == OPEN}
