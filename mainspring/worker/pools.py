"""Pools: several workers in one process, each for queues of its own, that live together."""

import re
import threading
from collections.abc import Sequence
from typing import NamedTuple, Self

from mainspring.errors import InvalidArguments
from mainspring.job import HIGHEST_PRIORITY, LOWEST_PRIORITY
from mainspring.worker.signals import heard
from mainspring.worker.worker import Worker

_SPEC = re.compile(
    r"(?P<queues>.+?)"
    r"(?:@(?P<lowest>-?\d+)(?::(?P<highest>-?\d+))?)?"
    r"=(?P<least>\d+)(?::(?P<most>\d+))?"
)


class Pool(NamedTuple):
    """Which jobs a pool takes, of these queues (none: of all) and these priorities (lowest,
    highest), and the least and most children it has."""

    queues: tuple[str, ...]
    priorities: tuple[int, int] | None
    least: int
    most: int

    @classmethod
    def read(cls, text: str) -> Self:
        """A pool as people write it: "mail=2:8", "mail,news=2", "*=4" for all queues, "*@5=1" for
        jobs of priority 5 and higher, "*@-100:0=1". `InvalidArguments`."""
        found = _SPEC.fullmatch(text)
        queues = tuple(name.strip() for name in found["queues"].split(",")) if found else ()
        if found is None or not all(queues) or ("*" in queues and len(queues) > 1):
            raise InvalidArguments(
                'expected a pool such as "mail=2:8", "mail,news=2", "*=4" or "*@5=1"'
                f" (queues, priorities, processes), got {text!r}"
            )
        priorities = None
        if found["lowest"]:
            priorities = (int(found["lowest"]), int(found["highest"] or HIGHEST_PRIORITY))
            if not LOWEST_PRIORITY <= priorities[0] <= priorities[1] <= HIGHEST_PRIORITY:
                raise InvalidArguments(
                    f"expected priorities from {LOWEST_PRIORITY} to {HIGHEST_PRIORITY},"
                    f" the lowest first, got {text!r}"
                )
        least, most = int(found["least"]), int(found["most"] or found["least"])
        if not 1 <= least <= most <= 256:
            raise InvalidArguments(f"expected 1 to 256 processes, the least first, got {text!r}")
        return cls(() if queues == ("*",) else queues, priorities, least, most)


class Pools:
    """Workers that start, reload and stop together. One that ends by itself ends all."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.workers = tuple(workers)
        self._stopping = False

    @property
    def handed_back(self) -> int:
        """How many jobs were given back unfinished when the workers were stopped."""
        return sum(worker.handed_back for worker in self.workers)

    @property
    def cut_short(self) -> int:
        """How many of them had begun when the grace time ran out."""
        return sum(worker.cut_short for worker in self.workers)

    def run(self) -> None:
        """Work until stopped by a signal, as `Worker.run` does, or from operators' hands.

        Errors as there: that of the first worker that has one.
        """
        if len(self.workers) == 1:
            self.workers[0].run()
            return
        errors: list[BaseException] = []
        self._stopping = False
        with heard(self.stop, self.reload):
            threads = [
                threading.Thread(target=self._run_one, args=(worker, errors), name=worker.name)
                for worker in self.workers
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        if errors:
            raise errors[0]

    def stop(self) -> None:
        """Have all finish what runs, and end; returns at once. The second time: hand back now."""
        self._stopping = True
        for worker in self.workers:
            worker.end()

    def reload(self) -> None:
        """Have all import the app anew; returns at once."""
        for worker in self.workers:
            worker.reload()

    def _run_one(self, worker: Worker, errors: list[BaseException]) -> None:
        if self._stopping:
            return  # told before there was anything to stop
        try:
            worker.run()
        except BaseException as error:
            # The others are of no use to whoever started them all.
            errors.append(error)
            self.stop()
