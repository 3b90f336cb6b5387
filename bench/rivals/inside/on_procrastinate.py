# /// script
# dependencies = [
#     "procrastinate==3.10.0", "psycopg[binary]==3.3.9", "psycopg-pool==3.3.3", "uvloop==0.23.0",
# ]
# [tool.rival]
# store = "postgres"
# ///
"""Procrastinate, with psycopg."""

import logging
from collections.abc import Mapping, Sequence
from typing import ClassVar

from loop import main, wait
from procrastinate import App, PsycopgConnector
from rival import ON_POSTGRES, Use
from tables import Tables
from workload import COROUTINES, store

CONCURRENCY = 30
SLEEPERS = 1000
BATCH = 1000

app = App(connector=PsycopgConnector(conninfo=store(), min_size=4, max_size=20))
tasks = {name: app.task(name=name)(function) for name, function in COROUTINES.items()}


async def work(concurrency: int) -> None:
    logging.getLogger("procrastinate").setLevel(logging.WARNING)
    async with app.open_async():
        await app.run_worker_async(concurrency=concurrency)


def start(concurrency: int) -> None:
    main(lambda: work(concurrency))


class Procrastinate:
    title = "Procrastinate on PostgreSQL"
    durability = ON_POSTGRES
    recovery = "stays `doing` until a task that the user has to write retries stalled jobs"
    reclaim_after = 0.0
    bulk = "batch_defer, 1,000 a call; tables analyzed afterwards"
    settings: ClassVar[Mapping[Use, str]] = {
        "one": f"1 process, {CONCURRENCY} coroutines on uvloop, 20 connections",
        "two": f"2 processes, {CONCURRENCY} coroutines each on uvloop, 20 connections",
        "sleeps": f"2 processes, {SLEEPERS} coroutines each on uvloop",
    }

    def __init__(self) -> None:
        self._tables: Tables | None = None

    def prepare(self) -> None:
        if self._tables is None:
            wait(self._open())
            self._tables = Tables("procrastinate_jobs", "procrastinate_events")
        self._tables.empty()

    async def _open(self) -> None:
        await app.open_async()
        await app.schema_manager.apply_schema_async()

    def enqueue(self, task: str, number: int, text: str) -> None:
        wait(tasks[task].defer_async(number=number, text=text))

    def enqueue_many(self, task: str, numbers: Sequence[int], text: str) -> None:
        for start in range(0, len(numbers), BATCH):
            some = [{"number": n, "text": text} for n in numbers[start : start + BATCH]]
            wait(tasks[task].batch_defer_async(*some))
        self._tables.analyze()

    def unfinished(self) -> int:
        return self._tables.count("status", ["todo", "doing"])

    def workers(self, use: Use) -> list[list[str]]:
        size = SLEEPERS if use == "sleeps" else CONCURRENCY
        code = f"import on_procrastinate; on_procrastinate.start({size})"
        return [["python", "-c", code]] * (1 if use == "one" else 2)


rival = Procrastinate()
