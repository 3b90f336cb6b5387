"""What happened, minute by minute: gathered in memory, written once a second."""

import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec

from mainspring.engines.redis.client import Client
from mainspring.engines.redis.handed import Kind
from mainspring.store import Minute

MINUTE = 60_000_000
WAITED, RAN = 0, 1
FLUSH_SECONDS = 1.0

Place: TypeAlias = tuple[int, str, str]
"""(minute, queue, task)"""

_SUMS = ("started", "completed", "failed", "retried", "waited", "ran")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[str, str, str, int]).decode


class Tally:
    """What is not yet written, of one minute, queue and task."""

    __slots__ = ("buckets", "completed", "failed", "ran", "retried", "started", "waited")

    def __init__(self) -> None:
        self.started = self.completed = self.failed = self.retried = self.waited = self.ran = 0
        self.buckets: tuple[Counter[int], Counter[int]] = (Counter(), Counter())


class Statistics:
    """Sums and histograms by minute, queue and task."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tallies: dict[Place, Tally] = {}
        self._flushed = time.monotonic()

    def started(self, wall: int, kind: Kind, waits: list[int]) -> None:
        """Jobs were claimed, each having waited so long."""
        with self._lock:
            tally = self._tally(wall, kind)
            tally.started += len(waits)
            tally.waited += sum(waits)
            tally.buckets[WAITED].update(map(int.bit_length, waits))

    def ended(
        self,
        wall: int,
        kind: Kind,
        runs: Iterable[int],
        *,
        completed: int = 0,
        failed: int = 0,
        retried: int = 0,
    ) -> None:
        """Attempts ended, each having run so long."""
        runs = list(runs)
        with self._lock:
            tally = self._tally(wall, kind)
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
                for name in _SUMS:
                    setattr(tally, name, getattr(tally, name) + getattr(old, name))
                for mine, theirs in zip(tally.buckets, old.buckets, strict=True):
                    mine.update(theirs)

    def _tally(self, wall: int, kind: Kind) -> Tally:
        place = (wall // MINUTE, *kind)
        if (tally := self._tallies.get(place)) is None:
            tally = self._tallies[place] = Tally()
        return tally


def write(client: Client, tallies: dict[Place, Tally]) -> None:
    """Add them to what the store has; minute 0 sums up all there were, by queue."""
    sums: list[Any] = []
    for (minute, queue, task), tally in tallies.items():
        sums += (0, f"started:{queue}", tally.started, 0, f"waited:{queue}", tally.waited)
        for name in _SUMS:
            if value := getattr(tally, name):
                sums += (minute, _encode((queue, task, name, 0)), value)
        for name, buckets in zip(("waits", "runs"), tally.buckets, strict=True):
            for bucket, n in buckets.items():
                sums += (minute, _encode((queue, task, name, bucket)), n)
    if sums:
        client.run("tally", *sums, repeat=False)


def read(client: Client, since: int) -> list[Minute]:
    """What happened from the minute of that moment on."""
    told = client.run("minutes", since // MINUTE, writes=False)
    minutes: dict[Place, dict[str, Any]] = {}
    for minute, sums in zip(told[::2], told[1::2], strict=True):
        for field, value in zip(sums[::2], sums[1::2], strict=True):
            queue, task, name, bucket = _decode(field)
            found = minutes.setdefault((int(minute), queue, task), {"waits": {}, "runs": {}})
            if name in ("waits", "runs"):
                found[name][bucket] = int(value)
            else:
                found[name] = int(value)
    return [
        Minute(
            start=minute * MINUTE,
            queue=queue,
            task=task,
            wait_histogram=found.pop("waits"),
            run_histogram=found.pop("runs"),
            **found,
        )
        for (minute, queue, task), found in sorted(minutes.items())
    ]
