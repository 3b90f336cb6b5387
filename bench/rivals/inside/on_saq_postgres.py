# /// script
# dependencies = [
#     "saq==0.26.4", "psycopg[binary]==3.3.9", "psycopg-pool==3.3.3", "uvloop==0.23.0",
# ]
# [tool.rival]
# store = "postgres"
# ///
"""SAQ, with its PostgreSQL queue."""

from collections.abc import Sequence

from loop import wait
from rival import ON_POSTGRES
from saq import Queue
from saq_jobs import CONCURRENCY, SLEEPERS, Saq, settings
from tables import Tables
from workload import store

queue = Queue.from_url(store())
workers = settings(queue, CONCURRENCY)
sleepers = settings(queue, SLEEPERS)


class SaqOnPostgres(Saq):
    title = "SAQ on PostgreSQL"
    durability = ON_POSTGRES
    bulk = f"{Saq.bulk}; tables analyzed afterwards"

    def __init__(self) -> None:
        super().__init__(queue, "on_saq_postgres")
        self._tables: Tables | None = None

    def prepare(self) -> None:
        if self._tables is None:
            wait(queue.connect())
            self._tables = Tables("saq_jobs")
        self._tables.empty()

    def enqueue_many(self, task: str, numbers: Sequence[int], text: str) -> None:
        super().enqueue_many(task, numbers, text)
        self._tables.analyze()

    def unfinished(self) -> int:
        return self._tables.count("status", ["new", "queued", "active"])


rival = SaqOnPostgres()
