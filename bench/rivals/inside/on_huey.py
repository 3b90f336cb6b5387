# /// script
# dependencies = ["huey==3.5.4"]
# [tool.rival]
# store = "sqlite"
# ///
"""Huey, with its SQLite storage."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from huey import SqliteHuey
from rival import Use
from workload import TASKS, store

huey = SqliteHuey("bench", filename=store(), fsync=True)
tasks = {name: huey.task()(function) for name, function in TASKS.items()}


class Huey:
    title = "Huey on SQLite"
    durability = "WAL with synchronous=FULL: an enqueue survives kill -9 and power loss"
    recovery = "a job is deleted when a worker takes it and is lost with the worker"
    reclaim_after = 0.0
    bulk = "single calls (there is no bulk call)"
    settings: ClassVar[Mapping[Use, str]] = {
        "one": "1 thread, polling every 10 ms",
        "two": "2 processes, polling every 10 ms",
        "sleeps": "1 process of 200 threads, polling every 10 ms",
    }

    def prepare(self) -> None:
        huey.flush()

    def enqueue(self, task: str, number: int, text: str) -> None:
        tasks[task](number, text)

    def enqueue_many(self, task: str, numbers: Sequence[int], text: str) -> None:
        for number in numbers:
            tasks[task](number, text)

    def unfinished(self) -> int:
        return huey.pending_count()

    def workers(self, use: Use) -> list[list[str]]:
        kind, count = {"one": ("thread", 1), "two": ("process", 2), "sleeps": ("thread", 200)}[use]
        polling = ["-d", "0.01", "-m", "0.01"]
        return [["huey_consumer", "on_huey.huey", "-q", "-k", kind, "-w", str(count), *polling]]


rival = Huey()
