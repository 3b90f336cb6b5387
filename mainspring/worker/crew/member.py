"""Member: one child of a crew, its books, and what is meant for it."""

import time
from dataclasses import dataclass, field
from typing import NamedTuple

from mainspring import presence
from mainspring.worker.crew.spawn import Child
from mainspring.worker.crew.station import Departure, Station
from mainspring.worker.link.board import Why
from mainspring.worker.link.wire import Quit, Recall

LINGER = 0.5
"""Seconds for which a dead child's line is read, if something it started keeps it open."""

LAST_WORDS = 1.5
"""Seconds for which a child may go on after it was told to quit."""

IDLE = 10.0
"""Seconds for which the isolation child is kept without work."""

LOOK = 0.1
"""Seconds between two looks at a child's memory."""


class Lifespan(NamedTuple):
    """After how many jobs, seconds and at how many bytes a child is relieved; 0: never."""

    jobs: int = 0
    age: float = 0.0
    memory: int = 0


@dataclass(eq=False)
class Member:
    """A child. `solo`: for one job at a time; `alone`: for suspects. One that is `leaving` (why,
    in words) works on until its `heir` is ready; one that is `retired` takes no more jobs; one that
    is `starved` could not start for want of memory, processes or files."""

    child: Child
    station: Station
    solo: bool
    alone: bool
    born: float = field(default_factory=time.monotonic)
    leaving: str = ""
    heir: "Member | None" = None
    elder: "Member | None" = None
    retired: bool = False
    dismissed: bool = False
    starved: bool = False
    convicted: tuple[int, Why] | None = None
    memory: int = 0
    _cpu: tuple[float, float] = (0.0, 0.0)
    _dismiss_at: float | None = None
    _kill_at: float | None = None
    _hang_up_at: float | None = None
    _idle_since: float | None = None
    _look_at: float = 0.0

    def retire(self, grace: float) -> None:
        """Take no more jobs, give back what has not begun, and go when the rest has ended."""
        if self.retired:
            return  # told again, it would be waited for longer
        if not self.station.open:
            self.dismiss()
            return
        self.retired = True
        self.child.send(Recall())
        self._dismiss_at = time.monotonic() + grace

    def dismiss(self) -> None:
        """Give back everything, and go."""
        if self.dismissed:
            return  # told again and again, it would be waited for as long
        self.retired = self.dismissed = True
        self.child.send(Quit())
        self._kill_at = time.monotonic() + LAST_WORDS

    def look_after(self, now: float, lifespan: Lifespan) -> bool:
        """See to it that its time, its memory and its job stay within bounds. True: it was told
        to quit, did not, and is to be ended."""
        if self.child.has_ended:
            # Its last words are read to the end of the line, or for so long.
            self._hang_up_at = self._hang_up_at or now + LINGER
            if now >= self._hang_up_at:
                self.child.hang_up()
            return False
        if self._kill_at is not None:
            return now >= self._kill_at
        if self.solo:
            self._judge(now)
        if now >= self._look_at:
            self._look_at = now + LOOK
            self._grow_old(now, lifespan)
        self.station.usage.is_now(self.station.strain)
        self._rest(now)
        return False

    @property
    def state(self) -> str:
        """Starting, ready or retiring."""
        if self.retired:
            return "retiring"
        return "ready" if self.station.open else "starting"

    def told(self) -> presence.Member:
        """What people are told of it."""
        station = self.station
        return presence.Member(
            pid=self.child.pid,
            kind="process" if self.solo else "shared",
            state=self.state,
            busy=station.busy,
            slots=station.places,
            processed=station.ended,
            memory=self.child.memory,
            age=round(time.monotonic() - self.born, 1),
        )

    def strain(self, now: float) -> float:
        """The share of the time since the last look that it was busy, by its slots or by the
        processor, whichever is more."""
        cpu, (since, before) = self.child.cpu, self._cpu
        self._cpu = (now, cpu)
        slots = self.station.usage.look()
        return max(slots, (cpu - before) / (now - since)) if since else slots

    def depart(self, *, quitting: bool) -> Departure:
        """The end of this child: how, and what is left of its jobs."""
        status = self.child.close()
        begun, rest = self.station.strike_all()
        why = Why.NOTHING
        if self.convicted is not None:
            number, why = self.convicted
            # Killed for one job: whatever began just then is not to blame.
            rest += [job for job in begun if job.number != number]
            begun = [job for job in begun if job.number == number]
        memory = self.memory if why is Why.MEMORY else self.child.peak
        output = self.child.last_output()
        asked = self.dismissed or quitting
        return Departure(self.child.pid, status, begun, rest, asked, why, memory, output)

    def _judge(self, now: float) -> None:
        """Kill a child for the job it runs, if it did not end in time or takes too much memory."""
        board = self.child.board
        number, limit, kill_at, why = board.number, board.memory, board.kill_at, board.why
        if limit and now >= self._look_at:
            self.memory = self.child.memory
            if self.memory > limit:
                self._convict(number, Why.MEMORY)
        if kill_at and now * 1e9 >= kill_at:
            self._convict(number, why)
        self.child.trim()

    def _convict(self, number: int, why: Why) -> None:
        # Another one that has begun meanwhile has nothing to do with it.
        if number and number == self.child.board.number and self.convicted is None:
            self.convicted = (number, why)
            self.child.kill()

    def _grow_old(self, now: float, lifespan: Lifespan) -> None:
        if self.leaving or self.retired or self.alone or not self.station.open:
            return
        if lifespan.jobs and self.station.ended >= lifespan.jobs:
            self.leaving = f"it has run {self.station.ended} jobs"
        elif lifespan.age and now - self.born >= lifespan.age:
            self.leaving = "it has reached its age"
        elif lifespan.memory:
            self.memory = self.child.memory
            if self.memory >= lifespan.memory:
                self.leaving = f"it takes {self.memory / 1_000_000:.0f} MB of memory"

    def _rest(self, now: float) -> None:
        """Go when there is nothing left to do, if it is to go."""
        if self._dismiss_at is not None and now >= self._dismiss_at:
            self.dismiss()
            return
        if self.station.held or not self.station.open:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        idle = 0.0 if self._idle_since is None else now - self._idle_since
        if idle and (self.retired or (self.alone and idle > IDLE)):
            self.dismiss()
