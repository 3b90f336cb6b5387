"""How fast posts are published on topics, and how soon they are received in another process."""

import multiprocessing
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from bench.measure import Figure, fresh, percentile
from mainspring import Mainspring

SUBSCRIBERS = 100


def run(times: int, posts: int = 1_000) -> list[Figure]:
    """Posts per second from one and many threads, and from publish to receive elsewhere."""
    single, many, p50, p99, crowd50, crowd99 = ([] for _ in range(6))
    for _ in range(times):
        with fresh() as app:
            single.append(rate(app, 1, posts))
        with fresh() as app:
            many.append(rate(app, 16, posts // 4))
        for subscribers, middle, tail in ((1, p50, p99), (SUBSCRIBERS, crowd50, crowd99)):
            waits = received(subscribers, posts // 5)
            middle.append(percentile(waits, 50))
            tail.append(percentile(waits, 99))
    crowd = f"{SUBSCRIBERS} subscribers"
    return [
        Figure("posts published, 1 thread", "/s", single),
        Figure("posts published, 16 threads", "/s", many),
        Figure("publish to receive, p50", "ms", p50, "in another process, one at a time"),
        Figure("publish to receive, p99", "ms", p99),
        Figure(f"publish to receive by all of {crowd}, p50", "ms", crowd50),
        Figure(f"publish to receive by all of {crowd}, p99", "ms", crowd99),
    ]


def rate(app: Mainspring, threads: int, posts: int) -> float:
    """Posts per second of so many threads with so many posts each."""
    app.topics.publish("bench", "first")

    def publish() -> None:
        for n in range(posts):
            app.topics.publish("bench.topic", n)

    started = time.perf_counter()
    in_threads(threads, publish)
    return threads * posts / (time.perf_counter() - started)


def received(subscribers: int, posts: int) -> list[float]:
    """Milliseconds of each post until all subscribers, in another process, have it."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    with fresh() as app:
        child = context.Process(target=listen, args=(app.url, subscribers, posts, there))
        child.start()
        assert here.recv() == "ready"
        sent = []
        for n in range(posts):
            time.sleep(0.01)
            sent.append(time.monotonic_ns())
            app.topics.publish("bench.topic", n)
        last = here.recv()
        child.join()
    return [(got - began) / 1e6 for began, got in zip(sent, last, strict=True)]


def listen(url: str, subscribers: int, posts: int, pipe: Any) -> None:
    """Say when all of so many subscribers had each post."""
    with Mainspring(url) as app, ExitStack() as stack:
        subscriptions = [
            stack.enter_context(app.topics.subscribe("bench.*")) for _ in range(subscribers)
        ]
        pipe.send("ready")
        last = []
        for _ in range(posts):
            for subscription in subscriptions:
                assert subscription.get(30)
            last.append(time.monotonic_ns())
        pipe.send(last)


def in_threads(threads: int, act: Callable[[], None]) -> None:
    """Do it in so many threads at once."""
    running = [threading.Thread(target=act) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
