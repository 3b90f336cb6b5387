"""What an open store is made of: a pool, a writer, a bell and an ear."""

from collections.abc import Sequence
from typing import Any

from mainspring.engines.common.gathering import Gathering, jobs_may_share, posts_may_share
from mainspring.engines.postgres import posts
from mainspring.engines.postgres.address import Address
from mainspring.engines.postgres.callers import Callers
from mainspring.engines.postgres.claim import Floors
from mainspring.engines.postgres.connection import Pool
from mainspring.engines.postgres.insert import are_plain, insert, insert_plain, learn
from mainspring.engines.postgres.prune import Walk
from mainspring.engines.postgres.vacuum import Vacuum
from mainspring.engines.postgres.wake import Bell, Ear
from mainspring.engines.postgres.writer import Writer
from mainspring.job import Inserted, NewJob, Now
from mainspring.posts import NewPost


class Parts:
    """Everything that is there between `open` and `close`. Nothing is connected before it is
    needed, so that after a fork the child makes its own."""

    def __init__(self, address: Address, identity: str) -> None:
        self.identity = identity
        self.pool = Pool(address)
        self.bell = Bell(address, self.pool)
        self.ear = Ear(address)
        self.writer = Writer(address, self.pool, self.bell)
        self.callers = Callers(address, self.writer, identity)
        self.walk = Walk()
        self.floors = Floors()
        self.vacuum = Vacuum(address)
        self.gathering = Gathering(self.insert, jobs_may_share)
        self.posting = Gathering(self.post, posts_may_share)

    def insert(self, jobs: Sequence[NewJob[Any]], now: Now | None = None) -> list[Inserted]:
        """Store the jobs: plain ones by one statement, all others in a transaction."""
        learn(self.writer.names, jobs, self.writer.read)
        if jobs and are_plain(jobs):
            stored = self.writer.alone(lambda step: insert_plain(step, jobs), now)
            if stored is not None:
                return stored
        return self.writer.run(lambda step: insert(step, jobs), now)

    def post(self, new: Sequence[NewPost], now: Now | None = None) -> list[int]:
        """Post these."""
        return self.writer.run(lambda step: posts.post(step, new), now, repeatable=False)

    def close(self) -> None:
        """Finish and let go."""
        self.ear.close()
        self.bell.close()
        self.pool.close()
