"""Tasks that run in processes of their own: how fast, on how many processors, how soon replaced."""

import os
import signal
import time

from bench.app import FILL
from bench.measure import Figure, completed, fresh, wait_until, worker
from bench.solo_app import crunch, hold, noop, whoami

LEASE = 3.0
APP = "bench.solo_app:app"


def run(times: int, jobs: int = 40_000) -> list[Figure]:
    """No-ops in two processes, what two processors gain, and the gap after a kill -9."""
    rates, gains, gaps, lost = [], [], [], []
    for _ in range(times):
        rates.append(_drain([noop.job(n, FILL) for n in range(jobs)], 2))
        one, two = (_drain([crunch.job(300_000) for _ in range(200)], slots) for slots in (1, 2))
        gains.append(two / one)
        gaps.append(_gap())
        lost.append(_taken_over())
    return [
        Figure("process no-ops, 2 slots", "jobs/s", rates, f"{jobs:,} jobs"),
        Figure("computing, 2 slots beside 1", "x", gains, "200 jobs of some 20 ms"),
        Figure("killed child to the next job's start", "ms", gaps),
        Figure("killed worker to its job's next start", "s", lost, f"with a lease of {LEASE:g} s"),
    ]


def _taken_over() -> float:
    """Seconds from the kill of a whole worker to its job's start in another one."""
    lease = ("--lease", f"{LEASE}s")
    with fresh() as app:
        job = app.enqueue(hold.job())
        with worker(app, *lease, module=APP) as first:
            wait_until(lambda: job.refresh().state.name == "RUNNING", 20, "the first start")
            with worker(app, *lease, module=APP):
                start = time.monotonic_ns()
                first.kill()
                return (job.result(timeout=60) - start) / 1e9


def _drain(jobs, slots: int) -> float:
    """Jobs a second."""
    with fresh() as app:
        app.pause("default")
        for at in range(0, len(jobs), 10_000):
            app.enqueue_many(jobs[at : at + 10_000])
        with worker(app, "--process-slots", str(slots), module=APP):
            app.enqueue(whoami.using(queue="warm").job()).result(timeout=20)
            start = time.perf_counter()
            app.resume("default")
            wait_until(lambda: completed(app) > len(jobs), 120, "the drain")
            return len(jobs) / (time.perf_counter() - start)


def _gap() -> float:
    """Milliseconds from the kill of the only child to a job that runs in its successor."""
    with fresh() as app, worker(app, "--process-slots", "1", module=APP):
        pid = app.enqueue(whoami.job()).result(timeout=20)
        time.sleep(1.5)  # one that dies young is not replaced at once
        start = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        job = app.enqueue(whoami.job())
        assert job.result(timeout=20) != pid
        return (time.perf_counter() - start) * 1000
