"""What happens beside tasks that never yield: are leases kept and other children's jobs unhurt?"""

import time

from bench.app import hog, hold_gil, noop
from bench.measure import Figure, fresh, worker

LEASE = 3.0


def run(times: int) -> list[Figure]:
    """One child is held for five leases: the pace of the other, and the claims of the job."""
    figures = []
    for task in (hog, hold_gil):
        rates, attempts = [], []
        for _ in range(min(times, 2)):
            with fresh() as app, worker(app, "--processes", "2", "--lease", f"{LEASE}s"):
                held = app.enqueue(task.job(5 * LEASE))
                time.sleep(0.3)
                done, start = 0, time.perf_counter()
                while time.perf_counter() - start < 5 * LEASE - 1:
                    app.enqueue(noop.job(done, "")).result(timeout=LEASE)
                    done += 1
                rates.append(done / (time.perf_counter() - start))
                held.result(timeout=10 * LEASE)
                attempts.append(float(held.refresh().claims))
        name = f"enqueue-run-result beside `{task.name}`"
        figures.append(Figure(name, "jobs/s", rates, "one at a time"))
        figures.append(Figure(f"claims of `{task.name}` over five leases", "claims", attempts))
    return figures
