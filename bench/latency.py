"""How long a job waits for an idle worker, and how many sleepers run at once."""

import time

from bench.app import apause, pause, stamp
from bench.measure import Figure, completed, fresh, percentile, wait_until, worker


def run(times: int, jobs: int = 300) -> list[Figure]:
    """Idle latency from before the call of enqueue to the first line of the function."""
    p50, p99 = [], []
    for _ in range(times):
        waits = idle(jobs)
        p50.append(percentile(waits, 50))
        p99.append(percentile(waits, 99))
    return [
        Figure("idle enqueue to start, p50", "ms", p50, f"{jobs} jobs, one at a time"),
        Figure("idle enqueue to start, p99", "ms", p99),
    ]


def idle(jobs: int) -> list[float]:
    """Milliseconds of each job."""
    waits = []
    with fresh() as app, worker(app):
        app.enqueue(stamp.job()).result(timeout=10)
        for _ in range(jobs):
            time.sleep(0.01)
            start = time.monotonic_ns()
            began = app.enqueue(stamp.job()).result(timeout=10)
            waits.append((began - start) / 1e6)
    return waits


def sleepers(times: int, jobs: int = 2_000, seconds: float = 0.1) -> list[Figure]:
    """Wall time of 2,000 jobs that sleep for 0.1 s, on the event loop and on 200 threads."""
    plans = [
        ("2,000 async sleeps of 0.1 s", apause, ("--tasks", "2000")),
        ("2,000 sleeps of 0.1 s on 200 threads", pause, ("--threads", "200")),
    ]
    runs: dict[str, list[float]] = {name: [] for name, _, _ in plans}
    for _ in range(times):
        for name, task, options in plans:
            with fresh() as app:
                app.pause("default")
                app.enqueue_many(task.job(seconds) for _ in range(jobs))
                with worker(app, *options):
                    start = time.perf_counter()
                    app.resume("default")
                    wait_until(lambda app=app: completed(app) == jobs, 60, "the sleepers")
                    runs[name].append(time.perf_counter() - start)
    return [Figure(name, "s", values) for name, values in runs.items()]
