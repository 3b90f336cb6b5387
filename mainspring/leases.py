"""Leases of jobs that are pulled by hand: renewed while somebody works on them, taken over when
whoever held them is gone.
"""

import os
import platform
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from mainspring.durations import SECOND
from mainspring.errors import LeaseLost, MainspringError, PartlyUnavailable
from mainspring.ids import new_token
from mainspring.job import JobError, Lost
from mainspring.lifecycle import decide
from mainspring.store import Grant, Note, Presence, Pulse, Store

ROUND = 1.0
"""Seconds between two looks at leases that have ended and other chores."""

SLICE = 100

AT_ONCE = 60 * SECOND
"""The lease under which lost jobs are taken over: they are settled at once."""


class Held(Protocol):
    """A message whose lease is to be renewed. `lease` in microseconds."""

    @property
    def token(self) -> int: ...

    @property
    def number(self) -> int: ...

    @property
    def consumer(self) -> str: ...

    @property
    def lease(self) -> int: ...

    def pulse(self, renewed: bool, cancelled: bool) -> None:
        """Hear whether the lease holds, and whether somebody asked to cancel the job."""
        ...


class Leases:
    """Everything a pulling program tells the store about what it holds.

    A thread renews what is held, at a third of each lease; it starts with the first of them.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.consumer = f"{name}-{platform.node()}-{os.getpid()}"
        self._started = time.time_ns() // 1000
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._due: dict[Held, float] = {}
        self._thread: threading.Thread | None = None
        self._next_round = 0.0
        self._closed = False

    def hold(self, held: Held) -> None:
        """Renew this lease from now on."""
        with self._changed:
            self._due[held] = time.monotonic() + held.lease / SECOND / 3
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(
                    target=self._renew, name=f"{self.consumer} leases", daemon=True
                )
                self._thread.start()
            self._changed.notify()

    def drop(self, held: Held) -> None:
        """Renew it no longer. Repeatable."""
        with self._changed:
            self._due.pop(held, None)

    def extend(self, held: Held, lease: int) -> None:
        """Let the lease end `lease` microseconds from now; `LeaseLost`."""
        pulse = self._beat(held.consumer, [held.token], lease)
        if held.token in pulse.lost:
            raise LeaseLost(f"job #{held.number} is no longer held by {held.consumer}")
        with self._changed:
            if held in self._due:
                self._due[held] = time.monotonic() + lease / SECOND / 3
                self._changed.notify()

    def renew(self, token: int, lease: int) -> None:
        """Let the lease of whoever holds this grant end `lease` microseconds from now."""
        presence = self._presence(f"{self.consumer}-{token}", "stopped")  # leaves no trace
        self._store.heartbeat(presence, [token], lease)

    def tell(self, consumer: str, note: Note) -> None:
        """Store progress."""
        self._beat(consumer, [], 0, [note])

    def round(self) -> None:
        """Now and then: settle what others lost, and do a slice of the store's chores.

        A program that only pulls has no worker to do it.
        """
        with self._lock:
            now = time.monotonic()
            if now < self._next_round:
                return
            self._next_round = now + ROUND
        grant = Grant(token=new_token(), worker=self.consumer, lease=AT_ONCE)
        lost = self._store.reclaim(grant, SLICE)
        if lost:
            at = time.time_ns() // 1000
            self._store.exchange(
                [decide(job, Lost(_lost(job.attempt, self.consumer, at))) for job in lost]
            )
        self._store.upkeep(SLICE)

    def close(self) -> None:
        """Renew nothing any more."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify()
        if self._thread:
            self._thread.join()

    def _renew(self) -> None:
        while due := self._next():
            groups: dict[tuple[str, int], list[Held]] = {}
            for held in due:
                groups.setdefault((held.consumer, held.lease), []).append(held)
            for (consumer, lease), group in groups.items():
                self._renew_all(consumer, lease, group)

    def _next(self) -> list[Held]:
        """Wait until some are to be renewed; none when all is over."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                due = [held for held, when in self._due.items() if when <= now]
                for held in due:
                    self._due[held] = now + held.lease / SECOND / 3
                if due:
                    return due
                soonest = min(self._due.values(), default=None)
                self._changed.wait(None if soonest is None else soonest - now)
        return []

    def _renew_all(self, consumer: str, lease: int, group: Sequence[Held]) -> None:
        try:
            pulse = self._beat(consumer, list({held.token for held in group}), lease)
        except PartlyUnavailable as error:
            pulse = error.answer
            group = [held for held in group if held.token not in error.missed]
        except MainspringError:
            return  # a third of the lease later it is tried again
        for held in group:
            held.pulse(held.token not in pulse.lost, held.number in pulse.cancel)

    def _beat(
        self, consumer: str, tokens: Sequence[int], lease: int, notes: Sequence[Note] = ()
    ) -> Pulse:
        return self._store.heartbeat(self._presence(consumer, "running"), tokens, lease, notes)

    def _presence(self, consumer: str, state: str) -> Presence:
        return Presence(
            id=consumer,
            host=platform.node(),
            pid=os.getpid(),
            started=self._started,
            state=state,
            slots=1,
            busy=1,
        )


def _lost(attempt: int, consumer: str, at: int) -> JobError:
    message = "the lease ended: whoever held the job is gone, or took too long"
    return JobError(attempt=attempt, type="WorkerLost", message=message, worker=consumer, at=at)
