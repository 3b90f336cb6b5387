"""Backlog: jobs that were fed and have not begun. Appended and taken by many threads, no locks."""

from collections import deque
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from itertools import takewhile
from typing import NamedTuple, TypeAlias

from mainspring.job import Claimed

Entry: TypeAlias = tuple[Claimed, int, int]
"""A job, its spot among the marks, and when it was fed (monotonic nanoseconds)."""


Key: TypeAlias = tuple[int, int]
"""Number and token: one claim of a job. The number alone may run twice here, once given up."""


class Running(NamedTuple):
    """A job that runs, since when (monotonic nanoseconds), and a look at where it is."""

    job: Claimed
    began: int
    where: Callable[[], str]


class Backlog(deque[Entry]):
    """The waiting jobs of one way of running, oldest first.

    Runners take from the left; taking is what decides who has a job, so an entry is either begun
    by one runner or given back, never both.
    """

    waited = 0
    """The longest wait seen, in nanoseconds, since somebody set it to 0."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        super().__init__(entries)
        self._takers: set[object] = set()

    def take(self, taker: object) -> Entry | None:
        """The oldest, if there is one. Until the taker leaves, the backlog is busy with it."""
        self._takers.add(taker)
        try:
            return self.popleft()
        except IndexError:
            return None

    def leave(self, taker: object) -> None:
        """What he took stands elsewhere by now, or there was nothing."""
        self._takers.discard(taker)

    @property
    def busy(self) -> bool:
        """Whether anything waits, or was taken and does not yet stand where running jobs do. Who
        looks here first, and then there, misses none."""
        return bool(self or self._takers)

    def recall(self, numbers: Collection[int] | None) -> list[Claimed]:
        """Take out these jobs, or all; answers those that were still here."""
        if numbers is None:
            return [job for job, _, _ in self._take(len(self))]
        return self._pick([entry for entry in self.copy() if entry[0].number in numbers])

    def drop(self, tokens: Collection[int]) -> None:
        """Forget the jobs of these grants."""
        self._pick([entry for entry in self.copy() if entry[0].token in tokens])

    def stale(self, before: int) -> list[Claimed]:
        """Take out what was fed before that moment."""
        old = takewhile(lambda entry: entry[2] < before, self.copy())
        return self._pick(list(old))

    def _pick(self, entries: Iterable[Entry]) -> list[Claimed]:
        """Take out those of these that are still here, without touching the others: a runner that
        found nothing for a moment would rest, and nobody would wake it."""
        picked = []
        for entry in entries:
            with suppress(ValueError, IndexError):  # begun by now, or something else was just now
                self.remove(entry)
                picked.append(entry[0])
        return picked

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
