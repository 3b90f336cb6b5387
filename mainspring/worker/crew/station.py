"""Station: the parent's books on one place where jobs run, a child process or this one.

What it holds and of which kind, what has begun, how many places are free.
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import repeat
from typing import NamedTuple, Protocol, TypeAlias

from mainspring.job import Claimed, Transition
from mainspring.presence import Slowest
from mainspring.worker.crew.usage import Usage
from mainspring.worker.link.board import Marks, Why
from mainspring.worker.link.wire import Drop, Feed, Hello, Order, Report

Held: TypeAlias = tuple[Claimed, int, str]
"""A job that is held here, its spot among the marks, and its kind."""


class Ended(NamedTuple):
    """What a report told of jobs that were really held: transitions to write, those among them
    that failed, jobs given back, those that completed by themselves, and for each kind how many
    ran and for how long (µs)."""

    transitions: list[Transition]
    failed: list[tuple[Claimed, Transition]]
    returned: list[Claimed]
    settled: list[Claimed]
    ran: dict[str, list[int]]


class Departure(NamedTuple):
    """A place is gone. Of its jobs some had begun; the `rest` had not, or had ended unheard. Had
    it been `asked` to go? `why` it was killed, if it was; the most bytes of `memory` it had, if
    known; the `output` of the job that had begun."""

    pid: int
    status: str
    begun: list[Claimed]
    rest: list[Claimed]
    asked: bool
    why: Why = Why.NOTHING
    memory: int = 0
    output: Sequence[str] = ()


class Place(Protocol):
    """Whoever runs the jobs of a station."""

    def send(self, order: Order) -> None:
        """Pass an order on, without waiting."""
        ...


class Desk(Protocol):
    """Who hears of the places where jobs run. Called in the pump's thread."""

    def opened(self, station: "Station", hello: Hello) -> None:
        """A place is ready for jobs."""
        ...

    def reported(self, station: "Station", report: Report) -> None:
        """Jobs have ended, or told something."""
        ...

    def ended(self, departure: Departure) -> None:
        """A place is gone."""
        ...

    def hopeless(self, error: Exception) -> None:
        """No place can be had."""
        ...


class Station:
    """The books on one place. Used by one thread, but for `held`, which others may look at."""

    def __init__(self, place: Place, marks: Marks, spots: int) -> None:
        self.place = place
        self.held: dict[int, Held] = {}
        self.slots: dict[str, int] = {}
        self.load: dict[str, int] = {}
        self.open = False
        self.quitting = False
        self.untaken = 0
        self.ended = 0
        """How many attempts."""
        self.last: Claimed | None = None
        """The job of the last one."""
        self.slow: tuple[int, float, str] | None = None
        """Number of the job that has run longest, since when (monotonic seconds), where it is."""
        self.usage = Usage()
        self._marks = marks
        self._free = list(range(spots))

    def welcome(self, slots: Mapping[str, int]) -> None:
        """The place is ready for jobs: so many at once, by kind."""
        self.slots = dict(slots)
        self.load = dict.fromkeys(slots, 0)
        self.open = True

    @property
    def busy(self) -> int:
        """How many places are taken."""
        return sum(min(self.load[kind], count) for kind, count in self.slots.items())

    @property
    def strain(self) -> float:
        """How far the kind of task is from having no place left that is nearest to it, 0 to 1: 1
        when one has none."""
        shares = (min(self.load[kind] / count, 1.0) for kind, count in self.slots.items() if count)
        return max(shares, default=0.0)

    @property
    def places(self) -> int:
        """How many jobs it runs at once, as people are told. Beside functions, coroutines count as
        they run: their limit, in the thousands, would hide how busy the threads are."""
        shown = dict(self.slots)
        if len(shown) > 1 and "async" in shown:
            shown["async"] = min(self.load["async"], shown["async"])
        return sum(shown.values())

    @property
    def slowest(self) -> Slowest | None:
        """The job that has run longest, if that is long, and where it is."""
        if self.slow is None or (held := self.held.get(self.slow[0])) is None:
            return None
        number, since, where = self.slow
        seconds = round(time.monotonic() - since, 1)
        return Slowest(task=held[0].task, number=number, seconds=seconds, traceback=where)

    def free(self, kind: str) -> int:
        """How many jobs of this kind could begin at once."""
        return max(0, self.slots.get(kind, 0) - self.load.get(kind, 0))

    def room(self, kind: str, window: int) -> int:
        """How many more it takes if it is to hold `window` of this kind at most."""
        if kind not in self.slots:
            return 0
        return max(0, min(window - self.load[kind], len(self._free)))

    def feed(self, jobs: list[Claimed], kind: str) -> list[Claimed]:
        """Give it jobs of a kind; answers those there is no spot for."""
        count = min(len(jobs), len(self._free))
        if not count:
            return jobs
        fed, left = jobs[:count], jobs[count:]
        spots = self._free[-count:]
        del self._free[-count:]
        marks = self._marks
        for spot in spots:
            marks[spot] = 0
        numbers = [job.number for job in fed]
        if not self.held.keys().isdisjoint(numbers):
            # Lost, and back here before that was known: what ran first counts no more.
            self.strike(numbers)
        self.held.update(zip(numbers, zip(fed, spots, repeat(kind)), strict=False))
        self.load[kind] += count
        self.place.send(Feed(fed, spots, self.untaken))
        self.untaken = 0
        return left

    def acknowledge(self) -> None:
        """Tell it that its reports were dealt with, unless that was told along with jobs."""
        if self.untaken:
            self.place.send(Feed([], [], self.untaken))
            self.untaken = 0

    def take(self, report: Report) -> Ended:
        """Strike off what a report is about; what is no longer held here counts for nothing."""
        self.untaken += 1
        held, free = self.held, self._free
        ended = Ended([], [], [], [], {kind: [0, 0] for kind in self.slots})
        transitions = ended.transitions
        for transition in report.done:
            found = held.get(transition.number)
            if found is None or found[0].token != transition.token:
                continue
            del held[transition.number]
            free.append(found[1])
            ran = ended.ran[found[2]]
            ran[0] += 1
            ran[1] += transition.took
            transitions.append(transition)
            self.last = found[0]
            if transition.error is not None:
                ended.failed.append((found[0], transition))
        for kind, (count, _) in ended.ran.items():
            self.load[kind] -= count
        ended.returned.extend(self.strike(report.returned))
        ended.settled.extend(self.strike(report.settled))
        self.ended += len(transitions) + len(ended.settled)
        return ended

    def strike(self, numbers: Iterable[int]) -> list[Claimed]:
        """Strike these jobs off the books; answers those that were on them."""
        struck = []
        for number in numbers:
            found = self.held.pop(number, None)
            if found is not None:
                job, spot, kind = found
                self._free.append(spot)
                self.load[kind] -= 1
                struck.append(job)
        return struck

    def lose(self, tokens: Collection[int]) -> list[Claimed]:
        """Have what is held under these grants stopped, and strike it off; answers it."""
        self.place.send(Drop(list(tokens)))
        return self.strike([job.number for job, _, _ in self.held.values() if job.token in tokens])

    def strike_all(self) -> tuple[list[Claimed], list[Claimed]]:
        """Strike everything off: the jobs that run, and those that have not begun, or ended
        without a word of it coming through."""
        begun = [job for job, spot, _ in self.held.values() if self._marks[spot] == 1]
        rest = [job for job, spot, _ in self.held.values() if self._marks[spot] != 1]
        self.held.clear()
        return begun, rest
