# /// script
# dependencies = ["dramatiq==2.2.1", "redis==8.1.0", "hiredis==3.5.0"]
# [tool.rival]
# store = "redis"
# ///
"""Dramatiq, with its Redis broker."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from rival import ON_REDIS, Use
from workload import TASKS, store

HEARTBEAT = 15.0

# By default one command in 1,000 looks for dead workers, and an idle queue hardly sends any.
broker = RedisBroker(
    url=store(), heartbeat_timeout=int(HEARTBEAT * 1000), maintenance_chance=100_000
)
dramatiq.set_broker(broker)
actors = {name: dramatiq.actor(function) for name, function in TASKS.items()}


class Dramatiq:
    title = "Dramatiq on Redis"
    durability = ON_REDIS
    recovery = "taken back after 15 s without a heartbeat (default 60 s), by chance-driven upkeep"
    reclaim_after = HEARTBEAT
    bulk = "single calls (there is no bulk call)"
    settings: ClassVar[Mapping[Use, str]] = {
        "one": "1 process of 16 threads, prefetch 256, polling every 10 ms",
        "two": "2 processes of 16 threads, prefetch 256, polling every 10 ms",
        "sleeps": "2 processes of 200 threads, polling every 10 ms",
    }

    def prepare(self) -> None:
        broker.client.flushdb()

    def enqueue(self, task: str, number: int, text: str) -> None:
        actors[task].send(number, text)

    def enqueue_many(self, task: str, numbers: Sequence[int], text: str) -> None:
        send = actors[task].send
        for number in numbers:
            send(number, text)

    def unfinished(self) -> int:
        return int(broker.client.hlen("dramatiq:default.msgs"))

    def workers(self, use: Use) -> list[list[str]]:
        processes, threads = {"one": (1, 16), "two": (2, 16), "sleeps": (2, 200)}[use]
        # The default, two a thread, makes it wait for Redis more than it works; 0 is the default.
        prefetch = 0 if use == "sleeps" else 256
        tuning = [f"dramatiq_queue_prefetch={prefetch}", "dramatiq_worker_timeout=10"]
        size = ["-p", str(processes), "-t", str(threads)]
        return [["env", *tuning, "dramatiq", "on_dramatiq", *size]]


rival = Dramatiq()
