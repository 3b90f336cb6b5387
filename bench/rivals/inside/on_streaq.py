# /// script
# dependencies = [
#     "streaq==7.2.0", "coredis==6.9.0", "uvloop==0.23.0", "redis==8.1.0", "hiredis==3.5.0",
# ]
# [tool.rival]
# store = "redis"
# ///
"""streaq."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from loop import wait
from redis import Redis
from rival import ON_REDIS, Use
from streaq import Worker
from workload import COROUTINES, store

CONCURRENCY = 64
IDLE = 10.0
BATCH = 1000


def worker(concurrency: int) -> Worker:
    uvloop = {"use_uvloop": True}
    return Worker(store(), concurrency=concurrency, idle_timeout=IDLE, anyio_kwargs=uvloop)


workers, sleepers = worker(CONCURRENCY), worker(1000)
tasks = {}
for one in (sleepers, workers):
    for name, function in COROUTINES.items():
        tasks[name] = one.task(silent=True, ttl=0, name=name)(function)
connection = Redis.from_url(store())


class Streaq:
    title = "streaq on Redis"
    durability = ON_REDIS
    recovery = "taken back after 10 s without a sign of life (default 60 s)"
    reclaim_after = 2 * IDLE
    bulk = "enqueue_many, 1,000 a call"
    settings: ClassVar[Mapping[Use, str]] = {
        "one": f"1 process, {CONCURRENCY} coroutines on uvloop, results not kept",
        "two": f"2 processes, {CONCURRENCY} coroutines each on uvloop, results not kept",
        "sleeps": "2 processes, 1,000 coroutines each on uvloop, results not kept",
    }

    def __init__(self) -> None:
        self._open = False

    def prepare(self) -> None:
        if not self._open:
            wait(workers.__aenter__())
            self._open = True
        connection.flushdb()

    def enqueue(self, task: str, number: int, text: str) -> None:
        wait(self._enqueue(task, number, text))

    async def _enqueue(self, task: str, number: int, text: str) -> None:
        await tasks[task].enqueue(number, text)

    def enqueue_many(self, task: str, numbers: Sequence[int], text: str) -> None:
        wait(self._fill(task, numbers, text))

    async def _fill(self, task: str, numbers: Sequence[int], text: str) -> None:
        for start in range(0, len(numbers), BATCH):
            some = [tasks[task].enqueue(n, text) for n in numbers[start : start + BATCH]]
            await workers.enqueue_many(some)

    def unfinished(self) -> int:
        return sum(int(connection.xlen(key)) for key in connection.scan_iter(_type="stream"))

    def workers(self, use: Use) -> list[list[str]]:
        count = "1" if use == "one" else "2"
        name = "sleepers" if use == "sleeps" else "workers"
        return [["streaq", "run", f"on_streaq:{name}", "-w", count]]


rival = Streaq()
