"""Identity: who a worker is and what it wants, and what it tells of itself."""

from typing import Literal, NamedTuple

from mainspring.store import Presence
from mainspring.worker.dealer import Crew, Dealer

Phase = Literal["starting", "running", "stopping", "quitting", "stopped"]

SOME = 5
"""Jobs that are named as current."""


class Identity(NamedTuple):
    """Who the worker is and what it wants. `lease` and `grace` in seconds."""

    name: str
    host: str
    pid: int
    started: int
    queues: tuple[str, ...] | None
    lease: float
    grace: float
    read_ahead: int

    def presence(
        self, phase: Phase, crew: Crew, dealer: Dealer, processed: int, failed: int
    ) -> Presence:
        """What is told of the worker in this phase."""
        some = zip(dealer.held(), range(SOME), strict=False)
        return Presence(
            id=self.name,
            host=self.host,
            pid=self.pid,
            started=self.started,
            state="stopping" if phase == "quitting" else phase,
            queues=self.queues or (),
            tasks=tuple(dealer.kinds),
            slots=sum(each.places for each in crew.everyone),
            busy=sum(each.busy for each in crew.everyone),
            processed=processed,
            failed=failed,
            children=crew.count,
            current=", ".join(f"{job.task} #{job.number}" for job, _ in some),
        )
