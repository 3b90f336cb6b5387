"""Vitals: whether a worker lives and is ready for jobs, for whoever restarts it or waits for it."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from mainspring.worker.control.dealer import Crew
from mainspring.worker.control.identity import Phase

LATE = 5.0
"""Seconds without a turn of its pump after which a worker does not live; it turns four times a
second when nothing happens."""


class Sign(NamedTuple):
    """True or false, and if it is false, why: in words."""

    holds: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.holds


class Pulse(Protocol):
    """The pump of a worker, as far as anybody may look at it at any moment."""

    @property
    def phase(self) -> Phase:
        """What the worker is about."""
        ...

    @property
    def turned(self) -> float:
        """When it turned last (monotonic seconds)."""
        ...

    @property
    def is_away(self) -> bool:
        """Whether the store is."""
        ...

    @property
    def crew(self) -> Crew:
        """Where its jobs run; there is none before it has started."""
        ...


class Watched(Protocol):
    """A worker, as those see it who watch it from within its process."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def phase(self) -> Phase:
        """What it is about."""
        ...

    @property
    def live(self) -> Sign:
        """Whether it goes about its work."""
        ...

    @property
    def ready(self) -> Sign:
        """Whether it takes jobs."""
        ...

    @property
    def reloads(self) -> int:
        """How many times its processes were to load the app anew."""
        ...

    @property
    def reloading(self) -> bool:
        """Whether some of them have still to do so."""
        ...

    @property
    def processed(self) -> int:
        """How many attempts have ended."""
        ...

    @property
    def failed(self) -> int:
        """How many of them failed."""
        ...


def live(pulse: Pulse | None) -> Sign:
    """Whether the worker goes about its work, even if there is none, or the store is away."""
    if pulse is None:
        return Sign(False, "it was not started")
    if pulse.phase == "stopped":
        return Sign(False, "it has stopped")
    late = time.monotonic() - pulse.turned
    # What a start waits for, the store and the app, has limits of its own.
    if pulse.phase != "starting" and late > LATE:
        return Sign(False, f"it has not turned for {late:.0f} s")
    return Sign(True)


def ready(pulse: Pulse | None) -> Sign:
    """Whether jobs that are enqueued now are taken, or would be if it were not paused."""
    if pulse is None or not (alive := live(pulse)):
        return live(pulse)
    if pulse.phase not in ("running", "paused"):
        return Sign(False, f"it is {pulse.phase}")
    if pulse.is_away:
        return Sign(False, "the store does not answer")
    if not pulse.crew.stations:
        return Sign(False, "none of its processes takes jobs")
    return alive


def reloads(pulse: Pulse | None) -> int:
    """How many times the worker was to load its app anew."""
    return 0 if pulse is None or pulse.phase == "starting" else pulse.crew.reloads


def reloading(pulse: Pulse | None) -> bool:
    """Whether some processes of the worker have still to load the app anew."""
    return pulse is not None and pulse.phase != "starting" and pulse.crew.reloading


def at_work(workers: Sequence[Watched]) -> Sequence[Watched]:
    """Those that have not stopped: one that was drained is missed by nobody while others work."""
    return [each for each in workers if each.phase != "stopped"] or workers


def all_of(workers: Sequence[Watched], look: Callable[[Watched], Sign]) -> Sign:
    """Whether it holds for all of these workers; if not, for which not, and why."""
    signs = [(each.name, look(each)) for each in at_work(workers)]
    reasons = [f"{name}: {sign.reason}" for name, sign in signs if not sign]
    return Sign(not reasons, "; ".join(reasons))


def all_live(workers: Sequence[Watched]) -> Sign:
    """Whether all of these workers live."""
    return all_of(workers, lambda each: each.live)


def all_ready(workers: Sequence[Watched]) -> Sign:
    """Whether all of these workers are ready."""
    return all_of(workers, lambda each: each.ready)
