"""Children: the crew of processes in which jobs run. Starts, hears, replaces and ends them.

Two families: shared children run many jobs at once, on threads and an event loop; solo children
run one at a time, for tasks that run in a process of their own. A child that is to be replaced,
for its age or because there is new code, works on until its heir is ready.
"""

import logging
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

from msgspec.structs import replace

from mainspring.errors import ConfigError
from mainspring.worker.crew.member import Lifespan, Member
from mainspring.worker.crew.scaling import Scaling
from mainspring.worker.crew.spawn import Child
from mainspring.worker.crew.station import Desk, Station
from mainspring.worker.link.wire import Hello, News, Report, Setup, Slow, Unable, Worn

log = logging.getLogger("mainspring")

Family = Literal["shared", "solo"]
FAMILIES: tuple[Family, ...] = ("shared", "solo")

PACE = 0.01
"""Seconds between two rounds, however much happens."""

QUICK = 1.0
"""Seconds: a child that dies younger than this makes its successor wait."""

LONGEST_PAUSE = 5.0
"""Seconds that a successor waits at most."""

HOPELESS = 5
"""So many children in a row that could not start, and none that works: the worker gives up."""


class Children:
    """So many children of each family, and one at times for a suspect alone. `grace` (seconds) is
    how long a child that is replaced may go on with what it runs."""

    apart = True
    """Suspects run apart from everything else, so that claims need not wait for them."""

    def __init__(
        self,
        setup: Setup,
        sizes: Mapping[Family, Scaling],
        spots: int,
        desk: Desk,
        post: Callable[[Callable[[], None]], None],
        *,
        grace: float,
        lifespan: Lifespan,
    ) -> None:
        self.sizes = sizes
        self._setup = setup
        self._spots = spots
        self._desk = desk
        self._post = post
        self._grace = grace
        self._lifespan = lifespan
        self._families: tuple[Family, ...] = ("shared",)
        self._members: list[Member] = []
        self._quick = self._unopened = 0
        self._not_before = self._tend_at = 0.0
        self._quitting = False
        self._told = ""
        self.reloads = 0

    @property
    def members(self) -> list[Member]:
        """All children, from whatever thread."""
        return list(self._members)

    @property
    def stations(self) -> list[Station]:
        """Those that take jobs."""
        return [
            each.station
            for each in self._members
            if each.station.open and not each.alone and not each.retired
        ]

    @property
    def everyone(self) -> list[Station]:
        """All that may hold jobs."""
        return [each.station for each in list(self._members)]  # asked for from other threads, too

    @property
    def count(self) -> int:
        """How many processes there are."""
        return len(self._members)

    @property
    def gone(self) -> bool:
        """Whether nobody is left."""
        return not self._members

    @property
    def isolating(self) -> bool:
        """Whether a suspect runs."""
        return any(each.alone and each.station.held for each in self._members)

    def isolated(self) -> Station | None:
        """A place that holds nothing, for a suspect; started if there is none yet."""
        for member in self._members:
            if member.alone and not member.retired:
                return member.station if member.station.open and not member.station.held else None
        if time.monotonic() >= self._not_before:
            self._start("shared", alone=True)
        return None

    def tend(self) -> None:
        """Start who is missing, end who should be gone."""
        now = time.monotonic()
        if now < self._tend_at:
            return
        self._tend_at = now + PACE
        for member in self._members:
            if member.look_after(now, self._lifespan):
                self._post(partial(self._gone, member))
        if self._quitting or now < self._not_before:
            return
        for family in FAMILIES:
            self._staff(family)

    def reload(self) -> None:
        """Replace all children, one after the other, by such that import the app anew."""
        self._told = ""
        for member in self._members:
            if member.elder is not None:
                # It may have read what was there before, or hang in it.
                member.elder.heir = None
                member.elder = None
                member.dismiss()
            elif member.alone:
                member.retire(self._grace)
            elif not member.retired:
                member.leaving = "there may be new code"
        self.reloads += 1

    @property
    def reloading(self) -> bool:
        """Whether some of them are still to be replaced."""
        return any(each.leaving and not each.retired for each in self.members)

    def scale(self, least: int, most: int) -> None:
        """Have at least and at most so many children in each family."""
        for size in self.sizes.values():
            size.bound(least, most)

    @property
    def elastic(self) -> bool:
        """Whether the number of children depends on what there is to do."""
        return any(size.elastic for size in self.sizes.values())

    def measure(self, waiting: int, rate: float) -> None:
        """So many jobs wait to be claimed, and so many end in a second: have more children, or
        fewer, if that is not as it should be."""
        now = time.monotonic()
        for family, size in self.sizes.items():
            strains = [each.strain(now) for each in self._working(family)]
            if strains:
                size.judge(now, sum(strains) / len(strains), waiting, rate)

    def quit(self) -> None:
        """Let everybody hand back what they have, and go."""
        self._quitting = True
        for member in self._members:
            member.dismiss()

    def kill(self) -> None:
        """End everybody now."""
        self._quitting = True
        for member in list(self._members):
            self._gone(member)

    # --- who is there -----------------------------------------------------------------------

    def _staff(self, family: Family) -> None:
        """Bring a family to its size, and let those go who have an heir."""
        there = self._working(family)
        wanted = self.sizes[family].count if family in self._families else 0
        regular = [each for each in there if each.elder is None]
        for _ in range(wanted - len(regular)):
            self._start(family)
        if (surplus := len(regular) - wanted) > 0:
            for member in sorted(regular, key=_worth)[:surplus]:
                member.retire(self._grace)
        if len(regular) == len(there):  # one heir at a time
            leaving = next((e for e in regular if e.leaving and not e.retired), None)
            if leaving is not None:
                self._start(family, elder=leaving)

    def _working(self, family: Family) -> list[Member]:
        return [
            each
            for each in self._members
            if each.solo == (family == "solo") and not each.alone and not each.retired
        ]

    def _start(self, family: Family, *, alone: bool = False, elder: Member | None = None) -> None:
        solo = family == "solo"
        try:
            child = Child(replace(self._setup, solo=solo), self._spots, self._hear)
        except OSError as error:
            log.warning("cannot start a child process: %s; trying again", error)
            self._not_before = time.monotonic() + LONGEST_PAUSE / 5
            return
        station = Station(child, child.board.marks, self._spots)
        member = Member(child, station, solo, alone, elder=elder)
        if elder is not None:
            elder.heir = member
        self._members.append(member)

    def _hear(self, child: Child, news: News | None) -> None:
        self._post(partial(self._heard, child, news))

    def _heard(self, child: Child, news: News | None) -> None:
        member = next((each for each in self._members if each.child is child), None)
        if member is None:
            return
        match news:
            case Hello():
                self._opened(member, news)
            case Report():
                self._desk.reported(member.station, news)
            case Unable(error=error, starved=True):
                log.warning("cannot start a child process: %s; trying again", error)
                member.starved = True
            case Unable(error=error, traceback=told):
                self._could_not_start(error, told)
                if not self.stations:
                    self._desk.hopeless(ConfigError(self._told))
            case Slow():
                since = time.monotonic() - news.seconds
                member.station.slow = (news.number, since, news.traceback)
            case Worn(reason=reason):
                log.warning("child %d is replaced: %s", member.child.pid, reason)
                member.retire(self._grace)
            case None:
                self._gone(member)

    def _opened(self, member: Member, hello: Hello) -> None:
        if member.dismissed:
            return
        self._unopened = 0
        self._told = ""
        if not member.solo:
            self._families = FAMILIES if "process" in hello.tasks.values() else ("shared",)
        member.station.welcome(hello.slots)
        self._desk.opened(member.station, hello)
        if (elder := member.elder) is not None:
            member.elder = elder.heir = None
            log.info("child %d is replaced: %s", elder.child.pid, elder.leaving)
            elder.retire(self._grace)

    def _gone(self, member: Member) -> None:
        if member not in self._members:
            return
        self._members.remove(member)
        self._tend_at = 0.0
        if (heir := member.heir) is not None:
            heir.elder = None
        if (elder := member.elder) is not None:
            # Better the old one than none. Asked for again, it is tried again.
            if not self._quitting:
                log.warning("child %d could not be replaced, and goes on", elder.child.pid)
            elder.heir, elder.leaving = None, ""
            for each in self._members:
                each.leaving = each.leaving if each.heir else ""
        departure = member.depart(quitting=self._quitting)
        opened = member.station.open
        # One that a job has killed says nothing about the next; that job goes by its own policy.
        blameless = departure.asked or departure.why or departure.begun
        if not blameless and not (member.alone and opened):
            status = departure.status
            self._pause(
                time.monotonic() - member.born, status, counts=not opened and not member.starved
            )
        self._desk.ended(departure)

    def _pause(self, lived: float, status: str, *, counts: bool) -> None:
        """Let the successor of a child wait, longer each time one dies at once."""
        self._quick = self._quick + 1 if lived < QUICK else 0
        if self._quick > 1:
            self._not_before = time.monotonic() + min(LONGEST_PAUSE, 0.05 * 2**self._quick)
        if not counts:
            return
        self._unopened += 1
        if not self._told:
            self._could_not_start(f"it ended with {status}", "")
        if self._unopened >= HOPELESS and not self.stations:
            self._desk.hopeless(ConfigError(self._told))

    def _could_not_start(self, error: str, told: str) -> None:
        """Say it once; give up if no child ever could."""
        message = f"cannot load {self._setup.app!r} in a child process: {error}"
        if message != self._told:
            self._told = message
            if told:
                print(told, file=sys.stderr, flush=True)
            else:
                log.warning(message)


def _worth(member: Member) -> tuple[bool, int]:
    """The least goes first when there are too many: who takes no jobs yet, who has the fewest."""
    return member.station.open, len(member.station.held)
