"""How fast waiting no-ops are worked off, from the moment the queue is opened to the last one."""

import time

from bench.app import FILL, anoop, noop
from bench.measure import Figure, completed, fresh, wait_until, worker


def run(times: int, jobs: int = 100_000) -> list[Figure]:
    """Sync no-ops with one and two children, async ones with one; interleaved."""
    plans = [
        ("drain sync no-ops, 1 child", noop, 1),
        ("drain sync no-ops, 2 children", noop, 2),
        ("drain async no-ops, 1 child", anoop, 1),
    ]
    runs: dict[str, list[float]] = {name: [] for name, _, _ in plans}
    for _ in range(times):
        for name, task, children in plans:
            runs[name].append(drain(task, children, jobs))
    return [Figure(name, "jobs/s", values, f"{jobs:,} jobs") for name, values in runs.items()]


def drain(task, children: int, jobs: int) -> float:
    """Jobs a second through so many children."""
    with fresh() as app:
        app.pause("default")
        for at in range(0, jobs, 10_000):
            app.enqueue_many(task.job(n, FILL) for n in range(at, min(at + 10_000, jobs)))
        with worker(app, "--processes", str(children)):
            start = time.perf_counter()
            app.resume("default")
            wait_until(lambda: completed(app) == jobs, 120, "the drain")
            return jobs / (time.perf_counter() - start)
