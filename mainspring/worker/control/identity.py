"""Identity: who a worker is and what it wants, and what it tells of itself."""

from operator import attrgetter
from typing import Literal, NamedTuple

from mainspring.job import Claimed
from mainspring.store import Presence
from mainspring.worker.control.dealer import Crew, Dealer, Taste
from mainspring.worker.control.tally import Tally

Phase = Literal["starting", "running", "paused", "stopping", "quitting", "stopped"]

SOME = 5
"""Jobs that are named as current."""


class Identity(NamedTuple):
    """Who the worker is and what it wants. `lease` and `grace` in seconds."""

    name: str
    host: str
    pid: int
    started: int
    queues: tuple[str, ...] | None
    priorities: tuple[int, int] | None
    tasks: tuple[str, ...] | None
    lease: float
    grace: float
    read_ahead: int

    @property
    def taste(self) -> Taste:
        """Which jobs it takes."""
        lease = int(self.lease * 1_000_000)
        return Taste(self.name, lease, self.queues, self.priorities, self.tasks)

    def presence(
        self, phase: Phase, crew: Crew, dealer: Dealer, tally: Tally, load: float, *, anew: bool
    ) -> Presence:
        """What is told of the worker in this phase. `anew`: its tasks are held back this time.

        What a worker tells of for the first time makes jobs due that nobody could run, and a child
        that has just come may know newer versions of the same tasks.
        """
        slow = [each.slowest for each in crew.everyone if each.slowest is not None]
        some = zip(dealer.held(), range(SOME), strict=False)
        return Presence(
            id=self.name,
            host=self.host,
            pid=self.pid,
            started=self.started,
            state="stopping" if phase == "quitting" else phase,
            queues=self.queues or (),
            tasks=() if anew else tuple(dealer.kinds),
            slots=sum(each.places for each in crew.everyone),
            busy=sum(each.busy for each in crew.everyone),
            processed=tally.processed,
            failed=tally.failed,
            children=crew.count,
            current=", ".join(_named(job) for job, _ in some),
            utilisation=round(load, 3),
            last=_named(dealer.last) if dealer.last else "",
            members=tuple(each.told() for each in crew.members),
            slowest=max(slow, key=attrgetter("seconds"), default=None),
        )


def _named(job: Claimed) -> str:
    return f"{job.task} #{job.number}"
