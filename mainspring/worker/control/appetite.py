"""Appetite: how many jobs to ask for. Free places, plus as much read-ahead as pays.

Pure figures; knows no store, no clock and no process.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mainspring.job import Claimed
from mainspring.worker.crew.station import Station

AHEAD = 35_000
"""Microseconds of work to have read ahead, beyond what is done during a round trip to the store;
what takes longer than that is not read ahead."""

EARLY, LATE = 20_000, 50_000
"""Microseconds a job may wait here: below the first the window grows, beyond the second it
shrinks."""

FARTHEST = 140_000
"""Microseconds of a round trip to the store, at most, for which work is read ahead besides: what
waits much longer in a child goes back."""

FEW = 16
"""Jobs to read ahead to begin with."""

RARE = 0.02
"""The share below which a kind does not count when the next jobs are guessed."""

MOST_BYTES = 32 << 20
"""Payload bytes to ask for at once, going by the average."""


class Wish(NamedTuple):
    """How many jobs, how many of them careful; only of these kinds, if any are named."""

    jobs: int
    places: int
    kinds: frozenset[str] | None = None


NOTHING = Wish(0, 0)


@dataclass
class _Habit:
    """What is known of one kind of task: `window` is how many jobs a station may hold of it,
    never below `floor`; `mean` their run time (µs); `share` their part of the jobs that came."""

    floor: int
    slots: int
    window: float
    mean: float | None = None
    share: float = 0.0


class _Usual(NamedTuple):
    """A kind that the next jobs may be of, and which share of them."""

    kind: str
    habit: _Habit
    share: float


class Appetite:
    """Learns from claims and reports how much each station can take."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._habits: dict[str, _Habit] = {}
        self._tasted = False
        self._size = 0.0
        self._trip: float | None = None

    def meet(self, slots: Mapping[str, int]) -> None:
        """A station can run these kinds, so many at once."""
        for kind, count in slots.items():
            # A thread is there to be used; a loop's places are only room, if its jobs compute.
            floor = 1 if kind == "async" else count
            self._habits.setdefault(kind, _Habit(floor, count, count + FEW))

    def taste(self, jobs: Mapping[str, Sequence[Claimed]]) -> None:
        """These jobs came, by kind."""
        total = sum(map(len, jobs.values()))
        if not total:
            return
        weight = _weight(total) if self._tasted else 1.0
        size = sum(len(job.payload) for each in jobs.values() for job in each) / total
        for kind, habit in self._habits.items():
            habit.share += weight * (len(jobs.get(kind, ())) / total - habit.share)
        self._size += weight * (size - self._size)
        self._tasted = True

    def travelled(self, took: int) -> None:
        """A claim took so long (µs), from when it was asked for: there is as much work to be done
        meanwhile. The shortest counts; longer ones were kept waiting by something."""
        took = min(took, FARTHEST)
        if self._trip is None or took < self._trip:
            self._trip = took
        else:
            self._trip += 0.05 * (took - self._trip)

    def learn(self, ran: Mapping[str, Sequence[int]], waited: Mapping[str, int]) -> None:
        """So many jobs of a kind ran, for so long together; they waited at most so long."""
        for kind, (count, took) in ran.items():
            if count:
                habit = self._habits[kind]
                mean = took / count
                old = mean if habit.mean is None else habit.mean
                habit.mean = old + _weight(count) * (mean - old)
        for kind, wait in waited.items():
            habit = self._habits[kind]
            if wait > LATE + self._far:
                habit.window = max(habit.floor, habit.window * max(0.5, self._horizon / wait))
            elif wait < EARLY + self._far:
                habit.window = min(habit.slots + self._most, habit.window * 2)

    def overfed(self, kinds: Iterable[str]) -> None:
        """Jobs of these kinds had to be given back, because they waited too long."""
        for kind in set(kinds):
            habit = self._habits[kind]
            habit.window = max(habit.floor, habit.window / 2)

    def wish(self, stations: Sequence[Station]) -> Wish:
        """How many jobs to ask for now."""
        usual = self._usual(served(stations))
        jobs = min((self._room(each, stations) for each in usual), default=0)
        if jobs > 0:
            places = min((_free(each.kind, stations) for each in usual), default=0)
            return Wish(self._bearable(jobs), places)
        full = [each.habit for each in usual if self._room(each, stations) <= 0]
        if any(habit.mean is not None and habit.mean <= self._horizon for habit in full):
            return NOTHING  # there will be room in a moment
        # Long jobs have taken all places of their kind: that must not keep other kinds waiting.
        free = {kind: _free(kind, stations) for kind in self._habits}
        free = {kind: count for kind, count in free.items() if count > 0}
        if not free:
            return NOTHING
        least = min(free.values())
        return Wish(self._bearable(least), least, frozenset(free))

    def _bearable(self, jobs: int) -> int:
        return min(jobs, int(MOST_BYTES / self._size) + 1) if self._size else jobs

    def _usual(self, here: frozenset[str]) -> list[_Usual]:
        """The kinds to reckon with, of those that can be run now."""
        known = [(kind, habit) for kind, habit in self._habits.items() if kind in here]
        total = sum(habit.share for _, habit in known)
        if not total:  # nothing has come yet, or nothing of these kinds
            return [_Usual(kind, habit, 1.0) for kind, habit in known]
        usual = [_Usual(kind, habit, habit.share / total) for kind, habit in known]
        return [each for each in usual if each.share > RARE]

    def _room(self, usual: _Usual, stations: Sequence[Station]) -> int:
        kind, habit, share = usual
        window = min(int(habit.window), habit.slots + self._ahead(habit))
        return int(sum(each.room(kind, window) for each in stations) / share)

    def _ahead(self, habit: _Habit) -> int:
        if habit.mean is None or habit.mean > self._horizon:
            return 0
        return min(self._most, int(habit.slots * self._horizon / max(habit.mean, 1)))

    @property
    def _far(self) -> float:
        return self._trip or 0.0

    @property
    def _horizon(self) -> float:
        """Microseconds of work to have read ahead."""
        return AHEAD + self._far


def _weight(count: int) -> float:
    """How much so many new observations count against all older ones."""
    return 1 - 0.97**count


def served(stations: Sequence[Station]) -> frozenset[str]:
    """The kinds that there is a station for."""
    return frozenset(kind for each in stations for kind in each.slots)


def _free(kind: str, stations: Sequence[Station]) -> int:
    return sum(station.free(kind) for station in stations)
