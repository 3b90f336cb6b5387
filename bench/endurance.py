"""Whether a worker grows: memory, descriptors and threads, after a hundred thousand jobs and after
a million."""

import os
import time

from bench.app import FILL, anoop, noop
from bench.family import family
from bench.measure import Figure, completed, fresh, wait_until, worker


def run(times: int, jobs: int = 1_000_000) -> list[Figure]:
    """Growth of a worker from a tenth of the jobs to all of them: sync and async no-ops."""
    grown: dict[str, list[float]] = {"memory": [], "descriptors": [], "threads": []}
    for _ in range(min(times, 1)):
        with fresh() as app, worker(app, "--processes", "2") as process:
            done, first = 0, None
            while done < jobs:
                batch = [task.job(n, FILL) for n in range(5_000) for task in (noop, anoop)]
                app.enqueue_many(batch)
                done += len(batch)
                wait_until(lambda done=done: completed(app) >= done - 10_000, 120, "the jobs")
                if first is None and done >= jobs // 10:
                    first = _measured(process.pid)
            wait_until(lambda: completed(app) == jobs, 120, "the jobs")
            time.sleep(1)
            last = _measured(process.pid)
            assert first is not None
            for name in grown:
                grown[name].append(last[name] - first[name])
    units = {"memory": "MB", "descriptors": "", "threads": ""}
    return [
        Figure(f"growth of a worker, {name}", units[name], values, f"over {jobs:,} jobs")
        for name, values in grown.items()
    ]


def _measured(pid: int) -> dict[str, float]:
    """Of the worker and its children together: private memory, open files, threads."""
    told = {"memory": 0.0, "descriptors": 0.0, "threads": 0.0}
    for each in family(pid):
        with open(f"/proc/{each}/smaps_rollup") as lines:
            private = [int(line.split()[1]) for line in lines if line.startswith("Private")]
        told["memory"] += sum(private) / 1000
        told["descriptors"] += len(os.listdir(f"/proc/{each}/fd"))
        told["threads"] += len(os.listdir(f"/proc/{each}/task"))
    return told
