"""Choice: which of the ready jobs a claim gets, in which order.

It reads lanes: of each queue the default lane, and the suspects' lane as far as `Claim.alone`
goes.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from mainspring.engines.common.codes import SLICE, default_lane
from mainspring.engines.common.handed import CAREFUL, SUSPECT, task_of
from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite.step import Step, as_json
from mainspring.engines.sqlite.survey import Queue
from mainspring.store import Claim

SQL = sections(__file__)

Row: TypeAlias = tuple[Any, ...]
"""number, id, payload, attempt, claims, losses, created, due, headers, policy, score, kind."""

NUMBER, DUE, SCORE, KIND = 0, 7, 10, 11
place_of = itemgetter(SCORE, NUMBER)
kind_of = itemgetter(KIND)

_FIRST_PAGE = 8
"""Rows read of one lane among many, beside its share of all that are wanted."""

_PAGE = 100
"""Rows whose priorities are looked up together."""

_BEFORE_ALL = -(1 << 62), 0


def choose(step: Step, wish: Claim, queues: Sequence[Queue]) -> tuple[list[Row], bool]:
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

    def take_from(self, step: Step, lanes: "Sequence[_Lane]") -> None:
        """Go on with these lanes, in one order."""
        left = self._wish.limit - len(self.rows)
        lane, *others = lanes
        if others or lane.suspects or self._wish.choosy:
            self._one_by_one(_in_order(step, self._wish, lanes, left))
            return
        page = next(_pages(step, lane, left))
        if any(kind & CAREFUL for kind in set(map(kind_of, page))):
            self._one_by_one(page)
            return
        self.rows += page
        self._slots -= len(page)
        self.full = len(page) == left

    def _one_by_one(self, offers: Iterable[Row]) -> None:
        for row in offers:
            kind = row[KIND]
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


class _Lane(NamedTuple):
    """A lane that has jobs. None of them comes before `score` and `number`."""

    score: int
    number: int
    queue: int
    suspects: bool

    @property
    def key(self) -> int:
        return default_lane(self.queue) - self.suspects


def _lanes(wish: Claim, queue: Queue) -> list[_Lane]:
    """The lanes of a queue that have something for this wish."""
    lanes = []
    if queue.ready is not None and queue.first is not None:
        lanes.append(_Lane(queue.ready, queue.first, queue.number, False))
    if queue.suspects is not None and wish.alone > 0:
        lanes.append(_Lane(queue.suspects, 0, queue.number, True))
    return lanes


def _in_order(step: Step, wish: Claim, lanes: Sequence[_Lane], most: int) -> Iterator[Row]:
    """The ready jobs of these lanes by (score, number)."""
    size = most if len(lanes) == 1 else min(most, _FIRST_PAGE + most // len(lanes))
    if not wish.choosy:
        return _merged(step, lanes, size, wish.alone)
    near: Iterator[Row] = islice(_merged(step, lanes, size, None), wish.reach)
    if wish.tasks is not None:
        tasks = {task for (task,) in step.rows(SQL["tasks"], (as_json(wish.tasks),))}
        near = (row for row in near if task_of(row[KIND]) in tasks)
    return near if wish.priorities is None else _within(step, wish.priorities, near)


def _within(step: Step, priorities: tuple[int, int], rows: Iterator[Row]) -> Iterator[Row]:
    """Those of these priorities, in the same order."""
    while page := list(islice(rows, _PAGE)):
        numbers = as_json([row[NUMBER] for row in page])
        meant = {number for (number,) in step.rows(SQL["of_priorities"], (numbers, *priorities))}
        yield from (row for row in page if row[NUMBER] in meant)


def _merged(step: Step, lanes: Sequence[_Lane], size: int, suspects: int | None) -> Iterator[Row]:
    """All lanes in one order, of a suspects' lane only so many. A lane is read only when it is its
    turn: of thousands of lanes a claim of a hundred jobs opens a hundred."""
    waiting = sorted(lanes, reverse=True)
    turns: list[tuple[int, int, Row, Iterator[Row]]] = []
    while waiting or turns:
        while waiting and not (turns and turns[0][:2] < waiting[-1][:2]):
            lane = waiting.pop()
            most = suspects if lane.suspects else None
            pages = _pages(step, lane, size if most is None else min(size, most))
            _queue_up(turns, islice((row for page in pages for row in page), most))
        if turns:
            _, _, row, following = turns[0]
            yield row
            heapq.heappop(turns)
            _queue_up(turns, following)


def _queue_up(turns: list[tuple[int, int, Row, Iterator[Row]]], rows: Iterator[Row]) -> None:
    if (row := next(rows, None)) is not None:
        heapq.heappush(turns, (row[SCORE], row[NUMBER], row, rows))


def _pages(step: Step, lane: _Lane, size: int) -> Iterator[list[Row]]:
    """A lane, in its order, so many rows at a time, then more and more."""
    kind = lane.queue << 40 | lane.suspects * SUSPECT
    after = _BEFORE_ALL
    while True:
        rows = step.rows(SQL["ready"], (kind, lane.key, *after, size))
        yield rows
        if len(rows) < size:
            return
        after = place_of(rows[-1])
        size = min(2 * size, SLICE)
