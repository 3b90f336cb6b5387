"""How fast waiting no-ops are worked off, from the moment the queue is opened to the last one."""

import time
from contextlib import ExitStack

from bench.app import FILL, anoop, noop
from bench.measure import Figure, completed, fresh, wait_until, worker


def run(times: int, jobs: int = 100_000) -> list[Figure]:
    """Sync no-ops with one and two children and with two programs, async ones; interleaved."""
    plans = [
        ("drain sync no-ops, 1 child", noop, 1, 1),
        ("drain sync no-ops, 2 children", noop, 2, 1),
        ("drain sync no-ops, 2 workers of 1 child", noop, 1, 2),
        ("drain async no-ops, 1 child", anoop, 1, 1),
    ]
    runs: dict[str, list[float]] = {name: [] for name, *_ in plans}
    for _ in range(times):
        for name, task, children, workers in plans:
            runs[name].append(drain(task, children, jobs, workers))
    return [Figure(name, "jobs/s", values, f"{jobs:,} jobs") for name, values in runs.items()]


def drain(task, children: int, jobs: int, workers: int = 1) -> float:
    """Jobs a second through so many `mainspring worker` programs with so many children each."""
    with fresh() as app, ExitStack() as programs:
        app.pause("default")
        for at in range(0, jobs, 10_000):
            app.enqueue_many(task.job(n, FILL) for n in range(at, min(at + 10_000, jobs)))
        for _ in range(workers):
            programs.enter_context(worker(app, "--processes", str(children)))
        start = time.perf_counter()
        app.resume("default")
        wait_until(lambda: completed(app) == jobs, 120, "the drain")
        return jobs / (time.perf_counter() - start)
