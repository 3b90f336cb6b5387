"""Claim: hand out the next jobs under a grant, in order, none to two.

A claim first makes ready what has fallen due; what waited too long it passes over, and upkeep ends
it. It then reads lanes: of each queue the default lane, and the suspects' lane as far as
`Claim.alone` goes. Rows that another claim has locked are passed over too.
"""

import threading
import time
from collections.abc import Sequence
from functools import partial
from itertools import repeat
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from mainspring.engines.common.codes import FAILED, PENDING, SLICE, WAITING, default_lane
from mainspring.engines.common.handed import queue_of, task_of
from mainspring.engines.common.sections import sections
from mainspring.engines.postgres import ending
from mainspring.engines.postgres.arrays import bigints, plain, texts
from mainspring.engines.postgres.places import places
from mainspring.engines.postgres.reader import Reader
from mainspring.engines.postgres.step import BEHIND, Step
from mainspring.job import Claimed, Reason
from mainspring.store import Claim, Exchanged, Grant

SQL = sections(__file__)

Row: TypeAlias = tuple[Any, ...]
"""number, id, payload, attempt, claims, losses, created, due, headers, policy, score, kind,
lane."""

_NUMBER, _DUE, _SCORE, _KIND, _LANE = 0, 7, 10, 11, 12
_kind = itemgetter(_KIND)

HEAD = -(1 << 62)
HEAD_SECONDS = 1.0
"""How often a lane is read from its true head."""


class Floors:
    """Where the scan of each lane begins: 2 s behind the last score taken, so that it does not
    walk over what earlier claims left dead; now and then at the true head, for what was committed
    late."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._floors: dict[int, tuple[int, float]] = {}

    def get(self, lane: int) -> int:
        """From which score on to read."""
        with self._lock:
            floor, since = self._floors.get(lane, (HEAD, 0.0))
            if floor > HEAD and time.monotonic() - since > HEAD_SECONDS:
                del self._floors[lane]
                return HEAD
            return floor

    def reached(self, lane: int, score: int, wall: int) -> None:
        """All before this score is taken. (A score may lie ahead of the clock: others may come
        before it.)"""
        floor = min(score, wall) - BEHIND
        with self._lock:
            _, since = self._floors.get(lane, (HEAD, time.monotonic()))
            self._floors[lane] = floor, since

    def forget(self) -> None:
        """Read from the head."""
        with self._lock:
            self._floors.clear()


class Queue(NamedTuple):
    """A queue that is not paused, and what there is in it: when its next job falls due, whether
    the default lane and the suspects' lane have jobs."""

    number: int
    name: str
    due: int | None
    ready: bool
    suspects: bool


class Survey(NamedTuple):
    """All that a claim looks at before it takes anything."""

    known: bool
    left_over: bool
    queues: list[Queue]

    def chores(self, wall: int) -> bool:
        """Whether something is to be done before anything is taken."""
        due = (queue.due for queue in self.queues if queue.due is not None)
        return self.known or self.left_over or any(each <= wall for each in due)

    def next_due(self) -> int | None:
        """When the next job that waits for its time falls due."""
        return min((queue.due for queue in self.queues if queue.due is not None), default=None)


def claim_plainly(step: Step, wish: Claim, floors: Floors) -> Exchanged | None:
    """What this wish gets, if at most one statement writes: then it needs no transaction around
    it. None, and nothing was done, if there is more to do than to take jobs."""
    found = survey(step, wish)
    return None if found.chores(step.wall) else _claim(step, wish, found, floors)


def survey(reader: Reader, wish: Claim) -> Survey:
    """Look at everything that this wish may be about."""
    names = None if wish.queues is None else texts(wish.queues)
    rows = reader.rows(SQL["survey"], (wish.grant.token, names))
    queues = [Queue(*row[2:]) for row in rows if row[2] is not None]
    if wish.queues is not None:
        order = {plain(name): place for place, name in reversed(list(enumerate(wish.queues)))}
        queues.sort(key=lambda queue: order[queue.name])
    return Survey(rows[0][0], rows[0][1], queues)


def claim(step: Step, wish: Claim, floors: Floors) -> Exchanged:
    """What this wish gets. Under a token that is known: what that still holds."""
    found = survey(step, wish)
    if found.known:
        return Exchanged(held(step, [wish.grant.token]))
    if found.left_over:
        ending.work_off(step)
    promoted = [
        queue.number
        for queue in found.queues
        if queue.due is not None
        and queue.due <= step.wall
        and promote(step, queue.number, max(SLICE, wish.limit))
    ]
    if promoted or found.left_over:
        found = survey(step, wish)
    return _claim(step, wish, found, floors)


def _claim(step: Step, wish: Claim, found: Survey, floors: Floors) -> Exchanged:
    rows, more = _take(step, wish, found.queues, floors)
    if not rows:
        return Exchanged(next_due=found.next_due(), more=more)
    _remember(step, wish, rows)
    return Exchanged(_claimed(step, wish, rows), next_due=found.next_due(), more=more)


def _claimed(step: Step, wish: Claim, rows: Sequence[Row]) -> list[Claimed]:
    # By columns: a few calls that run through all rows, instead of a few for each row.
    columns = zip(*rows, strict=True)
    numbers, ids, payloads, attempts, claims, losses, created, dues, headers, *rest = columns
    policies, _, kinds, _ = rest
    names, read = step.names, step.rows
    bodies = {policy: names.policy_body(read, policy) for policy in set(policies)}
    labels = {
        kind: (names.queue_name(read, queue_of(kind)), names.task_name(read, task_of(kind)))
        for kind in set(kinds)
    }
    queues, tasks = zip(*map(labels.__getitem__, kinds), strict=True)
    return list(
        map(
            Claimed,
            *(numbers, repeat(wish.grant.token), ids, queues, tasks, payloads, attempts),
            *(claims, losses, created, dues, map(bodies.__getitem__, policies), headers),
        )
    )


# --- what is due, what is late ------------------------------------------------------------------


def promote(step: Step, queue: int, limit: int = SLICE) -> int:
    """Make ready what has fallen due in a queue, at most so many; how many."""
    ((due,),) = step.rows(SQL["how_many_due"], (queue, step.wall, limit + 1))
    # Not all at once: then in the order of the claim, so that nothing urgent waits behind.
    name = "promote" if due <= limit else "promote_by_score"
    moved = step.rows(
        SQL[name],
        {"queue": queue, "wall": step.wall, "limit": limit, "behind": step.wall - BEHIND},
    )
    for state, n in moved:
        step.moved[queue, state] -= n
        step.moved[queue, PENDING] += n
    return sum(n for _, n in moved)


def expire(step: Step, queue: int, limit: int = SLICE) -> int:
    """End what has waited too long in a queue, at most so many; how many."""
    late = [
        number
        for (number,) in step.rows(SQL["late"], {"queue": queue, "wall": step.wall, "limit": limit})
    ]
    # Some may be claimed or ended by others in the meantime.
    waiting = [job for job in places(step, late) if job.state in WAITING]
    if waiting:
        ending.end_waiting(step, waiting, FAILED, Reason.EXPIRED)
    return len(waiting)


# --- taking -------------------------------------------------------------------------------------


class _Lane(NamedTuple):
    lane: int
    order: int
    floor: int


def _take(
    step: Step, wish: Claim, queues: Sequence[Queue], floors: Floors
) -> tuple[list[Row], bool]:
    """The rows moved to `running`, and whether the claim stopped at its limit or a careful job."""
    lanes = []
    for place, queue in enumerate(queues):
        order = 0 if wish.queues is None else place
        lane = default_lane(queue.number)
        if queue.ready:
            floor = HEAD if wish.choosy else floors.get(lane)
            lanes.append(_Lane(lane, order, floor))
        if queue.suspects and wish.alone > 0:
            lanes.append(_Lane(lane - 1, order, HEAD))
    if not lanes or wish.limit <= 0:
        return [], False
    tasks = None
    if wish.tasks is not None:
        tasks = [task for (task,) in step.rows(SQL["tasks"], (texts(wish.tasks),))]
    rows, stopped = _take_from(step, wish, lanes, tasks)
    if not rows and not stopped and any(lane.floor > HEAD for lane in lanes):
        floors.forget()
        lanes = [lane._replace(floor=HEAD) for lane in lanes]
        rows, stopped = _take_from(step, wish, lanes, tasks)
    full = stopped or len(rows) == wish.limit
    if not wish.choosy and not stopped:
        last = {row[_LANE]: row[_SCORE] for row in rows}
        for lane, score in last.items():
            if lane & 1 == 0:
                step.after(partial(floors.reached, lane, score, step.wall))
    return rows, full


def _take_from(
    step: Step, wish: Claim, lanes: Sequence[_Lane], tasks: Sequence[int] | None
) -> tuple[list[Row], bool]:
    shares = {lane.lane: wish.limit for lane in lanes}
    if len(lanes) > 1 or lanes[0].lane & 1:
        shares = dict(step.rows(SQL["shares"], _offers(step, wish, lanes, tasks)))
        lanes = [lane for lane in lanes if lane.lane in shares]
    if not lanes:
        return [], False
    grant = wish.grant
    rows = step.rows(
        SQL["take"],
        (
            *(grant.token, plain(grant.worker), step.lease + grant.lease, step.wall),
            bigints([lane.lane for lane in lanes]),
            bigints([lane.order for lane in lanes]),
            bigints([lane.floor for lane in lanes]),
            bigints([shares[lane.lane] for lane in lanes]),
            wish.slots,
            None if tasks is None else bigints(tasks),
            wish.reach if wish.choosy else None,
            *(wish.priorities or (None, None)),
        ),
    )
    stopped = bool(rows) and rows[-1][_NUMBER] is None
    if stopped:
        rows.pop()
    if len(lanes) > 1:
        order = {lane.lane: lane.order for lane in lanes}
        rows.sort(key=lambda row: (order[row[_LANE]], row[_SCORE], row[_NUMBER]))
    return rows, stopped


def _offers(
    step: Step, wish: Claim, lanes: Sequence[_Lane], tasks: Sequence[int] | None
) -> tuple[Any, ...]:
    return (
        bigints([lane.lane for lane in lanes]),
        bigints([lane.order for lane in lanes]),
        bigints([lane.floor for lane in lanes]),
        wish.limit,
        wish.alone,
        step.wall,
        None if tasks is None else bigints(tasks),
        *(wish.priorities or (None, None)),
    )


def _remember(step: Step, wish: Claim, rows: Sequence[Row]) -> None:
    wall, kinds = step.wall, list(map(_kind, rows))
    waits: dict[int, list[int]] = {kind >> 8: [] for kind in set(kinds)}
    if len(waits) == 1:
        waits = {kinds[0] >> 8: [wall - row[_DUE] for row in rows]}
    else:
        for row, kind in zip(rows, kinds, strict=True):
            waits[kind >> 8].append(wall - row[_DUE])
    for kind, each in waits.items():
        queue, task = queue_of(kind << 8), task_of(kind << 8)
        step.after(partial(step.statistics.started, wall, queue, task, each))
    numbers = (row[_NUMBER] for row in rows)
    step.after(
        partial(step.handed.remember, wish.grant.token, dict(zip(numbers, kinds, strict=True)))
    )


def grant(step: Step, wish: Grant, numbers: Sequence[int]) -> None:
    """Write under what these are held."""
    until = step.lease + wish.lease
    low, high = min(numbers), max(numbers)
    step.run(
        SQL["grant"],
        (wish.token, until, step.wall, low, high, len(numbers), plain(wish.worker)),
    )


def held(reader: Reader, tokens: Sequence[int]) -> list[Claimed]:
    """What these grants still hold."""
    return [Claimed(*row) for row in reader.rows(SQL["held"], (bigints(tokens),))]
