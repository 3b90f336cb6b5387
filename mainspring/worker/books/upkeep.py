"""Upkeep: the store's chores, and the jobs of workers that are gone. There is no leader: every
worker does the rounds, at intervals that differ."""

import logging
import random
import threading
from collections.abc import Callable, Sequence

from mainspring.errors import KeyRefused, StoreUnavailable
from mainspring.ids import new_token
from mainspring.job import Lost
from mainspring.lifecycle import decide
from mainspring.store import Grant, Store
from mainspring.worker.books.contact import Contact
from mainspring.worker.crew.verdict import lost

log = logging.getLogger("mainspring")

INTERVAL = 1.0
"""Seconds between two rounds, give or take a quarter; less if leases are short."""

SLICE = 1000

PATIENCE = 1.0
"""Seconds to wait for a chore under way when the worker ends."""


class Upkeep:
    """A thread that does the rounds. `own` are chores of the worker itself."""

    def __init__(
        self,
        store: Store,
        worker: str,
        lease: float,
        contact: Contact,
        own: Sequence[Callable[[], None]],
    ) -> None:
        self._store = store
        self._worker = worker
        self._lease = int(lease * 1_000_000)
        self._interval = min(INTERVAL, lease / 3)
        self._contact = contact
        self._own = own
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mainspring-upkeep", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the chore at hand."""
        self._closed.set()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        while not self._closed.wait(self._interval * random.uniform(0.75, 1.25)):
            try:
                self._until_done(lambda: self._store.upkeep(SLICE))
                if not self._contact.is_missed_by("ledger"):
                    # After an outage outcomes come first, though their leases may have ended.
                    self._until_done(self._recover)
                    for chore in self._own:
                        chore()
            except StoreUnavailable:
                pass  # ledger and keeper say so; the next round comes soon
            except KeyRefused as error:
                log.error("upkeep is refused: %s", error)
            except Exception:
                log.exception("upkeep failed; trying again at the next round")

    def _until_done(self, chore: Callable[[], int]) -> None:
        while not self._closed.is_set() and chore() >= SLICE:
            pass

    def _recover(self) -> int:
        """Settle as lost a slice of the jobs whose leases have ended."""
        grant = Grant(token=new_token(), worker=self._worker, lease=self._lease)
        jobs = self._store.reclaim(grant, SLICE)
        if jobs:
            message = "its lease ended: the worker that held it is gone or was cut off"
            self._store.exchange([decide(job, Lost(lost(job, message))) for job in jobs])
        return len(jobs)
