"""Steering: what operators want of a worker, and how many processes it had better have."""

import time
from typing import Protocol

from mainspring.events import Bus, WorkerSteered
from mainspring.job import State
from mainspring.presence import Wanted
from mainspring.store import Counts
from mainspring.worker.control.dealer import Crew
from mainspring.worker.control.identity import Identity
from mainspring.worker.control.tally import Tally


class Steered(Protocol):
    """The worker, as far as it is steered."""

    tally: Tally

    def pause(self) -> bool:
        """Claim nothing, and give back what has not begun. Whether that is new."""
        ...

    def resume(self) -> bool:
        """Claim again. Whether that is new."""
        ...

    def drain(self) -> bool:
        """Finish what runs, and end. Whether that is new."""
        ...


class Steering:
    """Used by the pump's thread, but for `elastic`."""

    def __init__(self, worker: Steered, crew: Crew, me: Identity, events: Bus) -> None:
        self._worker = worker
        self._crew = crew
        self._me = me
        self._events = events
        self._loaded = me.started
        self._bounds: tuple[int, int] | None = None
        self._counted, self._counted_at = 0, time.monotonic()

    @property
    def elastic(self) -> bool:
        """Whether the number of processes depends on how much waits."""
        return self._crew.elastic

    def obey(self, wanted: Wanted) -> None:
        """Do what is wanted, as far as it is not done."""
        if wanted.paused and self._worker.pause():
            self._tell("pauses: claims nothing until it is resumed")
        elif wanted.paused is False and self._worker.resume():
            self._tell("goes on")
        if wanted.processes is not None and wanted.processes != self._bounds:
            self._bounds = wanted.processes
            self._crew.scale(*wanted.processes)
            least, most = wanted.processes
            told = f"{least}" if least == most else f"{least} to {most}"
            self._tell(f"has {told} processes from now on")
        if wanted.reload is not None and wanted.reload > self._loaded:
            self.reload()
            # By a clock that is ahead of ours it would be wanted again and again.
            self._loaded = max(self._loaded, wanted.reload)
        if wanted.stop and self._worker.drain():
            self._tell("ends when what runs has ended, as it was asked to")

    def _tell(self, what: str) -> None:
        self._events.emit(WorkerSteered(what, self._me.name))

    def reload(self) -> None:
        """Replace the processes, one after the other, by such that import the app anew."""
        self._loaded = time.time_ns() // 1000
        self._tell("loads the app anew, one process after the other")
        self._crew.reload()

    def measure(self, counts: Counts) -> None:
        """So many jobs are in the store: have as many processes as that takes."""
        queues = counts if self._me.queues is None else self._me.queues
        waiting = sum(counts[name][State.PENDING] for name in queues if name in counts)
        now = time.monotonic()
        rate = (self._worker.tally.processed - self._counted) / max(0.1, now - self._counted_at)
        self._counted, self._counted_at = self._worker.tally.processed, now
        self._crew.measure(waiting, rate)
