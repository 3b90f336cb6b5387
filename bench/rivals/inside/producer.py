"""Does inside a rival's environment what the harness asks: one JSON line in, one out."""

import gc
import importlib
import json
import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from rival import Rival, Use

TEXT = "x" * 75
"""With its number and the names of both, about 100 bytes of arguments."""


def main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    producer = Producer(importlib.import_module(sys.argv[1]).rival)
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(producer, request.pop("call"))(**request)
        answers.write(json.dumps(answer) + "\n")


class Producer:
    def __init__(self, rival: Rival) -> None:
        self.rival = rival

    def describe(self) -> dict[str, Any]:
        words = ("title", "durability", "recovery", "reclaim_after", "bulk", "settings")
        return {word: getattr(self.rival, word) for word in words}

    def prepare(self) -> None:
        self.rival.prepare()

    def fill(self, task: str, jobs: int) -> float:
        """Enqueue jobs 0, 1, … the fastest way; the seconds it took."""
        return timed(lambda: self.rival.enqueue_many(task, range(jobs), TEXT))

    def enqueue(self, task: str, jobs: int) -> float:
        """Enqueue jobs 0, 1, … one call after the other; the seconds it took."""

        def one_by_one() -> None:
            for number in range(jobs):
                self.rival.enqueue(task, number, TEXT)

        return timed(one_by_one)

    def trickle(self, task: str, jobs: int, gap: float) -> list[int]:
        """Enqueue jobs about `gap` seconds apart; when each call began, in nanoseconds."""
        began = []
        for number in range(jobs):
            began.append(time.monotonic_ns())
            self.rival.enqueue(task, number, TEXT)
            time.sleep(random.uniform(0.5, 1.5) * gap)  # in step with nobody's polling
        return began

    def unfinished(self) -> int:
        return self.rival.unfinished()

    def workers(self, use: Use) -> list[list[str]]:
        return self.rival.workers(use)


def timed(work: Callable[[], None]) -> float:
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
