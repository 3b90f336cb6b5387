"""What an open store is made of: a client, a bell, and what is remembered between calls."""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from mainspring.engines.common.gathering import Gathering, jobs_may_share, posts_may_share
from mainspring.engines.redis import posts, statistics
from mainspring.engines.redis.address import Address
from mainspring.engines.redis.client import Client
from mainspring.engines.redis.handed import Handed, Kind
from mainspring.engines.redis.insert import insert
from mainspring.engines.redis.policies import Policies
from mainspring.engines.redis.statistics import Statistics
from mainspring.engines.redis.wake import Bell
from mainspring.errors import StoreUnavailable
from mainspring.job import Claimed


class Parts:
    """Everything that is there between `open` and `close`."""

    def __init__(self, address: Address) -> None:
        self.client = Client(address)
        self.policies = Policies(self.client)
        self.handed = Handed()
        self.statistics = Statistics()
        self.bell = Bell(self.client)
        self.gathering = Gathering(partial(insert, self.client), jobs_may_share)
        self.posting = Gathering(partial(posts.post, self.client), posts_may_share)

    def hand_out(self, token: int, jobs: Sequence[Claimed], wall: int) -> None:
        """Remember and count what was claimed just now."""
        if not jobs:
            return
        again = self.handed.grant(token)
        kinds = {job.number: (job.queue, job.task) for job in jobs}
        waits: defaultdict[Kind, list[int]] = defaultdict(list)
        for job in jobs:
            if job.number not in again:
                waits[job.queue, job.task].append(wall - job.due)
        self.handed.remember(token, kinds)
        for kind, each in waits.items():
            self.statistics.started(wall, kind, each)

    def flush(self, *, at_once: bool = False) -> None:
        """Write the statistics, when it is time; what cannot be written now is kept."""
        if not (self.statistics.pending() if at_once else self.statistics.due()):
            return
        taken = self.statistics.take()
        try:
            statistics.write(self.client, taken)
        except BaseException as error:
            self.statistics.give_back(taken)
            if not isinstance(error, StoreUnavailable):
                raise

    def close(self) -> None:
        """Finish and let go."""
        self.flush(at_once=True)
        self.bell.close()
        self.client.close()

    def after_fork(self) -> None:
        """Be the child's own: what the parent counted and hears is the parent's."""
        self.gathering.after_fork()
        self.posting.after_fork()
        self.statistics = Statistics()
        self.bell.after_fork()
