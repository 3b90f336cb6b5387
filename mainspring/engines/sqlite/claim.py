"""Claim: hand out the next jobs under a grant, in order, none to two.

A claim first makes ready what has fallen due and ends what waited too long. It then reads lanes:
of each queue the default lane, and the suspects' lane as far as `Claim.alone` goes.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from operator import itemgetter
from sqlite3 import Connection
from typing import Any, NamedTuple, TypeAlias

from mainspring.engines.sqlite import ending
from mainspring.engines.sqlite.codes import (
    FAILED,
    PENDING,
    RUNNING,
    SLICE,
    default_lane,
)
from mainspring.engines.sqlite.handed import Kind
from mainspring.engines.sqlite.places import places
from mainspring.engines.sqlite.sections import sections
from mainspring.engines.sqlite.step import Step, as_json
from mainspring.job import Claimed, Reason
from mainspring.store import Claim, Exchanged, Grant

SQL = sections(__file__)

Row: TypeAlias = tuple[Any, ...]
"""The fields of `Claimed` in order, then those of `_Tail`."""

_WIDTH = len(Claimed.__struct_fields__)
_NUMBER, _DUE = itemgetter(0), itemgetter(10)
_CAREFUL, _SCORE, _LANE = _WIDTH, _WIDTH + 1, _WIDTH + 2
_KIND = itemgetter(_WIDTH + 3, _WIDTH + 4, _WIDTH + 5)
_EXPIRES = _WIDTH + 6
_ORDER = itemgetter(_SCORE, 0)


class _Queue(NamedTuple):
    number: int
    name: str


def claim(step: Step, wish: Claim) -> Exchanged:
    """What this wish gets. Under a token that is known: what that still holds."""
    if step.row(SQL["known"], (wish.grant.token,)) is not None:
        return Exchanged(held(step.connection, [wish.grant.token]))
    ending.work_off(step)
    queues = _open_queues(step, wish)
    for queue in queues:
        promote(step, queue.number, max(SLICE, wish.limit))
        expire(step, queue.number)
    rows, more = _choose(step, wish, queues)
    while late := [row[0] for row in rows if row[_EXPIRES] and row[_EXPIRES] <= step.wall]:
        ending.end_waiting(step, places(step, late), FAILED, Reason.EXPIRED)
        rows, more = _choose(step, wish, queues)
    numbers = as_json([queue.number for queue in queues])
    (next_due,) = step.row(SQL["next_due"], (numbers,))
    if not rows:
        return Exchanged(next_due=next_due, more=more)
    _take(step, wish, rows)
    jobs = [Claimed(*row[:_WIDTH]) for row in rows]
    return Exchanged(jobs, next_due=next_due, more=more)


def _open_queues(step: Step, wish: Claim) -> list[_Queue]:
    rows = [_Queue(*row) for row in step.rows(SQL["open_queues"])]
    if wish.queues is None:
        return rows
    by_name = {queue.name: queue for queue in rows}
    return [by_name[name] for name in dict.fromkeys(wish.queues) if name in by_name]


# --- what is due, what is late ------------------------------------------------------------------


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


# --- choice -------------------------------------------------------------------------------------


def _choose(step: Step, wish: Claim, queues: Sequence[_Queue]) -> tuple[list[Row], bool]:
    """The rows to hand out, and whether the claim stopped at its limit or a careful job."""
    if wish.limit <= 0:
        return [], False
    if wish.queues is None:
        lanes = [lane for queue in queues for lane in _lanes(step, wish, queue)]
        offers: Iterator[Row] = _in_order(step, wish, lanes)
    else:
        offers = (
            row
            for queue in queues
            for row in _in_order(step, wish, list(_lanes(step, wish, queue)))
        )
    rows: list[Row] = []
    busy = alone = 0
    for row in offers:
        if row[_LANE] & 1:
            if alone == wish.alone:
                continue
            alone += 1
        elif row[_CAREFUL] and busy >= wish.slots:
            return rows, True
        else:
            busy += 1
        rows.append(row)
        if len(rows) == wish.limit:
            return rows, True
    return rows, False


def _lanes(step: Step, wish: Claim, queue: _Queue) -> Iterator[tuple[int, _Queue]]:
    lane = default_lane(queue.number)
    yield lane, queue
    if wish.alone > 0:
        yield lane - 1, queue


def _in_order(step: Step, wish: Claim, lanes: Sequence[tuple[int, _Queue]]) -> Iterator[Row]:
    """The ready jobs of these lanes by (score, number)."""
    filled = [
        (lane, queue) for lane, queue in lanes if step.row(SQL["any_ready"], (lane,)) is not None
    ]
    page = wish.limit if len(filled) == 1 else min(wish.limit, max(16, wish.limit // 2))
    streams = [_stream(step, wish, lane, queue, page) for lane, queue in filled]
    return streams[0] if len(streams) == 1 else heapq.merge(*streams, key=_ORDER)


def _stream(step: Step, wish: Claim, lane: int, queue: _Queue, page: int) -> Iterator[Row]:
    token = wish.grant.token
    after = (-(1 << 62), 0)
    tasks = None if wish.tasks is None else frozenset(wish.tasks)
    while True:
        rows = step.rows(SQL["ready"], (token, queue.name, lane, queue.number, lane, *after, page))
        if tasks is None:
            yield from rows
        else:
            yield from (row for row in rows if row[4] in tasks)
        if len(rows) < page:
            return
        after = _ORDER(rows[-1])


# --- taking -------------------------------------------------------------------------------------


def _take(step: Step, wish: Claim, rows: Sequence[Row]) -> None:
    """Move the chosen from `ready` to `running`, under one grant."""
    token = wish.grant.token
    lanes: defaultdict[int, list[Row]] = defaultdict(list)
    for row in rows:
        lanes[row[_LANE]].append(row)
    for lane, chosen in lanes.items():
        queue = _KIND(chosen[0])[0]
        if wish.tasks is None:
            # What was chosen from a lane is all of it up to the last one.
            last = _ORDER(chosen[-1])
            step.run(SQL["run"], (token, queue, lane, *last))
            step.run(SQL["unready"], (lane, *last))
        else:
            keys = as_json([_ORDER(row) for row in chosen])
            step.run(SQL["run_some"], (token, queue, keys, lane))
            step.run(SQL["unready_some"], (lane, keys))
    kinds = dict(zip(map(_NUMBER, rows), map(Kind._make, map(_KIND, rows)), strict=True))
    grant(step, wish.grant, list(kinds))
    late = [(row[_WIDTH + 3], row[_EXPIRES], row[0]) for row in rows if row[_EXPIRES]]
    ending.unexpire(step, late)
    _count(step, kinds, rows)
    step.after(lambda: step.handed.remember(token, kinds))


def _count(step: Step, kinds: dict[int, Kind], rows: Sequence[Row]) -> None:
    wall, statistics = step.wall, step.statistics
    waits: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    if len(groups := set(kinds.values())) == 1:
        (kind,) = groups
        waits[kind.queue, kind.task] = [wall - due for due in map(_DUE, rows)]
    else:
        for kind, row in zip(kinds.values(), rows, strict=True):
            waits[kind.queue, kind.task].append(wall - row[10])
    for (queue, task), each in waits.items():
        step.moved[queue, PENDING] -= len(each)
        step.moved[queue, RUNNING] += len(each)
        step.after(partial(statistics.started, wall, queue, task, each))


def grant(step: Step, wish: Grant, numbers: Sequence[int]) -> None:
    """Write under what these are held."""
    until = step.lease + wish.lease
    low, high = min(numbers), max(numbers)
    step.run(
        SQL["grant"],
        (wish.token, wish.worker, until, step.wall, low, high, len(numbers)),
    )


def held(connection: Connection, tokens: Sequence[int]) -> list[Claimed]:
    """What these grants still hold."""
    return [Claimed(*row) for row in connection.execute(SQL["held"], (as_json(tokens),)).fetchall()]
