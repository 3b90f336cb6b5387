# /// script
# dependencies = ["rq==3.0.0", "redis==8.1.0", "hiredis==3.5.0"]
# [tool.rival]
# store = "redis"
# ///
"""RQ."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from redis import Redis
from rival import ON_REDIS, Use
from rq import Queue, Retry
from workload import TASKS, store

JOB_TIMEOUT = 10
BATCH = 1000

connection = Redis.from_url(store())
queue = Queue("default", connection=connection)


class RQ:
    title = "RQ on Redis"
    durability = ON_REDIS
    recovery = (
        "enqueued with Retry: taken back 60 s after the job's time limit (10 s), "
        "when a worker starts or at the upkeep every 10 min"
    )
    reclaim_after = JOB_TIMEOUT + 60.0
    bulk = "enqueue_many, 1,000 a call"
    settings: ClassVar[Mapping[Use, str]] = {
        "one": "1 SimpleWorker (no fork per job), results not kept",
        "two": "pool of 2 SimpleWorkers, results not kept",
        "sleeps": "pool of 32 SimpleWorkers (a worker runs one job at a time)",
    }

    def prepare(self) -> None:
        connection.flushdb()

    def enqueue(self, task: str, number: int, text: str) -> None:
        queue.enqueue(
            TASKS[task],
            args=(number, text),
            job_timeout=JOB_TIMEOUT,
            result_ttl=0,
            retry=Retry(max=3),
        )

    def enqueue_many(self, task: str, numbers: Sequence[int], text: str) -> None:
        retry = Retry(max=3)
        for start in range(0, len(numbers), BATCH):
            queue.enqueue_many(
                Queue.prepare_data(
                    TASKS[task], (number, text), timeout=JOB_TIMEOUT, result_ttl=0, retry=retry
                )
                for number in numbers[start : start + BATCH]
            )

    def unfinished(self) -> int:
        return queue.count + queue.started_job_registry.get_job_count(cleanup=False)

    def workers(self, use: Use) -> list[list[str]]:
        common = ["-q", "-u", store(), "-w", "rq.SimpleWorker"]
        if use == "one":
            return [["rq", "worker", *common]]
        return [["rq", "worker-pool", *common, "-n", "2" if use == "two" else "32"]]


rival = RQ()
