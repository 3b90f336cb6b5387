# /// script
# dependencies = [
#     "celery==5.7.0", "kombu==5.7.0", "billiard==4.3.2", "packaging==26.3",
#     "redis==8.1.0", "hiredis==3.5.0",
# ]
# [tool.rival]
# store = "redis"
# ///
"""Celery, with Redis as its broker."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from celery import Celery
from redis import Redis
from rival import ON_REDIS, Use
from workload import TASKS, store

VISIBILITY = 15.0

connection = Redis.from_url(store())
app = Celery("bench", broker=store())
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": VISIBILITY,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
)
tasks = {name: app.task(name=name)(function) for name, function in TASKS.items()}


class CeleryOnRedis:
    title = "Celery on Redis"
    durability = ON_REDIS
    recovery = (
        "acks_late: taken back 15 s after it was handed out (default 1 h), dead worker or not"
    )
    reclaim_after = VISIBILITY
    bulk = "single calls sharing one producer (there is no bulk call)"
    settings: ClassVar[Mapping[Use, str]] = {
        "one": "1 worker with the solo pool, results ignored",
        "two": "2 workers with the solo pool, results ignored",
        "sleeps": "2 workers of 100 threads, results ignored",
    }

    def prepare(self) -> None:
        connection.flushdb()

    def enqueue(self, task: str, number: int, text: str) -> None:
        tasks[task].delay(number, text)

    def enqueue_many(self, task: str, numbers: Sequence[int], text: str) -> None:
        with app.producer_or_acquire() as producer:
            for number in numbers:
                tasks[task].apply_async((number, text), producer=producer)

    def unfinished(self) -> int:
        return int(connection.llen("celery")) + int(connection.hlen("unacked"))

    def workers(self, use: Use) -> list[list[str]]:
        # For jobs this small solo beats threads, and both beat prefork.
        pool = ["-P", "threads", "-c", "100"] if use == "sleeps" else ["-P", "solo"]
        quiet = ["-l", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat"]
        command = ["celery", "-A", "on_celery:app", "worker", *pool, *quiet]
        return [[*command, "-n", f"{number}@%h"] for number in range(1 if use == "one" else 2)]


rival = CeleryOnRedis()
