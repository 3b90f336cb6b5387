"""Backlog: jobs that were fed and have not begun. Appended and taken by many threads, no locks."""

from collections import deque
from collections.abc import Collection, Iterable
from typing import TypeAlias

from mainspring.job import Claimed

Entry: TypeAlias = tuple[Claimed, int, int]
"""A job, its spot among the marks, and when it was fed (monotonic nanoseconds)."""


Key: TypeAlias = tuple[int, int]
"""Number and token: one claim of a job. The number alone may run twice here, once given up."""


class Backlog(deque[Entry]):
    """The waiting jobs of one way of running, oldest first.

    Runners take from the left; taking is what decides who has a job, so an entry is either begun
    by one runner or given back, never both.
    """

    waited = 0
    """The longest wait seen, in nanoseconds, since somebody set it to 0."""

    def recall(self, numbers: Collection[int] | None) -> list[Claimed]:
        """Take out these jobs, or all; answers those that were still here."""
        taken = self._take(len(self))
        if numbers is not None:
            self.extend(entry for entry in taken if entry[0].number not in numbers)
            taken = [entry for entry in taken if entry[0].number in numbers]
        return [job for job, _, _ in taken]

    def drop(self, tokens: Collection[int]) -> None:
        """Forget the jobs of these grants."""
        self.extend(e for e in self._take(len(self)) if e[0].token not in tokens)

    def stale(self, before: int) -> list[Claimed]:
        """Take out what was fed before that moment."""
        found: list[Claimed] = []
        while self:
            for entry in self._take(1):
                if entry[2] >= before:
                    self.appendleft(entry)
                    return found
                found.append(entry[0])
        return found

    def _take(self, most: int) -> list[Entry]:
        taken: list[Entry] = []
        try:
            for _ in range(most):
                taken.append(self.popleft())  # noqa: PERF401 - another thread may empty it
        except IndexError:
            pass
        return taken


def fed(jobs: Iterable[Claimed], spots: Iterable[int], now: int) -> list[Entry]:
    """Entries for jobs that were fed now."""
    return [(job, spot, now) for job, spot in zip(jobs, spots, strict=True)]
