"""Steering: what operators want of a worker, and how many processes it had better have."""

import time
from collections.abc import Callable
from typing import Protocol

from mainspring.job import State
from mainspring.presence import Wanted
from mainspring.store import Counts
from mainspring.worker.dealer import Crew
from mainspring.worker.tally import Tally


class Steered(Protocol):
    """The worker, as far as it is steered."""

    tally: Tally

    def pause(self) -> None:
        """Claim nothing, and give back what has not begun."""
        ...

    def resume(self) -> None:
        """Claim again."""
        ...

    def drain(self) -> None:
        """Finish what runs, and end."""
        ...


class Steering:
    """Used by the pump's thread, but for `elastic`. `queues` are those the worker takes, None for
    all; `loaded` is when it loaded its app (wall clock, microseconds)."""

    def __init__(
        self, worker: Steered, crew: Crew, queues: tuple[str, ...] | None, loaded: int
    ) -> None:
        self._worker = worker
        self._crew = crew
        self._queues = queues
        self._loaded = loaded
        self._counted, self._counted_at = 0, time.monotonic()

    @property
    def elastic(self) -> bool:
        """Whether the number of processes depends on how much waits."""
        return self._crew.elastic

    def obey(self, wanted: Wanted) -> None:
        """Do what is wanted, as far as it is not done."""
        if wanted.paused is not None:
            turn: Callable[[], None] = self._worker.pause if wanted.paused else self._worker.resume
            turn()
        if wanted.processes is not None:
            self._crew.scale(*wanted.processes)
        if wanted.reload is not None and wanted.reload > self._loaded:
            self.reload()
            # By a clock that is ahead of ours it would be wanted again and again.
            self._loaded = max(self._loaded, wanted.reload)
        if wanted.stop:
            self._worker.drain()

    def reload(self) -> None:
        """Replace the processes, one after the other, by such that import the app anew."""
        self._loaded = time.time_ns() // 1000
        self._crew.reload()

    def measure(self, counts: Counts) -> None:
        """So many jobs are in the store: have as many processes as that takes."""
        queues = counts if self._queues is None else self._queues
        waiting = sum(counts[name][State.PENDING] for name in queues if name in counts)
        now = time.monotonic()
        rate = (self._worker.tally.processed - self._counted) / max(0.1, now - self._counted_at)
        self._counted, self._counted_at = self._worker.tally.processed, now
        self._crew.measure(waiting, rate)
