"""What a job's end sets off: its dependents, its unique key; and the end of jobs that wait.

An edge is satisfied when its parent completed, or ended at all if it says to run anyway. A job
whose last open edge is satisfied is released; one with an edge that can no longer be satisfied
is cancelled, which is an end like any other. A step goes through at most `budget` edges and leaves
the rest to later steps, by a row in `release`.

Two parents that end at once lock the dependents they share, so that the later one sees what the
earlier one did. A dependent inserted while its parent ends may be seen by neither: `edge_new`.
"""

from collections.abc import Iterable, Mapping, Sequence

from mainspring.engines.common.codes import (
    BLOCKED,
    CANCELLED,
    COMPLETED,
    EDGES,
    PENDING,
    RETRYING,
    SCHEDULED,
    SLICE,
    UNIQUE,
    WAITING,
)
from mainspring.engines.common.sections import sections
from mainspring.engines.postgres import keys
from mainspring.engines.postgres.arrays import bigints
from mainspring.engines.postgres.places import Place, places
from mainspring.engines.postgres.step import BEHIND, Step
from mainspring.job import Reason
from mainspring.store import News

SQL = sections(__file__)


def cancel_waiting(step: Step, number: int, reason: str) -> bool:
    """Cancel this job if it waits; whether it did."""
    found = places(step, [number])
    if not found or found[0].state not in WAITING:
        return False
    end_waiting(step, found, CANCELLED, reason)
    return True


def end_waiting(
    step: Step, jobs: Sequence[Place], state: int, reason: str | None, budget: int | None = SLICE
) -> None:
    """End jobs that wait (and are locked), with all that follows from it."""
    _take_out(step, jobs, state, reason)
    end(step, {job.number: state for job in jobs}, budget)


def _take_out(step: Step, jobs: Sequence[Place], state: int, reason: str | None) -> None:
    """Move jobs from where they wait to `finished`."""
    if not jobs:
        return
    step.news |= News.ENDS
    if ready := [(j.lane, j.score, j.number) for j in jobs if j.state == PENDING]:
        step.run(SQL["unready"], tuple(map(bigints, zip(*ready, strict=True))))
    if numbers := [job.number for job in jobs if job.state in (SCHEDULED, RETRYING)]:
        step.run(SQL["unlater"], (bigints(numbers),))
    if numbers := [job.number for job in jobs if job.state == BLOCKED]:
        step.run(SQL["unblocked"], (bigints(numbers),))
    rows = [(j.number, j.queue, j.attempt, j.claims, j.last, j.did) for j in jobs]
    columns = tuple(map(bigints, zip(*rows, strict=True)))
    step.run(SQL["finished"], (step.wall, state, reason, *columns))
    for job in jobs:
        step.moved[job.queue, job.state] -= 1
        step.moved[job.queue, state] += 1
    let_go(step, [(job.number, job.flags) for job in jobs])


def let_go(step: Step, jobs: Iterable[tuple[int, int]]) -> None:
    """Give back what ended jobs (number, flags) held: unique keys, and their edges to parents."""
    taken, edges = [], []
    for number, flags in jobs:
        if flags & UNIQUE:
            taken.append(number)
        if flags & EDGES:
            edges.append(number)
    if taken:
        step.run(SQL["free_keys"], (bigints(taken), step.wall))
    if edges:
        step.run(SQL["drop_edges"], (bigints(edges),))


# --- dependents ---------------------------------------------------------------------------------


def end(step: Step, ended: Mapping[int, int], budget: int | None = SLICE) -> None:
    """See to the dependents of jobs (number: state) that ended just now."""
    left = budget
    wave = dict(ended)
    while wave:
        limit = None if left is None else left + 1
        edges = step.rows(SQL["edges"], (bigints(wave), limit))
        if left is not None and len(edges) > left:
            edges = edges[:left]
            _leave(step, wave, edges)
        if left is not None:
            left -= len(edges)
        wave = _follow(step, wave, edges)


def follow(step: Step, ended: Mapping[int, int], edges: Sequence[tuple[int, int, int]]) -> None:
    """See to these edges alone (parent, child, anyway), whose parents ended some time ago."""
    end(step, _follow(step, ended, edges), budget=None)


def _leave(step: Step, wave: dict[int, int], done: Sequence[tuple[int, int, int]]) -> None:
    """Leave the dependents not reached to later steps."""
    after = {parent: child for parent, child, _ in done}
    reached = list(after)[-1] if after else None
    order = list(wave)
    rest = order[order.index(reached) :] if reached is not None else order
    children = bigints([after.get(parent, 0) for parent in rest])
    step.run(SQL["leave"], (bigints(rest), children))


def _follow(
    step: Step, ended: Mapping[int, int], edges: Sequence[tuple[int, int, int]]
) -> dict[int, int]:
    """Satisfy or break these edges (parent, child, anyway); the jobs that ended by it."""
    if not edges:
        return {}
    broken: dict[int, int] = {}
    satisfied = []
    for parent, child, anyway in edges:
        if anyway or ended[parent] == COMPLETED:
            satisfied.append((parent, child))
        else:
            broken.setdefault(child, parent)
    if broken:
        keys.lock(step, list(broken))
    step.rows(SQL["lock"], (bigints({child for _, child, _ in edges}),))
    if satisfied:
        step.run(SQL["satisfy"], tuple(map(bigints, zip(*satisfied, strict=True))))
        _release(step, [child for _, child in satisfied if child not in broken])
    if not broken:
        return {}
    fallen = [job for job in places(step, list(broken)) if job.state == BLOCKED]
    if not fallen:
        return {}
    _take_out(step, fallen, CANCELLED, Reason.DEPENDENCY_FAILED)
    parents = [broken[job.number] for job in fallen]
    step.run(SQL["break"], (bigints(parents), bigints([job.number for job in fallen])))
    return {job.number: CANCELLED for job in fallen}


def _release(step: Step, children: Sequence[int]) -> None:
    """Let go those of the blocked jobs that no open edge holds any more."""
    free = [number for (number,) in step.rows(SQL["free"], (bigints(set(children)),))]
    if not free:
        return
    step.news |= News.WORK
    rows = step.rows(
        SQL["release"], {"free": bigints(free), "wall": step.wall, "behind": step.wall - BEHIND}
    )
    for queue, due in rows:
        step.moved[queue, BLOCKED] -= 1
        step.moved[queue, PENDING if due <= step.wall else SCHEDULED] += 1


def work_off(step: Step, limit: int = SLICE) -> int:
    """Go on with dependents that earlier steps left or could not see; how many edges were dealt
    with."""
    done = 0
    while done < limit and (rows := step.rows(SQL["next_releases"], (limit - done,))):
        ended = {parent: state for parent, state, _ in rows}
        after = [child for _, _, child in rows]
        edges = step.rows(SQL["edges_after"], (bigints(ended), bigints(after), limit - done + 1))
        through = list(ended)
        if len(edges) > limit - done:
            edges = edges[: limit - done]
            parent, child, _ = edges[-1]
            step.run(SQL["advance_release"], (child, parent))
            through = through[: through.index(parent)]
        step.run(SQL["drop_releases"], (bigints(through),))
        end(step, _follow(step, ended, edges), SLICE)
        done += max(len(edges), len(through))
    unseen = step.rows(SQL["unseen"], (limit,))
    if unseen:
        ended = {parent: state for parent, _, _, state in unseen}
        edges = [(parent, child, anyway) for parent, child, anyway, _ in unseen]
        end(step, _follow(step, ended, edges), SLICE)
    return done + len(unseen)


def expect(step: Step, edges: Sequence[tuple[int, int]]) -> None:
    """These edges (parent, child) are new; an end that is being written may not see them."""
    if edges:
        step.run(SQL["expect"], tuple(map(bigints, zip(*edges, strict=True))))


def forget_expected(step: Step) -> None:
    """Look no more at edges that every transaction knows of which has not ended."""
    step.run(SQL["date_expected"])
    step.run(SQL["drop_expected"])
