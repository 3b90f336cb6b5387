"""Claim: hand out the next jobs under a grant, in order, none to two.

A claim first makes ready what has fallen due and ends what waited too long. It then reads lanes:
of each queue the default lane, and the suspects' lane as far as `Claim.alone` goes.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice, repeat
from operator import itemgetter
from sqlite3 import Connection
from typing import Any, NamedTuple, TypeAlias

from mainspring.engines.sqlite import ending
from mainspring.engines.sqlite.codes import EXPIRES, FAILED, PENDING, RUNNING, SLICE, default_lane
from mainspring.engines.sqlite.handed import CAREFUL, SUSPECT, queue_of, task_of
from mainspring.engines.sqlite.names import Names, Run
from mainspring.engines.sqlite.places import places
from mainspring.engines.sqlite.sections import sections
from mainspring.engines.sqlite.step import Step, as_json
from mainspring.job import Claimed, Now, Reason
from mainspring.store import Claim, Exchanged, Grant

SQL = sections(__file__)

Row: TypeAlias = tuple[Any, ...]
"""number, id, payload, attempt, claims, losses, created, due, headers, policy, score, kind."""

_NUMBER, _DUE, _SCORE, _KIND = 0, 7, 10, 11
_order = itemgetter(_SCORE, _NUMBER)
_kind = itemgetter(_KIND)


class Queue(NamedTuple):
    """A queue that is not paused, and what there is in it: when its next job falls due, when its
    next one expires, whether the default lane and the suspects' lane have jobs."""

    number: int
    name: str
    due: int | None
    late: int | None
    ready: bool
    suspects: bool


class Survey(NamedTuple):
    """All that a claim looks at before it takes anything."""

    known: bool
    releases: bool
    queues: list[Queue]

    def nothing(self, wish: Claim, wall: int) -> bool:
        """Whether a claim would change nothing and get nothing."""
        return not (
            self.known
            or self.releases
            or any(
                queue.ready
                or (queue.suspects and wish.alone)
                or (queue.due is not None and queue.due <= wall)
                or (queue.late is not None and queue.late <= wall)
                for queue in self.queues
            )
        )

    def next_due(self) -> int | None:
        """When the next job that waits for its time falls due."""
        return min((queue.due for queue in self.queues if queue.due is not None), default=None)


def idle_claim(connection: Connection, wish: Claim, now: Now) -> Exchanged | None:
    """The answer to a claim that gets nothing and changes nothing, found by reading alone."""
    found = survey(connection, wish)
    return Exchanged(next_due=found.next_due()) if found.nothing(wish, now.wall) else None


def survey(connection: Connection, wish: Claim) -> Survey:
    """Look at everything that this wish may be about."""
    ((known, releases),) = connection.execute(SQL["known"], (wish.grant.token,)).fetchall()
    if wish.queues is None:
        rows = connection.execute(SQL["all_queues"]).fetchall()
    else:
        names = as_json(list(dict.fromkeys(wish.queues)))
        rows = connection.execute(SQL["named_queues"], (names,)).fetchall()
    return Survey(known, releases, [Queue(*row) for row in rows])


def claim(step: Step, wish: Claim) -> Exchanged:
    """What this wish gets. Under a token that is known: what that still holds."""
    found = survey(step.connection, wish)
    if found.known:
        return Exchanged(held(step.connection, [wish.grant.token]))
    if found.releases:
        ending.work_off(step)
    if _promote_and_expire(step, wish, found.queues) or found.releases:
        found = survey(step.connection, wish)
    rows, more = _choose(step, wish, found.queues)
    while late := _late(step, rows):
        ending.end_waiting(step, places(step, late), FAILED, Reason.EXPIRED)
        rows, more = _choose(step, wish, survey(step.connection, wish).queues)
    if not rows:
        return Exchanged(next_due=found.next_due(), more=more)
    _take(step, wish, rows)
    return Exchanged(_claimed(step, wish, rows), next_due=found.next_due(), more=more)


def _claimed(step: Step, wish: Claim, rows: Sequence[Row]) -> list[Claimed]:
    # By columns: a few calls that run through all rows, instead of a few for each row.
    columns = zip(*rows, strict=True)
    numbers, ids, payloads, attempts, claims, losses, created, dues, headers, *rest = columns
    policies, _, kinds = rest
    names, run = step.names, step.run
    bodies = {policy: names.policy_body(run, policy) for policy in set(policies)}
    labels = {kind: _names_of(names, run, kind) for kind in set(kinds)}
    queues, tasks = zip(*map(labels.__getitem__, kinds), strict=True)
    return list(
        map(
            Claimed,
            *(numbers, repeat(wish.grant.token), ids, queues, tasks, payloads, attempts),
            *(claims, losses, created, dues, map(bodies.__getitem__, policies), headers),
        )
    )


def _names_of(names: Names, run: Run, kind: int) -> tuple[str, str]:
    return (
        names.queue_name(run, queue_of(kind)),
        names.task_name(run, task_of(kind)),
    )


# --- what is due, what is late ------------------------------------------------------------------


def _promote_and_expire(step: Step, wish: Claim, queues: Sequence[Queue]) -> bool:
    changed = False
    for queue in queues:
        if queue.due is not None and queue.due <= step.wall:
            promote(step, queue.number, max(SLICE, wish.limit))
            changed = True
        if queue.late is not None and queue.late <= step.wall:
            expire(step, queue.number)
            changed = True
    return changed


def promote(step: Step, queue: int, limit: int = SLICE) -> int:
    """Make ready what has fallen due in a queue, at most so many; how many."""
    due = step.rows(SQL["due"], (queue, step.wall, limit + 1))
    if not due:
        return 0
    if len(due) > limit:
        # Not all at once: then in the order of the claim, so that nothing urgent waits behind.
        due = step.rows(SQL["due_by_score"], (queue, step.wall, limit))
    numbers = as_json([number for number, _ in due])
    step.run(SQL["promote"], (numbers,))
    step.run(SQL["unlater"], (numbers,))
    for state, n in Counter(state for _, state in due).items():
        step.moved[queue, state] -= n
    step.moved[queue, PENDING] += len(due)
    return len(due)


def expire(step: Step, queue: int, limit: int = SLICE) -> int:
    """End what has waited too long in a queue, at most so many; how many."""
    late = [number for (number,) in step.rows(SQL["late"], (queue, step.wall, limit))]
    if late:
        ending.end_waiting(step, places(step, late), FAILED, Reason.EXPIRED)
    return len(late)


def _late(step: Step, rows: Sequence[Row]) -> list[int]:
    """Those among the chosen that the last slice of expiries did not reach."""
    mortal = [row[_NUMBER] for row in rows if row[_KIND] & EXPIRES]
    if not mortal:
        return []
    return [number for (number,) in step.rows(SQL["late_among"], (as_json(mortal), step.wall))]


# --- choice -------------------------------------------------------------------------------------


def _choose(step: Step, wish: Claim, queues: Sequence[Queue]) -> tuple[list[Row], bool]:
    """The rows to hand out, and whether the claim stopped at its limit or a careful job."""
    lanes = [_lanes(wish, queue) for queue in queues]
    if wish.queues is None:
        lanes = [[lane for each in lanes for lane in each]]
    choice = _Choice(wish)
    if wish.limit > 0:
        for each in filter(None, lanes):
            choice.take_from(step, each)
            if choice.full:
                break
    return choice.rows, choice.full


class _Choice:
    """Rows chosen so far; `full` when nothing may be added."""

    def __init__(self, wish: Claim) -> None:
        self.rows: list[Row] = []
        self.full = False
        self._wish = wish
        self._slots = wish.slots
        self._alone = wish.alone

    def take_from(self, step: Step, lanes: Sequence[tuple[int, int]]) -> None:
        """Go on with these lanes, in one order."""
        left = self._wish.limit - len(self.rows)
        if len(lanes) > 1 or lanes[0][0] & 1 or self._wish.tasks is not None:
            self._one_by_one(_in_order(step, self._wish, lanes, left))
            return
        page = next(_pages(step, *lanes[0], left))
        if any(kind & CAREFUL for kind in set(map(_kind, page))):
            self._one_by_one(page)
            return
        self.rows += page
        self._slots -= len(page)
        self.full = len(page) == left

    def _one_by_one(self, offers: Iterable[Row]) -> None:
        for row in offers:
            kind = row[_KIND]
            if kind & SUSPECT:
                if self._alone == 0:
                    continue
                self._alone -= 1
            elif kind & CAREFUL and self._slots <= 0:
                self.full = True
                return
            else:
                self._slots -= 1
            self.rows.append(row)
            if len(self.rows) == self._wish.limit:
                self.full = True
                return


def _lanes(wish: Claim, queue: Queue) -> list[tuple[int, int]]:
    """The lanes of a queue that have something for this wish, and the queue they belong to."""
    lane = default_lane(queue.number)
    lanes = [(lane, queue.number)] if queue.ready else []
    if queue.suspects and wish.alone > 0:
        lanes.append((lane - 1, queue.number))
    return lanes


def _in_order(
    step: Step, wish: Claim, lanes: Sequence[tuple[int, int]], most: int
) -> Iterator[Row]:
    """The ready jobs of these lanes by (score, number)."""
    size = most if len(lanes) == 1 else min(most, max(16, most // 2))
    rows = [
        (row for page in _pages(step, lane, queue, size) for row in page) for lane, queue in lanes
    ]
    merged = heapq.merge(*rows, key=_order)
    if wish.tasks is None:
        return merged
    tasks = {task for (task,) in step.rows(SQL["tasks"], (as_json(wish.tasks),))}
    near = islice(merged, wish.reach)
    return (row for row in near if task_of(row[_KIND]) in tasks)


def _pages(step: Step, lane: int, queue: int, size: int) -> Iterator[list[Row]]:
    """A lane, in its order, so many rows at a time."""
    kind = queue << 40 | (lane & 1) * SUSPECT
    after = (-(1 << 62), 0)
    while True:
        rows = step.rows(SQL["ready"], (kind, lane, *after, size))
        yield rows
        if len(rows) < size:
            return
        after = _order(rows[-1])


# --- taking -------------------------------------------------------------------------------------


def _take(step: Step, wish: Claim, rows: Sequence[Row]) -> None:
    """Move the chosen from `ready` to `running`, under one grant."""
    token = wish.grant.token
    numbers, kinds = [row[_NUMBER] for row in rows], list(map(_kind, rows))
    for (queue, suspect), chosen in _by_lane(rows, kinds).items():
        lane = default_lane(queue) - suspect
        if wish.tasks is None:
            # What was chosen from a lane is all of it up to the last one.
            last = _order(chosen[-1])
            step.run(SQL["run"], (token, queue, lane, *last))
            step.run(SQL["unready"], (lane, *last))
        else:
            keys = as_json([_order(row) for row in chosen])
            step.run(SQL["run_some"], (token, queue, keys, lane))
            step.run(SQL["unready_some"], (lane, keys))
    grant(step, wish.grant, numbers)
    if mortal := [row[_NUMBER] for row in rows if row[_KIND] & EXPIRES]:
        step.run(SQL["unexpire"], (as_json(mortal),))
    _count(step, rows, kinds)
    step.after(partial(step.handed.remember, token, dict(zip(numbers, kinds, strict=True))))


def _by_lane(rows: Sequence[Row], kinds: Sequence[int]) -> dict[tuple[int, bool], Sequence[Row]]:
    distinct = {(queue_of(kind), kind & SUSPECT != 0) for kind in set(kinds)}
    if len(distinct) == 1:
        return dict.fromkeys(distinct, rows)
    lanes: defaultdict[tuple[int, bool], list[Row]] = defaultdict(list)
    for row, kind in zip(rows, kinds, strict=True):
        lanes[queue_of(kind), kind & SUSPECT != 0].append(row)
    return dict(lanes)


def _count(step: Step, rows: Sequence[Row], kinds: Sequence[int]) -> None:
    wall = step.wall
    waits: dict[int, list[int]] = {kind >> 8: [] for kind in set(kinds)}
    if len(waits) == 1:
        waits = {kinds[0] >> 8: [wall - row[_DUE] for row in rows]}
    else:
        for row, kind in zip(rows, kinds, strict=True):
            waits[kind >> 8].append(wall - row[_DUE])
    for kind, each in waits.items():
        queue, task = queue_of(kind << 8), task_of(kind << 8)
        step.moved[queue, PENDING] -= len(each)
        step.moved[queue, RUNNING] += len(each)
        step.after(partial(step.statistics.started, wall, queue, task, each))


def grant(step: Step, wish: Grant, numbers: Sequence[int]) -> None:
    """Write under what these are held."""
    until = step.lease + wish.lease
    low, high = min(numbers), max(numbers)
    step.run(SQL["grant"], (wish.token, wish.worker, until, step.wall, low, high, len(numbers)))


def held(connection: Connection, tokens: Sequence[int]) -> list[Claimed]:
    """What these grants still hold."""
    return [Claimed(*row) for row in connection.execute(SQL["held"], (as_json(tokens),)).fetchall()]
