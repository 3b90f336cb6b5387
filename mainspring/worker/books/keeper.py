"""Keeper: holds the leases of what the worker has claimed, and hears what is asked of it.

Renews from a thread of its own every third of a lease. Whether a lease has ended it knows by its
own clock, also while the store does not answer.
"""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from mainspring.errors import MainspringError, PartlyUnavailable
from mainspring.store import Note, Presence, Pulse, Store
from mainspring.worker.books.contact import Contact, is_final

BEATS = 3
"""Heartbeats to a lease."""

MARGIN = 0.05
"""The part of a lease by which jobs are stopped before it ends."""


PATIENCE = 1.0
"""Seconds to wait for a beat under way when the worker ends."""


class Keeper:
    """The grants that are held and until when, in monotonic seconds. Thread-safe."""

    def __init__(
        self,
        store: Store,
        lease: float,
        contact: Contact,
        presence: Callable[[], Presence],
        hear: Callable[[Pulse], None],
    ) -> None:
        self._store = store
        self._lease = lease
        self._contact = contact
        self._presence = presence
        self._hear = hear
        self._lock = threading.Lock()
        self._ends: dict[int, float] = {}
        self._jobs: Counter[int] = Counter()
        self._wake = threading.Event()
        self._closed = self._hurried = False
        self._thread = threading.Thread(target=self._run, name="mainspring-keeper", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def close(self) -> None:
        """Stop beating, with one last beat that says so, if the store can be told."""
        self._closed = True
        self._wake.set()
        self._thread.join(PATIENCE)
        with self._lock:
            self._ends.clear()  # what could not be given back must not wait a lease longer
        with contextlib.suppress(MainspringError):
            self.beat()

    def hurry(self) -> None:
        """Beat now: there is something to tell."""
        self._wake.set()

    def hold(self, token: int, jobs: int, asked: float) -> None:
        """So many jobs were claimed under this grant, which was asked for at that moment."""
        with self._lock:
            self._ends[token] = asked + self._lease
            self._jobs[token] += jobs
        if time.monotonic() > asked + self._lease / BEATS:
            self.hurry()  # the answer was long in coming, and the next beat may be far

    def settle(self, tokens: Iterable[int]) -> None:
        """One job of each of these grants is settled; grants without jobs are forgotten."""
        with self._lock:
            for token, count in Counter(tokens).items():
                if token not in self._ends:
                    continue
                self._jobs[token] -= count
                if self._jobs[token] <= 0:
                    del self._jobs[token], self._ends[token]

    def forget(self, tokens: Iterable[int]) -> None:
        """These grants are lost."""
        with self._lock:
            for token in tokens:
                self._ends.pop(token, None)
                self._jobs.pop(token, None)

    def tokens(self) -> list[int]:
        """All grants that are held."""
        with self._lock:
            return list(self._ends)

    def overdue(self) -> list[int]:
        """Grants that are about to end because they could not be renewed."""
        if not self._ends:
            return []
        soon = time.monotonic() + MARGIN * self._lease
        with self._lock:
            return [token for token, end in self._ends.items() if end <= soon]

    def beat(self, notes: Sequence[Note] = ()) -> None:
        """Tell the store that we live, renew all grants, and pass on what it says.

        `StoreUnavailable` and whatever else the store raises."""
        tokens, asked = self.tokens(), time.monotonic()
        presence, lease = self._presence(), int(self._lease * 1_000_000)
        missed: Sequence[int] = ()
        try:
            pulse: Pulse = self._store.heartbeat(presence, tokens, lease, notes)
        except PartlyUnavailable as error:
            pulse, missed = error.answer, error.missed
        self._hurried = bool(missed)
        with self._lock:
            for token in set(tokens).difference(pulse.lost, missed):
                if token in self._ends:
                    self._ends[token] = asked + self._lease
        if pulse.lost or pulse.cancel or pulse.paused or pulse.wanted:
            self._hear(pulse)

    def _run(self) -> None:
        while not self._closed:
            try:
                self.beat()
                self._contact.answered("keeper")
                pause = self._lease / BEATS / (4 if self._hurried else 1)
            except Exception as error:
                self._contact.failed("keeper", error)
                if is_final(error):
                    return
                pause = self._lease / BEATS / 4
            self._wake.wait(pause)
            self._wake.clear()
