# /// script
# dependencies = [
#     "taskiq==0.13.0", "taskiq-redis==1.2.4", "uvloop==0.23.0", "redis==8.1.0", "hiredis==3.5.0",
# ]
# [tool.rival]
# store = "redis"
# ///
"""Taskiq, with the Redis stream broker: the one that acknowledges."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from loop import gather, wait
from redis import Redis
from rival import ON_REDIS, Use
from taskiq_redis import RedisStreamBroker
from workload import COROUTINES, store

IDLE = 10.0
AT_ONCE = 100

broker = RedisStreamBroker(
    store(), consumer_id="0", idle_timeout=int(IDLE * 1000), unacknowledged_lock_timeout=IDLE
)
tasks = {name: broker.task(task_name=name)(function) for name, function in COROUTINES.items()}
connection = Redis.from_url(store())


class Taskiq:
    title = "Taskiq on Redis"
    durability = ON_REDIS
    recovery = (
        "taken back after 10 s (default 10 min) if it was not acknowledged, "
        "but looked for only when another job arrives"
    )
    reclaim_after = IDLE
    bulk = f"{AT_ONCE} single calls at once (there is no bulk call)"
    settings: ClassVar[Mapping[Use, str]] = {
        "one": "stream broker, 1 process, 100 coroutines on uvloop, prefetch 100, no results",
        "two": "stream broker, 2 processes of 100 coroutines on uvloop, prefetch 100, no results",
        "sleeps": "stream broker, 2 processes of 1,000 coroutines on uvloop, no results",
    }

    def prepare(self) -> None:
        connection.flushdb()

    def enqueue(self, task: str, number: int, text: str) -> None:
        wait(tasks[task].kiq(number, text))

    def enqueue_many(self, task: str, numbers: Sequence[int], text: str) -> None:
        wait(gather((tasks[task].kiq(number, text) for number in numbers), AT_ONCE))

    def unfinished(self) -> int:
        [group] = connection.xinfo_groups("taskiq")
        return int(group["pending"]) + int(group["lag"] or 0)

    def workers(self, use: Use) -> list[list[str]]:
        processes, size = {"one": (1, 100), "two": (2, 100), "sleeps": (2, 1000)}[use]
        tuning = ["--max-async-tasks", str(size), "--max-prefetch", str(size)]
        command = ["taskiq", "worker", "on_taskiq:broker", "--log-level", "WARNING", *tuning]
        return [[*command, "--workers", str(processes)]]


rival = Taskiq()
