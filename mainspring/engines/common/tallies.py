"""What happened, minute by minute, gathered in memory until it is written."""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeAlias

MINUTE = 60_000_000
WAITED, RAN = 0, 1
FLUSH_SECONDS = 1.0

Place: TypeAlias = tuple[int, int, int]
"""(minute, queue, task)"""


class Tally:
    """What is not yet written, of one minute, queue and task."""

    __slots__ = ("buckets", "completed", "failed", "ran", "retried", "started", "waited")

    def __init__(self) -> None:
        self.started = self.completed = self.failed = self.retried = self.waited = self.ran = 0
        self.buckets: tuple[Counter[int], Counter[int]] = (Counter(), Counter())


def sums(tallies: Mapping[Place, Tally]) -> list[tuple[int, ...]]:
    """Rows of place and sums, in order. Minute 0 sums up all minutes there ever were."""
    rows: dict[Place, list[int]] = {}
    for (minute, queue, task), t in tallies.items():
        new = (t.started, t.completed, t.failed, t.retried, t.waited, t.ran)
        for place in ((0, queue, task), (minute, queue, task)):
            rows[place] = [a + b for a, b in zip(rows.get(place, [0] * 6), new, strict=True)]
    return [(*place, *rows[place]) for place in sorted(rows)]


class Statistics:
    """Sums and histograms by minute, queue and task."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tallies: dict[Place, Tally] = {}
        self._flushed = time.monotonic()

    def started(self, wall: int, queue: int, task: int, waits: list[int]) -> None:
        """Jobs were claimed, each having waited so long."""
        with self._lock:
            tally = self._tally(wall, queue, task)
            tally.started += len(waits)
            tally.waited += sum(waits)
            tally.buckets[WAITED].update(map(int.bit_length, waits))

    def ended(
        self,
        wall: int,
        queue: int,
        task: int,
        runs: Iterable[int],
        *,
        completed: int = 0,
        failed: int = 0,
        retried: int = 0,
    ) -> None:
        """Attempts ended, each having run so long."""
        runs = list(runs)
        with self._lock:
            tally = self._tally(wall, queue, task)
            tally.completed += completed
            tally.failed += failed
            tally.retried += retried
            tally.ran += sum(runs)
            tally.buckets[RAN].update(map(int.bit_length, runs))

    def due(self) -> bool:
        """Whether there is something to write and the last time is long enough ago."""
        return bool(self._tallies) and time.monotonic() - self._flushed >= FLUSH_SECONDS

    def pending(self) -> bool:
        """Whether there is something to write."""
        return bool(self._tallies)

    def take(self) -> dict[Place, Tally]:
        """All that is not yet written, to be written or given back."""
        with self._lock:
            taken, self._tallies = self._tallies, {}
            self._flushed = time.monotonic()
        return taken

    def give_back(self, taken: dict[Place, Tally]) -> None:
        """The transaction came to nothing."""
        with self._lock:
            for place, old in taken.items():
                tally = self._tallies.setdefault(place, Tally())
                for name in ("started", "completed", "failed", "retried", "waited", "ran"):
                    setattr(tally, name, getattr(tally, name) + getattr(old, name))
                for mine, theirs in zip(tally.buckets, old.buckets, strict=True):
                    mine.update(theirs)

    def _tally(self, wall: int, queue: int, task: int) -> Tally:
        place = wall // MINUTE, queue, task
        if (tally := self._tallies.get(place)) is None:
            tally = self._tallies[place] = Tally()
        return tally
