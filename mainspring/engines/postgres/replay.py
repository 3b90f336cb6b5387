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
    step.matters = step.matters or bool(answer.ids)
    return answer


def _put_back(step: Step, job: Place, back: set[int]) -> bytes | None:
    """Put back a job and, one after the other, all that was cancelled because of it; or the
    holder of its unique key, if that is another."""
    if holder := _again(step, job):
        return holder
    back.add(job.number)
    wave = [job.number]
    while wave:
        children = [n for (n,) in step.rows(SQL["broken"], (bigints(wave),)) if n not in back]
        wave = []
        for child in places(step, children):
            if child.state == CANCELLED and not _again(step, child):
                back.add(child.number)
                wave.append(child.number)
    return None


class _Body(NamedTuple):
    extra: Extra
    aging: int


def _again(step: Step, job: Place) -> bytes | None:
    """Give one ended job a place among the waiting; or the holder of its key."""
    extra, aging = step.row(SQL["body"], (job.number,))
    body = _Body(decode_extra(extra), aging)
    if job.flags & UNIQUE and (holder := _take_key(step, job, body.extra)):
        return holder
    waits = job.flags & EDGES and _renew_edges(step, job, body.extra)
    expires = None
    if job.flags & EXPIRES:
        expires = step.wall + (body.extra.expires or 0)
        step.run(SQL["expires"], (expires, job.number))
    for name in ("unfinish", "unprogress", "unrelease"):
        step.run(SQL[name], (job.number,))
    if waits:
        row = (job.number, step.wall, job.last, expires, job.queue, job.claims, job.did)
        step.run(SQL["blocked"], row)
    else:
        lift = job.priority * body.aging
        key = (step.wall - lift, job.number, lift, job.last, default_lane(job.queue), job.task)
        careful, behind = job.flags & SINGLE != 0, lift > BEHIND
        step.run(SQL["ready"], (*key, job.claims, job.did, careful, behind, expires))
    step.moved[job.queue, job.state] -= 1
    step.moved[job.queue, BLOCKED if waits else PENDING] += 1
    return None


def _take_key(step: Step, job: Place, extra: Extra) -> bytes | None:
    """Hold the unique key again; or the id of another that holds it."""
    assert extra.unique is not None
    keys.reserve(step, [extra.unique])
    holder = keys.holder(step, extra.unique)
    if holder is not None and holder.number != job.number:
        return holder.id
    keys.take(step, [(extra.unique, job.number, job.created + extra.unique_for)])
    return None


def _renew_edges(step: Step, job: Place, extra: Extra) -> bool:
    """Write the job's edges anew, to the parents that are still there; whether one is open."""
    step.run(SQL["drop_edges"], (job.number,))
    step.run(SQL["drop_new_edges"], (job.number,))
    ids = [edge.parent for edge in extra.edges]
    parents = {
        id: (number, state) for id, number, state in step.rows(SQL["parents"], (blobs(ids),))
    }
    rows: dict[int, tuple[int, int, bool, int]] = {}
    for edge in extra.edges:
        if edge.parent not in parents:
            continue
        number, state = parents[edge.parent]
        done = state == COMPLETED or (state is not None and edge.run_anyway)
        if number in rows and rows[number][3] == OPEN:
            continue
        rows[number] = number, job.number, edge.run_anyway, SATISFIED if done else OPEN
    if rows:
        step.run(SQL["edge"], tuple(map(bigints, zip(*rows.values(), strict=True))))
        # What ended since the parents were looked at is looked for again.
        open_ends = {number for number, state in parents.values() if state is None}
        ending.expect(step, [row[:2] for row in rows.values() if row[0] in open_ends])
    return any(row[3] == OPEN for row in rows.values())
