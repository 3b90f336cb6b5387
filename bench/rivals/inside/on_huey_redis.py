# /// script
# dependencies = ["huey==3.5.4", "redis==8.1.0", "hiredis==3.5.0"]
# [tool.rival]
# store = "redis"
# ///
"""Huey, with its Redis storage."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from huey import RedisHuey
from redis import ConnectionPool
from rival import ON_REDIS, Use
from workload import TASKS, store

pool = ConnectionPool.from_url(store(), max_connections=1000)  # by default 100, for 200 threads
huey = RedisHuey("bench", connection_pool=pool, results=False)
tasks = {name: huey.task()(function) for name, function in TASKS.items()}


class HueyOnRedis:
    title = "Huey on Redis"
    durability = ON_REDIS
    recovery = "a job is popped when a worker takes it and is lost with the worker"
    reclaim_after = 0.0
    bulk = "single calls (there is no bulk call)"
    settings: ClassVar[Mapping[Use, str]] = {
        "one": "1 thread, results not kept",
        "two": "2 processes, results not kept",
        "sleeps": "1 process of 200 threads, results not kept",
    }

    def prepare(self) -> None:
        huey.storage.conn.flushdb()

    def enqueue(self, task: str, number: int, text: str) -> None:
        tasks[task](number, text)

    def enqueue_many(self, task: str, numbers: Sequence[int], text: str) -> None:
        for number in numbers:
            tasks[task](number, text)

    def unfinished(self) -> int:
        return int(huey.pending_count())

    def workers(self, use: Use) -> list[list[str]]:
        kind, count = {"one": ("thread", 1), "two": ("process", 2), "sleeps": ("thread", 200)}[use]
        command = ["huey_consumer", "on_huey_redis.huey", "-q", "-k", kind, "-w", str(count)]
        return [command]


rival = HueyOnRedis()
