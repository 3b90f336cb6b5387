# /// script
# dependencies = [
#     "saq==0.26.4", "typing-extensions==4.16.0", "redis==7.4.1", "hiredis==3.5.0",
#     "uvloop==0.23.0",
# ]
# [tool.rival]
# store = "redis"
# ///
"""SAQ, with its Redis queue."""

from redis import Redis
from rival import ON_REDIS
from saq import Queue
from saq_jobs import CONCURRENCY, SLEEPERS, Saq, settings
from workload import store

queue = Queue.from_url(store(), max_concurrent_ops=CONCURRENCY)
workers = settings(queue, CONCURRENCY)
sleepers = settings(queue, SLEEPERS)
connection = Redis.from_url(store())


class SaqOnRedis(Saq):
    title = "SAQ on Redis"
    durability = ON_REDIS

    def prepare(self) -> None:
        connection.flushdb()

    def unfinished(self) -> int:
        return int(connection.zcard("saq:default:incomplete"))


rival = SaqOnRedis(queue, "on_saq_redis")
