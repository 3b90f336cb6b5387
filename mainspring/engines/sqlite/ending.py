"""What a job's end sets off: its dependents, its unique key; and the end of jobs that wait.

An edge is satisfied when its parent completed, or ended at all if it says to run anyway. A job
whose last open edge is satisfied is released; one with an edge that can no longer be satisfied
is cancelled, which is an end like any other. A step goes through at most `budget` edges and leaves
the rest to later steps, by a row in `release`.
"""

from collections.abc import Iterable, Mapping, Sequence

from mainspring.engines.common.codes import (
    BLOCKED,
    CANCELLED,
    COMPLETED,
    EDGES,
    EXPIRES,
    PENDING,
    RETRYING,
    SCHEDULED,
    SLICE,
    UNIQUE,
)
from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite.places import Place, places
from mainspring.engines.sqlite.step import Step, as_json
from mainspring.job import Reason
from mainspring.store import News

SQL = sections(__file__)

_WAITING = frozenset({SCHEDULED, BLOCKED, PENDING, RETRYING})


def cancel_waiting(step: Step, number: int, reason: str) -> bool:
    """Cancel this job if it waits; whether it did."""
    found = places(step, [number])
    if not found or found[0].state not in _WAITING:
        return False
    end_waiting(step, found, CANCELLED, reason)
    return True


def end_waiting(step: Step, jobs: Sequence[Place], state: int, reason: str | None) -> None:
    """End jobs that wait, with all that follows from it."""
    _take_out(step, jobs, state, reason)
    end(step, {job.number: state for job in jobs})


def _take_out(step: Step, jobs: Sequence[Place], state: int, reason: str | None) -> None:
    """Move jobs from where they wait to `finished`."""
    step.news |= News.ENDS
    step.many(SQL["unready"], [(j.lane, j.score, j.number) for j in jobs if j.state == PENDING])
    if numbers := [job.number for job in jobs if job.state in (SCHEDULED, RETRYING)]:
        step.run(SQL["unlater"], (as_json(numbers),))
    if numbers := [job.number for job in jobs if job.state == BLOCKED]:
        step.run(SQL["unblocked"], (as_json(numbers),))
    step.many(
        SQL["finished"],
        [
            (j.number, state, j.queue, step.wall, j.attempt, j.claims, j.last, j.did, reason)
            for j in jobs
        ],
    )
    unexpire(step, [(j.queue, j.expires, j.number) for j in jobs if j.flags & EXPIRES])
    for job in jobs:
        step.moved[job.queue, job.state] -= 1
        step.moved[job.queue, state] += 1
    let_go(step, [(job.number, job.flags) for job in jobs])


def unexpire(step: Step, rows: Sequence[tuple[int, int | None, int]]) -> None:
    """These jobs (queue, moment, number) do not wait any more."""
    if rows:
        step.many(SQL["unexpire"], rows)


def let_go(step: Step, jobs: Iterable[tuple[int, int]]) -> None:
    """Give back what ended jobs (number, flags) held: unique keys, and their edges to parents."""
    keys, edges = [], []
    for number, flags in jobs:
        if flags & UNIQUE:
            keys.append(number)
        if flags & EDGES:
            edges.append(number)
    if keys:
        step.run(SQL["free_keys"], (as_json(keys), step.wall))
    if edges:
        step.run(SQL["drop_edges"], (as_json(edges),))


# --- dependents ---------------------------------------------------------------------------------


def end(step: Step, ended: Mapping[int, int], budget: int | None = SLICE) -> None:
    """See to the dependents of jobs (number: state) that ended just now."""
    left = budget
    wave = dict(ended)
    while wave:
        limit = -1 if left is None else left + 1
        edges = step.rows(SQL["edges"], (as_json(list(wave)), limit))
        if left is not None and len(edges) > left:
            edges = edges[:left]
            step.many(SQL["leave"], unreached(list(wave), edges))
        if left is not None:
            left -= len(edges)
        wave = _follow(step, wave, edges)


def follow(step: Step, ended: Mapping[int, int], edges: Sequence[tuple[int, int, int]]) -> None:
    """See to these edges alone (parent, child, anyway), whose parents ended some time ago."""
    end(step, _follow(step, ended, edges), budget=None)


def unreached(
    parents: Sequence[int], done: Sequence[tuple[int, int, int]]
) -> list[tuple[int, int]]:
    """The jobs with dependents that a step did not reach, and the dependent done last of each:
    `done` are the edges (parent, child, …) that it reached, in the order of the jobs."""
    after = {edge[0]: edge[1] for edge in done}
    first = parents.index(list(after)[-1]) if after else 0
    return [(parent, after.get(parent, 0)) for parent in parents[first:]]


def _follow(
    step: Step, ended: Mapping[int, int], edges: Sequence[tuple[int, int, int]]
) -> dict[int, int]:
    """Satisfy or break these edges (parent, child, anyway); the jobs that ended by it."""
    broken: dict[int, int] = {}
    satisfied = []
    for parent, child, anyway in edges:
        if anyway or ended[parent] == COMPLETED:
            satisfied.append((parent, child))
        else:
            broken.setdefault(child, parent)
    if satisfied:
        step.many(SQL["satisfy"], satisfied)
        children = {child for _, child in satisfied if child not in broken}
        _release(step, list(children))
    if not broken:
        return {}
    _take_out(step, places(step, list(broken)), CANCELLED, Reason.DEPENDENCY_FAILED)
    step.many(SQL["break"], [(parent, child) for child, parent in broken.items()])
    return dict.fromkeys(broken, CANCELLED)


def _release(step: Step, children: Sequence[int]) -> None:
    """Let go those of the blocked jobs that no open edge holds any more."""
    free = as_json([number for (number,) in step.rows(SQL["free"], (as_json(children),))])
    rows = step.rows(SQL["released"], (free,))
    for queue, due in rows:
        step.moved[queue, BLOCKED] -= 1
        step.moved[queue, PENDING if due <= step.wall else SCHEDULED] += 1
    if not rows:
        return
    step.news |= News.WORK
    step.run(SQL["release_ready"], (step.wall, free))
    step.run(SQL["release_later"], (step.wall, free))
    step.run(SQL["unblocked"], (free,))


def go_on(step: Step, parent: int, state: int, after: int, limit: int) -> int:
    """Go on with dependents of this ended job that an earlier step left; how many edges were
    dealt with."""
    edges = step.rows(SQL["edges_after"], (parent, after, limit))
    if len(edges) < limit:
        step.run(SQL["drop_release"], (parent,))
    else:
        step.run(SQL["advance_release"], (edges[-1][1], parent))
    end(step, _follow(step, {parent: state}, edges))
    return len(edges) or 1
