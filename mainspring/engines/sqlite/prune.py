"""Pruning: jobs that ended long enough ago, found by walking through them by number.

An index on the time of the end would cost every job; the walk costs a little now and then. It
goes on where it stopped, and after a whole round it rests until the first job can be due.
"""

import time
from collections.abc import Sequence
from sqlite3 import Connection

from mainspring.durations import MINUTE
from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite.operate import remove
from mainspring.engines.sqlite.step import Step, as_json

SQL = sections(__file__)

AT_LEAST = 10 * MINUTE
"""A repeated insert is known for so long after the job's end, whatever the retention."""

SECONDS = 0.02
"""How long one step, or one look, goes on. What a job left behind is a row or thousands, so that
no number of jobs says how long removing them takes."""

_STRIDE = 2000
_CHUNK = 100


class Walk:
    """One process's way through the ended jobs."""

    def __init__(self) -> None:
        self._number = 0
        self._rest_until = 0
        self._earliest = self._began = 0
        self._settings: object = None

    def candidates(self, connection: Connection, wall: int, limit: int) -> list[int]:
        """The next jobs, at most so many, that were kept long enough; as far as one look goes."""
        settings = connection.execute(SQL["retention"]).fetchall()
        if settings != self._settings:
            self._settings = settings
            self._number = self._rest_until = 0
        if self._number == 0:
            if wall < self._rest_until:
                return []
            self._began, self._earliest = wall, wall + AT_LEAST
        until = time.monotonic() + SECONDS
        due: list[int] = []
        while True:
            rows = connection.execute(SQL["walk"], (AT_LEAST, self._number, _STRIDE)).fetchall()
            for number, kept_until in rows:
                self._earliest = min(self._earliest, kept_until)
                if kept_until <= wall:
                    due.append(number)
                    if len(due) == limit:
                        self._number = number
                        return due
            if len(rows) < _STRIDE:
                self._number = 0
                self._rest_until = min(self._earliest, self._began + AT_LEAST)
                return due
            self._number = rows[-1][0]
            if time.monotonic() > until:
                return due


def prune(step: Step, numbers: Sequence[int], until: float) -> tuple[int, Sequence[int]]:
    """Remove those of these that may go, some at a time until that moment (monotonic); how many
    went, and the numbers that were not come to."""
    pruned = 0
    for start in range(0, len(numbers), _CHUNK):
        if start and time.monotonic() > until:
            return pruned, numbers[start:]
        listed = as_json(numbers[start : start + _CHUNK])
        free = [number for (number,) in step.rows(SQL["free"], (step.wall, AT_LEAST, listed))]
        if free:
            remove(step, free)
            pruned += len(free)
    return pruned, ()
