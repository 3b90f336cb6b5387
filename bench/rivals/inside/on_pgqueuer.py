# /// script
# dependencies = [
#     "pgqueuer==1.6.0", "asyncpg==0.32.0", "typer==0.29.2", "uvloop==0.23.0",
#     "psycopg[binary]==3.3.9",
# ]
# [tool.rival]
# store = "postgres"
# ///
"""PgQueuer, with asyncpg."""

import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import ClassVar

import asyncpg
from loop import main, wait
from pgqueuer import AsyncpgDriver, PgQueuer, Queries, run
from pgqueuer.models import Job
from rival import ON_POSTGRES, Use
from tables import Tables
from workload import COROUTINES, store

HEARTBEAT = 10.0
TAKE = 100
BATCH = 1000


@asynccontextmanager
async def manager() -> AsyncIterator[PgQueuer]:
    connection = await asyncpg.connect(store())
    manager = PgQueuer(AsyncpgDriver(connection))
    for name, function in COROUTINES.items():

        async def entry(job: Job, function=function) -> None:
            await function(**json.loads(job.payload))

        manager.entrypoint(name)(entry)
    yield manager
    await connection.close()


async def work() -> None:
    logging.getLogger("pgqueuer").setLevel(logging.WARNING)
    await run(manager, batch_size=TAKE, heartbeat_timeout=timedelta(seconds=HEARTBEAT))


def start() -> None:
    main(work)


class OnPgQueuer:
    title = "PgQueuer on PostgreSQL"
    durability = ON_POSTGRES
    recovery = "taken back after 10 s without a heartbeat (default 30 s)"
    reclaim_after = HEARTBEAT
    bulk = "enqueue with lists, 1,000 a call; tables analyzed afterwards"
    settings: ClassVar[Mapping[Use, str]] = {
        "one": f"1 process, coroutines on uvloop, batch_size {TAKE}",
        "two": f"2 processes, coroutines on uvloop, batch_size {TAKE}",
        "sleeps": f"2 processes, coroutines on uvloop, batch_size {TAKE}",
    }

    def __init__(self) -> None:
        self._queries: Queries | None = None

    def prepare(self) -> None:
        if self._queries is None:
            connection = wait(asyncpg.connect(store()))
            self._queries = Queries(AsyncpgDriver(connection))
            wait(self._queries.install())
            self._tables = Tables("pgqueuer", "pgqueuer_log", "pgqueuer_statistics")
        self._tables.empty()

    def enqueue(self, task: str, number: int, text: str) -> None:
        wait(self._queries.enqueue(task, payload(number, text)))

    def enqueue_many(self, task: str, numbers: Sequence[int], text: str) -> None:
        wait(self._fill(task, numbers, text))
        self._tables.analyze()

    async def _fill(self, task: str, numbers: Sequence[int], text: str) -> None:
        for start in range(0, len(numbers), BATCH):
            payloads = [payload(number, text) for number in numbers[start : start + BATCH]]
            await self._queries.enqueue([task] * len(payloads), payloads, [0] * len(payloads))

    def unfinished(self) -> int:
        return self._tables.count("status", ["queued", "picked"])

    def workers(self, use: Use) -> list[list[str]]:
        # Its command `pgq run` cannot start with this version of typer.
        command = ["python", "-c", "import on_pgqueuer; on_pgqueuer.start()"]
        return [command] * (1 if use == "one" else 2)


def payload(number: int, text: str) -> bytes:
    return json.dumps({"number": number, "text": text}).encode()


rival = OnPgQueuer()
