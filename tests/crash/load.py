"""A load of everything: functions, coroutines and processes, short and longer than a lease, that
fail, wait for a time or for each other, share unique keys or are cancelled."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mainspring.errors import StoreUnavailable
from mainspring.handle import Job
from mainspring.job import NewJob, State
from tests.crash.arena import Arena
from tests.crash.workload import anote, note, pnote

PAUSE = 0.05
KEYS = 8
MOST_WAITING = 30
"""Beyond so many unfinished jobs it holds its breath: faults are to meet jobs that run."""


class Load:
    """Enqueues from the start, and repeats what was not answered, until it is stopped."""

    def __init__(self, place: Arena, seed: int, inexact: float) -> None:
        """`inexact` are the seconds by which a job may begin before it is due."""
        self.error: BaseException | None = None
        self._place = place
        self._inexact = inexact
        self._chance = random.Random(seed)
        self._number = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def stop(self) -> None:
        """Enqueue no more; raises what was no trouble of the store."""
        self._stop.set()
        self._thread.join()
        if self.error is not None:
            raise self.error

    def _work(self) -> None:
        try:
            while not self._stop.wait(PAUSE):
                try:
                    if self._waiting() >= MOST_WAITING:
                        continue
                except StoreUnavailable:
                    pass  # whoever enqueues insists
                self._enqueue()
        except BaseException as error:
            self.error = error

    def _waiting(self) -> int:
        counts = self._place.app.counts()
        return sum(
            n for each in counts.values() for state, n in each.items() if not State(state).final
        )

    def _enqueue(self) -> None:
        facts: list[dict[str, Any]] = []
        jobs: list[NewJob[int]] = []
        # A flow is stored as a whole or, if one of its unique keys is taken, not at all.
        some = self._chance.choice((self._flow, self._single, self._single))
        for _ in range(self._chance.randint(1, 6)):
            for job, fact in some():
                jobs.append(job)
                facts.append(fact)
                self._place.recorder.record("inserting", mark=fact["mark"])
        start = time.monotonic_ns()
        while (handles := self._enqueued(jobs)) is None:
            if self._stop.wait(PAUSE):
                return
        accepted = []
        for job, handle, fact in zip(jobs, handles, facts, strict=True):
            if handle.id.bytes == job.id:  # and no duplicate of another
                self._place.recorder.record("inserted", start=start, **fact)
                accepted.append((handle, fact["mark"]))
        if accepted and self._chance.random() < 0.3:
            self._cancel(*self._chance.choice(accepted))

    def _enqueued(self, jobs: list[NewJob[int]]) -> list[Job[int]] | None:
        try:
            return self._place.app.enqueue_many(jobs)
        except StoreUnavailable:
            self._place.recorder.record("refused")
            return None

    def _single(self) -> Iterator[tuple[NewJob[int], dict[str, Any]]]:
        """A job, and what the judge must know of it."""
        chance, mark = self._chance, self._mark()
        fact: dict[str, Any] = {"mark": mark}
        luck = chance.random()
        options: dict[str, Any] = {}
        if luck < 0.2:
            options["delay"] = delay = chance.uniform(0.1, 1.5)
            fact["due"] = time.time() + delay - self._inexact
        elif luck < 0.4:
            options["unique"] = fact["unique"] = f"key-{chance.randrange(KEYS)}"
            options["on_duplicate"] = "return"
        yield self._job(mark, **options), fact

    def _flow(self) -> Iterator[tuple[NewJob[int], dict[str, Any]]]:
        """A job, and one that waits for it."""
        first, second = self._mark(), self._mark()
        parent = self._job(first)
        yield parent, {"mark": first}
        yield self._job(second, depends_on=[parent]), {"mark": second, "after": [first]}

    def _job(self, mark: str, **options: Any) -> NewJob[int]:
        chance = self._chance
        task: Any = chance.choice((note, anote, pnote))
        luck, lease = chance.random(), self._place.lease
        seconds = chance.uniform(0.01, 0.05) if luck < 0.8 else chance.uniform(0.3, 2) * lease
        fails = chance.choice((0, 0, 0, 0, 0, 1, 2))
        made: NewJob[int] = task.using(**options).job(mark, seconds, fails)
        return made

    def _mark(self) -> str:
        self._number += 1
        return f"job-{self._number}"

    def _cancel(self, handle: Job[int], mark: str) -> None:
        try:
            handle.cancel("by the load")
            now = handle.refresh()
        except StoreUnavailable:
            return
        if now.state.final:
            self._place.recorder.record("seen", mark=mark, state=str(now.state))


@contextmanager
def loaded(place: Arena, seed: int, inexact: float = 0.0) -> Iterator[Load]:
    """Under load, for the block."""
    load = Load(place, seed, inexact)
    try:
        yield load
    finally:
        load.stop()
