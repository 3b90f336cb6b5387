"""Audit: finds jobs that the store says this worker holds, but nobody here has.

That should not be. But as the leases of such jobs would be renewed with those beside them, they
would run for ever in the books and never in fact.
"""

import logging
import time
from collections.abc import Callable, Collection

from mainspring.errors import PartlyUnavailable
from mainspring.job import Claimed, Lost
from mainspring.lifecycle import decide
from mainspring.store import Store
from mainspring.worker.books.keeper import Keeper
from mainspring.worker.crew.verdict import lost

log = logging.getLogger("mainspring")

LONGEST_INTERVAL = 5.0
"""Seconds between two looks; a lease if that is shorter."""


class Audit:
    """Compares the store's books with the worker's. `known` tells number and token of every job
    that waits or runs here, or whose outcome is still to be written."""

    def __init__(
        self,
        store: Store,
        lease: float,
        keeper: Keeper,
        known: Callable[[], Collection[tuple[int, int]]],
    ) -> None:
        self._store = store
        self._interval = min(LONGEST_INTERVAL, lease)
        self._keeper = keeper
        self._known = known
        self._next = time.monotonic() + self._interval
        self._tokens: set[int] = set()
        self._missing: set[tuple[int, int]] = set()

    def _held(self, tokens: list[int]) -> list[Claimed]:
        try:
            return self._store.held(tokens) if tokens else []
        except PartlyUnavailable as error:
            answer: list[Claimed] = error.answer
            return answer

    def look(self) -> None:
        """Settle as lost what was missing here twice in a row, if it is time for a look."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._interval
        # Once is not enough: jobs are nowhere for a moment when they are dealt, or a child ends.
        tokens, before = set(self._keeper.tokens()), self._tokens
        known = self._known()
        self._tokens = tokens
        held = self._held(list(tokens & before))
        missing = [job for job in held if (job.number, job.token) not in known]
        orphans = [job for job in missing if (job.number, job.token) in self._missing]
        self._missing = {(job.number, job.token) for job in missing}
        if orphans:
            log.error("jobs were held that nobody had: %s", [job.number for job in orphans])
            message = "the worker that held it did not know of it"
            self._store.exchange([decide(job, Lost(lost(job, message))) for job in orphans])
            self._keeper.settle(job.token for job in orphans)
