"""Reporter: carries what became of jobs out of the place where they ran.

At once while the other side keeps up, in batches when it does not: two reports may be on their
way, the next one waits until one of them has been dealt with and takes all that came up meanwhile.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

from mainspring.job import Transition
from mainspring.store import Note, Store
from mainspring.worker.link.wire import Report

T = TypeVar("T")

UNDERWAY = 2
MOST_NOTES = 10_000
"""Notes kept while nobody takes them; older ones are dropped."""


class Reporter:
    """What running jobs speak into; also the `Channel` of their contexts. Thread-safe."""

    def __init__(
        self,
        tell: Callable[[Report], None],
        waited: Callable[[], dict[str, int]],
        store: Callable[[], Store],
        lease: int,
    ) -> None:
        self.lease = lease
        self.store = store
        self._tell = tell
        self._waited = waited
        self._done: deque[Transition] = deque()
        self._notes: deque[Note] = deque(maxlen=MOST_NOTES)
        self._settled: deque[int] = deque()
        self._returned: deque[tuple[int, bool]] = deque()
        self._credit = threading.Semaphore(UNDERWAY)
        self._bell: SimpleQueue[bool] = SimpleQueue()
        self._resting = self._sending = False
        self._sent = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mainspring-reporter", daemon=True)
        self._thread.start()

    def finish(self, transition: Transition) -> None:
        """An attempt ended."""
        self._done.append(transition)
        if self._resting:  # as in `_ring`, without the call: most jobs end here
            self._resting = False
            self._bell.put(True)

    def settle(self, number: int) -> None:
        """A job completed in a transaction of its own."""
        self._settled.append(number)
        self._ring()

    def give_back(self, numbers: list[int], *, stale: bool) -> None:
        """These jobs were not begun."""
        self._returned.extend((number, stale) for number in numbers)
        self._ring()

    def note(self, note: Note, /) -> None:
        """A job told its progress or wrote to its log."""
        self._notes.append(note)
        self._ring()

    def taken(self, count: int) -> None:
        """The other side has dealt with so many reports."""
        if count:
            self._credit.release(count)

    def flush(self) -> None:
        """Wait until the ends of all jobs have been sent."""
        while self._done or self._sending:
            self._sent.wait(0.05)
            self._sent.clear()

    def close(self) -> None:
        """Send what is left and end."""
        self._credit.release(UNDERWAY)
        self._bell.put(False)
        self._thread.join()

    def _ring(self) -> None:
        if self._resting:
            self._resting = False
            self._bell.put(True)

    def _run(self) -> None:
        going = True
        while going or self._anything():
            if not self._anything():
                # Whoever adds something looks at `_resting` after it; we look after setting it.
                self._resting = True
                if not self._anything():
                    going = self._bell.get() and going
                self._resting = False
                continue
            self._credit.acquire()
            self._sending = True
            with contextlib.suppress(OSError):  # the parent is gone, and so shall we be
                self._tell(self._report())
            self._sending = False
            self._sent.set()

    def _anything(self) -> bool:
        return bool(self._done or self._notes or self._settled or self._returned)

    def _report(self) -> Report:
        # Notes after transitions: a job's notes are never behind the end of the job.
        done, settled = _drained(self._done), _drained(self._settled)
        returned = _drained(self._returned)
        return Report(
            done,
            _squeezed(_drained(self._notes)),
            settled,
            [number for number, _ in returned],
            any(stale for _, stale in returned),
            self._waited(),
        )


def _squeezed(notes: list[Note]) -> list[Note]:
    """Every line of log, but of each job's progress only the last word."""
    latest = {note.number: note for note in notes if note.percent is not None}
    return [note for note in notes if note.percent is None] + list(latest.values())


def _drained(queue: deque[T]) -> list[T]:
    return [queue.popleft() for _ in range(len(queue))]
