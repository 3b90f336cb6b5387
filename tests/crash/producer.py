"""A producer that insists: it enqueues without end, and again, the same, what was not answered."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mainspring.errors import StoreUnavailable
from mainspring.job import NewJob
from tests.crash.arena import Arena

PAUSE = 0.02


class Producer:
    """At work from the start; what was acknowledged and what was refused is in the history."""

    def __init__(
        self, place: Arena, make: Callable[[str], NewJob[Any]], many: int = 10, name: str = "job"
    ) -> None:
        """`make` makes a job of a mark, so `many` at a time; marks begin with the `name`."""
        self.stored = 0
        self.refusals: list[StoreUnavailable] = []
        self.refused = threading.Event()
        self._place, self._make, self._many, self._name = place, make, many, name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        while not self._stop.is_set():
            marks = [f"{self._name}-{self.stored + n}" for n in range(self._many)]
            jobs = [self._make(mark) for mark in marks]
            while not self._enqueued(jobs):
                if self._stop.wait(PAUSE):
                    return
            for mark in marks:
                self._place.recorder.record("inserted", mark=mark)
            self.stored += len(marks)
            self._stop.wait(PAUSE)

    def _enqueued(self, jobs: list[NewJob[Any]]) -> bool:
        try:
            self._place.app.enqueue_many(jobs)
        except StoreUnavailable as error:
            self.refusals.append(error)
            self._place.recorder.record("refused")
            self.refused.set()
            return False
        return True

    def stop(self) -> None:
        """Enqueue no more. Repeatable."""
        self._stop.set()
        self._thread.join()


@contextmanager
def producing(place: Arena, make: Callable[[str], NewJob[Any]], **more: Any) -> Iterator[Producer]:
    """A producer, for the block."""
    producer = Producer(place, make, **more)
    try:
        yield producer
    finally:
        producer.stop()
