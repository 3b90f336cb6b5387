"""Replay: ended jobs run again, as if they were new; what was cancelled because of them waits
again.

Attempts start at 0; claims, history and log stay. A time to live starts anew.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from mainspring.engines.common.codes import (
    BLOCKED,
    CANCELLED,
    COMPLETED,
    EDGES,
    EXPIRES,
    FAILED,
    OPEN,
    PENDING,
    SATISFIED,
    SINGLE,
    SLICE,
    UNIQUE,
    default_lane,
)
from mainspring.engines.common.extra import Extra, decode_extra
from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite import ending, keys
from mainspring.engines.sqlite.operate import Slice
from mainspring.engines.sqlite.places import Place, places
from mainspring.engines.sqlite.step import Step, as_json
from mainspring.store import News

SQL = sections(__file__)


def replay(step: Step, numbers: Sequence[int]) -> Slice:
    """Put ended jobs back, each with those cancelled because of it."""
    answer = Slice([], {})
    back: list[int] = []
    for job in places(step, numbers):
        if job.state < COMPLETED:
            answer.refused[job.id] = "the job has not ended"
        elif words := _again(step, job):
            answer.refused[job.id] = words
        else:
            answer.ids.append(job.id)
            back.append(job.number)
    _bring_back(step, back)
    return answer


def go_on(step: Step, parent: int, state: int | None, after: int, limit: int) -> int:
    """Go on with what an earlier step left of those cancelled because of this job; how many were
    looked at. If it ended badly once more, they stay as they are."""
    fallen = [] if state in (FAILED, CANCELLED) else step.rows(SQL["next"], (parent, after, limit))
    if len(fallen) < limit:
        step.run(SQL["unreturn"], (parent,))
    else:
        step.run(SQL["advance"], (fallen[-1][0], parent))
    _bring_back(step, _again_all(step, [number for (number,) in fallen]))
    return len(fallen) or 1


def _bring_back(step: Step, replayed: Sequence[int]) -> None:
    """Put back what was cancelled because of these, and because of those, wave by wave. One step
    puts back a slice and leaves the rest to later ones."""
    if replayed:
        step.news |= News.JOBS
    left, wave = SLICE, list(replayed)
    while wave:
        fallen = step.rows(SQL["fallen"], (as_json(wave), left + 1))
        if len(fallen) > left:
            fallen = fallen[:left]
            rows = [(-parent, after) for parent, after in ending.unreached(wave, fallen)]
            step.many(SQL["leave"], rows)
        left -= len(fallen)
        wave = _again_all(step, [child for _, child in fallen])


def _again_all(step: Step, fallen: Sequence[int]) -> list[int]:
    """Give jobs that were cancelled a place again; which of them got one."""
    return [
        job.number
        for job in places(step, fallen)
        if job.state == CANCELLED and not _again(step, job)
    ]


def _again(step: Step, job: Place) -> str | None:
    """Give one ended job a place among the waiting; or say why it gets none."""
    column, aging = step.row(SQL["body"], (job.number,))
    try:
        extra = decode_extra(column)
    except msgspec.MsgspecError as error:
        return f"what is stored of it is damaged: {error}"
    if job.flags & UNIQUE and (holder := _take_key(step, job, extra)):
        return f"its unique key is held by job {UUID(bytes=holder)}"
    waits = job.flags & EDGES and _renew_edges(step, job, extra)
    for name in ("unfinish", "unprogress", "unrelease"):
        step.run(SQL[name], (job.number,))
    if waits:
        row = (job.number, job.queue, step.wall, job.claims, job.last, job.did)
        step.run(SQL["blocked"], row)
    else:
        lift = job.priority * aging
        key = (default_lane(job.queue), step.wall - lift, job.number)
        step.run(SQL["ready"], (*key, lift, job.claims, job.flags & SINGLE != 0, job.last, job.did))
    if job.flags & EXPIRES:
        expires = step.wall + (extra.expires or 0)
        step.run(SQL["expires"], (expires, job.number))
        step.run(SQL["expiry"], (job.queue, expires, job.number))
    step.moved[job.queue, job.state] -= 1
    step.moved[-job.queue, job.state] += 1
    step.moved[job.queue, BLOCKED if waits else PENDING] += 1
    return None


def _take_key(step: Step, job: Place, extra: Extra) -> bytes | None:
    """Hold the unique key again; or the id of another that holds it."""
    assert extra.unique is not None
    holder = keys.holder(step, extra.unique)
    if holder is not None and holder.number != job.number:
        return holder.id
    keys.free(step, job.number)
    keys.take(step, extra.unique, job.number, job.created + extra.unique_for)
    return None


def _renew_edges(step: Step, job: Place, extra: Extra) -> bool:
    """Write the job's edges anew, to the parents that are still there; whether one is open."""
    step.run(SQL["drop_edges"], (job.number,))
    ids = [edge.parent for edge in extra.edges]
    parents = {
        id: (number, state)
        for id, number, state in step.rows(SQL["parents"], (len(ids), b"".join(ids)))
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
    step.many(SQL["edge"], rows.values())
    return any(row[3] == OPEN for row in rows.values())
