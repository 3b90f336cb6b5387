"""Pruning: jobs that ended long enough ago, found by walking through them by number.

An index on the time of the end would cost every job; the walk costs a little now and then. It
goes on where it stopped, and after a whole round it rests until the first job can be due.
"""

from collections.abc import Sequence
from sqlite3 import Connection

from mainspring.durations import MINUTE
from mainspring.engines.sqlite.operate import remove
from mainspring.engines.sqlite.sections import sections
from mainspring.engines.sqlite.step import Step, as_json

SQL = sections(__file__)

AT_LEAST = 10 * MINUTE
"""A repeated insert is known for so long after the job's end, whatever the retention."""

_STRIDE = 2000


class Walk:
    """One process's way through the ended jobs."""

    def __init__(self) -> None:
        self._number = 0
        self._rest_until = 0
        self._earliest = self._began = 0
        self._settings: object = None

    def candidates(self, connection: Connection, wall: int, limit: int) -> list[int]:
        """The next jobs, at most so many, that were kept long enough."""
        settings = connection.execute(SQL["retention"]).fetchall()
        if settings != self._settings:
            self._settings = settings
            self._number = self._rest_until = 0
        if self._number == 0:
            if wall < self._rest_until:
                return []
            self._began, self._earliest = wall, wall + AT_LEAST
        rows = connection.execute(SQL["walk"], (AT_LEAST, self._number, _STRIDE)).fetchall()
        due: list[int] = []
        for number, until in rows:
            self._earliest = min(self._earliest, until)
            if until <= wall:
                due.append(number)
                if len(due) == limit:
                    self._number = number
                    return due
        self._number = rows[-1][0] if len(rows) == _STRIDE else 0
        if self._number == 0:
            self._rest_until = min(self._earliest, self._began + AT_LEAST)
        return due


def prune(step: Step, numbers: Sequence[int]) -> int:
    """Remove those of these that may go; how many."""
    free = [number for (number,) in step.rows(SQL["free"], (step.wall, AT_LEAST, as_json(numbers)))]
    if free:
        remove(step, free)
    return len(free)
