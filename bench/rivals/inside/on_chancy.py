# /// script
# dependencies = [
#     "chancy==0.26.0", "psycopg[binary]==3.3.9", "psycopg-pool==3.3.3", "uvloop==0.23.0",
# ]
# [tool.rival]
# store = "postgres"
# ///
"""Chancy."""

import logging
from collections.abc import Mapping, Sequence
from typing import ClassVar

from chancy import Chancy, Queue, Worker, job
from chancy.plugins.leadership import Leadership
from chancy.plugins.recovery import Recovery
from loop import main, wait
from rival import ON_POSTGRES, Use
from tables import Tables
from workload import along, anap, anoop, store

CONCURRENCY = 500
HEARTBEAT = 10
TUNING = f"{CONCURRENCY} coroutines on uvloop, eager polling, ends written every 0.1 s (default 1)"

log = logging.getLogger("chancy-bench")
log.setLevel(logging.WARNING)
tasks = {"noop": job()(anoop), "nap": job()(anap), "long": job()(along)}


def application() -> Chancy:
    plugins = [Leadership(poll_interval=2, timeout=4), Recovery(poll_interval=5)]
    return Chancy(store(), log=log, plugins=plugins, no_default_plugins=True)


async def work() -> None:
    async with application() as chancy:
        worker = Worker(chancy, heartbeat_poll_interval=3, heartbeat_timeout=HEARTBEAT)
        worker.send_outgoing_interval = 0.1
        async with worker:
            await worker.wait_for_shutdown()


def start() -> None:
    main(work)


class OnChancy:
    title = "Chancy on PostgreSQL"
    durability = ON_POSTGRES
    recovery = "taken back when its worker was silent for 10 s (default 90 s), looked for every 5 s"
    reclaim_after = HEARTBEAT + 5.0
    bulk = "push_many, 1,000 a batch; tables analyzed afterwards"
    settings: ClassVar[Mapping[Use, str]] = {
        "one": f"1 process, {TUNING}",
        "two": f"2 processes, {TUNING}",
        "sleeps": f"2 processes, {TUNING}",
    }

    def __init__(self) -> None:
        self._chancy: Chancy | None = None

    def prepare(self) -> None:
        if self._chancy is None:
            self._chancy = application()
            wait(self._open(self._chancy))
            self._tables = Tables("chancy_jobs", "chancy_workers")
        self._tables.empty()

    async def _open(self, chancy: Chancy) -> None:
        await chancy.__aenter__()
        await chancy.migrate()
        executor = Chancy.Executor.Async
        await chancy.declare(
            Queue("default", executor=executor, concurrency=CONCURRENCY, eager_polling=True)
        )

    def enqueue(self, task: str, number: int, text: str) -> None:
        wait(self._chancy.push(tasks[task].job.with_kwargs(number=number, text=text)))

    def enqueue_many(self, task: str, numbers: Sequence[int], text: str) -> None:
        wait(self._fill(task, numbers, text))
        self._tables.analyze()

    async def _fill(self, task: str, numbers: Sequence[int], text: str) -> None:
        one = tasks[task].job
        jobs = [one.with_kwargs(number=number, text=text) for number in numbers]
        async for _ in self._chancy.push_many(jobs, batch_size=1000):
            pass

    def unfinished(self) -> int:
        return self._tables.count("state", ["pending", "running", "retrying"])

    def workers(self, use: Use) -> list[list[str]]:
        command = ["python", "-c", "import on_chancy; on_chancy.start()"]
        return [command] * (1 if use == "one" else 2)


rival = OnChancy()
