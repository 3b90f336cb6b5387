"""The kill check: does a job run again whose worker was killed -9 in the middle of it?

In three steps, because some rivals take a minute to notice a dead worker: other measurements can be
made meanwhile, and several rivals can be given their last chance at the same time.
"""

import time

from bench.rivals.errors import RivalFailed
from bench.rivals.processes import Workers
from bench.rivals.site import Site

SETTLED_LIMIT = 10.0
"""Seconds a worker that is up may take to start the job."""

PATIENCE = 30.0
"""Seconds new workers get to run the job again, once the rival can know that the old are dead."""


class KillCheck:
    """As a context manager it leaves no worker running."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._killed = 0.0
        self._restarted = 0.0
        self._workers: Workers | None = None

    def __enter__(self) -> "KillCheck":
        return self

    def __exit__(self, *_: object) -> None:
        if self._workers is not None:
            self._workers.kill()

    def strike(self) -> None:
        """Kill the workers while they run the only job there is."""
        self._site.clear()
        with self._site.start_workers("two") as workers:
            self._site.settle(workers)
            self._site.ask("enqueue", task="long", jobs=1)
            if not self._site.wait_for_marks(workers, 2, SETTLED_LIMIT):
                raise RivalFailed("the job whose worker was to be killed did not start")
        self._killed = time.monotonic()

    def restart(self) -> None:
        """Start new workers, as soon as the time is over after which the rival takes jobs back."""
        patience = float(self._site.ask("describe")["reclaim_after"]) + 1
        time.sleep(max(0.0, self._killed + patience - time.monotonic()))
        self._workers = self._site.start_workers("two")
        self._restarted = time.monotonic()

    def survived(self) -> bool:
        """Whether the job was started again within PATIENCE."""
        assert self._workers is not None, "restart first"
        left = self._restarted + PATIENCE - time.monotonic()
        return self._site.wait_for_marks(self._workers, 3, left)
