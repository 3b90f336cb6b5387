"""Pruning: jobs that ended long enough ago, found by walking through them by number.

An index on the time of the end would cost every job; the walk costs a little now and then. It
goes on where it stopped, and after a whole round it rests until the first job can be due.
"""

from collections.abc import Sequence

from mainspring.durations import MINUTE
from mainspring.engines.common.sections import sections
from mainspring.engines.postgres.arrays import bigints
from mainspring.engines.postgres.operate import remove
from mainspring.engines.postgres.reader import Reader
from mainspring.engines.postgres.step import Step

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

    def candidates(self, reader: Reader, wall: int, limit: int) -> list[int]:
        """The next jobs, at most so many, that were kept long enough."""
        settings = reader.rows(SQL["retention"])
        if settings != self._settings:
            self._settings = settings
            self._number = self._rest_until = 0
        if self._number == 0:
            if wall < self._rest_until:
                return []
            self._began, self._earliest = wall, wall + AT_LEAST
        rows = reader.rows(SQL["walk"], (AT_LEAST, self._number, _STRIDE))
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
    # Those that somebody is giving a dependent, or moves, are left for the next round.
    lockable = [number for (number,) in step.rows(SQL["lock"], (bigints(numbers),))]
    mine = [number for (number,) in step.rows(SQL["lock_ended"], (bigints(lockable),))]
    wanted = {"wall": step.wall, "least": AT_LEAST, "numbers": bigints(mine)}
    free = [number for (number,) in step.rows(SQL["free"], wanted)]
    if free:
        remove(step, free)
    return len(free)
