"""Dealer: how many jobs to ask for, and who gets which. Knows no store."""

import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate, chain, pairwise
from math import ceil
from typing import NamedTuple, Protocol

from mainspring.ids import new_token
from mainspring.job import Claimed
from mainspring.presence import Member
from mainspring.store import Claim, Grant
from mainspring.worker.control.appetite import Appetite, served
from mainspring.worker.crew.station import Ended, Station
from mainspring.worker.link.wire import Hello, Report


class Taste(NamedTuple):
    """Who claims, for how long (microseconds), and which jobs at all: of these queues, of these
    priorities (lowest, highest), of these tasks; None: of any."""

    worker: str
    lease: int
    queues: tuple[str, ...] | None = None
    priorities: tuple[int, int] | None = None
    tasks: tuple[str, ...] | None = None


class Told(Protocol):
    """A process of which something is told."""

    def told(self) -> Member:
        """What people are told of it."""
        ...


class Crew(Protocol):
    """Where jobs run: child processes, or this one."""

    @property
    def apart(self) -> bool:
        """Whether suspects run apart from everything else."""
        ...

    @property
    def stations(self) -> list[Station]:
        """Those that take jobs."""
        ...

    @property
    def everyone(self) -> list[Station]:
        """All that may hold jobs."""
        ...

    @property
    def count(self) -> int:
        """How many processes there are."""
        ...

    @property
    def gone(self) -> bool:
        """Whether nobody is left."""
        ...

    @property
    def isolating(self) -> bool:
        """Whether a suspect runs."""
        ...

    def isolated(self) -> Station | None:
        """A place that holds nothing, for a suspect; None while there is none."""
        ...

    def tend(self) -> None:
        """Start who is missing, end who should be gone. To be called again and again."""
        ...

    @property
    def members(self) -> Sequence[Told]:
        """The processes there are, one by one, from whatever thread."""
        ...

    @property
    def elastic(self) -> bool:
        """Whether the number of processes depends on what there is to do."""
        ...

    def scale(self, least: int, most: int) -> None:
        """Have at least and at most so many processes."""
        ...

    def measure(self, waiting: int, rate: float) -> None:
        """So many jobs wait to be claimed, and so many end in a second."""
        ...

    def reload(self) -> None:
        """Replace all processes, one after the other, by such that import the app anew."""
        ...

    @property
    def reloads(self) -> int:
        """How many times that was asked for."""
        ...

    @property
    def reloading(self) -> bool:
        """Whether some of them are still to be replaced."""
        ...

    def quit(self) -> None:
        """Let everybody hand back what they have, and go."""
        ...

    def kill(self) -> None:
        """End everybody now."""
        ...


MOST = 1000
"""Jobs of one claim: other processes wait to write, too."""

REACH = 1000
"""How deep to look into a queue for jobs of certain tasks: a claim must not take long."""


class Dealer:
    """Deals the jobs of claims to the stations of a crew."""

    def __init__(self, crew: Crew, read_ahead: int) -> None:
        self.kinds: dict[str, str] = {}
        self._rest = ""
        self._kinds: frozenset[str] = frozenset()
        self.suspects: deque[Claimed] = deque()
        self.last: Claimed | None = None
        """The job of the attempt that ended last."""
        self._crew = crew
        self._appetite = Appetite(read_ahead)
        self._most = MOST

    def meet(self, hello: Hello) -> None:
        """A place is ready: what it can run."""
        self.kinds = hello.tasks
        self._rest = hello.rest
        self._kinds = frozenset({*hello.tasks.values(), hello.rest} - {""})
        self._appetite.meet(hello.slots)

    def wish(self, taste: Taste, undealt: int) -> Claim | None:
        """What to claim, if anything, while so many jobs are still to be dealt."""
        stations = self._crew.stations
        suspicious = bool(self.suspects) or self._crew.isolating
        if not stations or (suspicious and not self._crew.apart):
            return None
        wish = self._appetite.wish(stations)
        if wish.jobs <= undealt:
            return None
        tasks = taste.tasks
        reach = REACH if taste.priorities or tasks else None
        wanted = self._kinds if wish.kinds is None else wish.kinds
        if not self._rest and (not self._kinds <= served(stations) or wish.kinds is not None):
            wanted &= served(stations)
            tasks = tuple(name for name, kind in self.kinds.items() if kind in wanted)
            reach = REACH
        return Claim(
            grant=Grant(token=new_token(), worker=taste.worker, lease=taste.lease),
            limit=min(self._most, wish.jobs - undealt),
            slots=max(0, wish.places - undealt),
            alone=0 if suspicious else 1,
            queues=taste.queues,
            priorities=taste.priorities,
            tasks=tasks,
            reach=reach,
        )

    def timely(self, jobs: int, asked: float, lease: float) -> bool:
        """Whether so many jobs have come before half of a lease, in seconds, has passed since they
        were asked for. If not, it was too many for the way to the store."""
        took = time.monotonic() - asked
        self._appetite.travelled(int(took * 1_000_000))
        if took < lease / 2:
            self._most = min(MOST, max(self._most, 2 * jobs))
            return True
        self._most = max(1, jobs // 2)
        return False

    def deal(self, jobs: Sequence[Claimed]) -> tuple[list[Claimed], list[Claimed]]:
        """Give jobs to stations; answers those nobody knows and those nobody can take."""
        unknown: list[Claimed] = []
        kinds, sorted_out = self.kinds, dict[str, list[Claimed]]()
        for job in jobs:
            kind = kinds.get(job.task, self._rest)
            if not kind:
                unknown.append(job)
            elif job.losses and job.alone and kind != "process":
                self.suspects.append(job)
            elif kind in sorted_out:
                sorted_out[kind].append(job)
            else:
                sorted_out[kind] = [job]
        self._appetite.taste(sorted_out)
        left = [self._share_out(each, kind) for kind, each in sorted_out.items()]
        return unknown, list(chain.from_iterable(left))

    def deal_suspects(self) -> None:
        """Give the next suspect a place to itself, if there is one."""
        if self.suspects and (station := self._crew.isolated()) and station.load:
            job = self.suspects.popleft()
            kind = self.kinds.get(job.task, "")
            # A place that has come to know another version of the app says so itself.
            station.feed([job], kind if kind in station.load else next(iter(station.load)))

    def take(self, station: Station, report: Report) -> Ended:
        """Strike off what a report is about, and learn from it."""
        kinds = [station.held[n][2] for n in report.returned if n in station.held]
        ended = station.take(report)
        self.last = station.last or self.last
        self._appetite.learn(ended.ran, report.waited)
        if report.stale:
            self._appetite.overfed(kinds)
        return ended

    def lose(self, tokens: Collection[int]) -> list[Claimed]:
        """Have what is held under these grants stopped, and strike it off; answers it."""
        waiting = [job for job in self.suspects if job.token in tokens]
        for job in waiting:
            self.suspects.remove(job)
        gone = [station.lose(tokens) for station in self._crew.everyone]
        return [*waiting, *chain.from_iterable(gone)]

    def withdraw(self, numbers: Collection[int]) -> list[Claimed]:
        """Take out suspects that still wait for their place."""
        found = [job for job in self.suspects if job.number in numbers]
        for job in found:
            self.suspects.remove(job)
        return found

    def held(self) -> Iterator[Claimed]:
        """Everything that is held, from whatever thread."""
        for station in self._crew.everyone:
            yield from [job for job, _, _ in list(station.held.values())]
        yield from list(self.suspects)

    def _share_out(self, jobs: list[Claimed], kind: str) -> list[Claimed]:
        """Deal jobs of a kind, the same load to each station; answers what is left."""
        stations = [each for each in self._crew.stations if kind in each.slots]
        shares: list[list[Claimed]] = [[] for _ in stations]
        # The careful ones are among the first: a free place is what they were claimed for. All
        # that a station gets goes in one message, or it would report the first few by themselves.
        places = sum(each.free(kind) for each in stations)
        for some in (jobs[:places], jobs[places:]):
            loads = [each.load[kind] + len(s) for each, s in zip(stations, shares, strict=True)]
            for share, part in zip(shares, _poured(some, loads), strict=True):
                share += part
        left: list[Claimed] = [] if stations else jobs
        for station, share in zip(stations, shares, strict=True):
            if share:
                left += station.feed(share, kind)
        return left


def _poured(jobs: list[Claimed], loads: list[int]) -> list[list[Claimed]]:
    """The jobs, in order, as they bring all loads to one level."""
    level = ceil((sum(loads) + len(jobs)) / max(1, len(loads)))
    ends = list(accumulate(max(0, level - load) for load in loads))
    return [jobs[start:end] for start, end in pairwise([0, *ends])]
