"""What a server between costs: jobs worked off and brought over `http://`, beside the same with the
store at hand, in turn."""

import time
from collections.abc import Callable

from bench.app import FILL, noop, tasks
from bench.drain import drain
from bench.measure import Figure, completed, fresh, wait_until, worker
from bench.server import served
from mainspring import Mainspring

BATCH = 100
BATCHES = 100
CALLS = 300


def run(times: int, jobs: int = 100_000) -> list[Figure]:
    """A worker over http://, jobs in hundreds and one by one; interleaved with the store at hand."""
    near: list[list[float]] = [[], [], []]
    far: list[list[float]] = [[], [], []]
    for _ in range(times):
        near[0].append(drain(noop, 1, jobs))
        far[0].append(drained(jobs))
        for n, measure in enumerate((brought, called), 1):
            with fresh() as app:
                near[n].append(measure(app))
            with fresh() as app, served("mainspring", "--url", app.url, "serve", "--port", "0") as p:
                with Mainspring(f"http://127.0.0.1:{p}", tasks) as remote:
                    far[n].append(measure(remote))
    plans = [
        ("drain sync no-ops over http://, 1 child", "jobs/s"),
        (f"enqueue_many of {BATCH} over http://", "jobs/s"),
        ("enqueue over http://, one by one", "ms"),
    ]
    figures = []
    for (name, unit), here, there in zip(plans, near, far, strict=True):
        at_hand = Figure("", "", here).median
        figure = Figure(name, unit, there)
        figure.beside = {"store at hand": at_hand, "ratio": figure.median / at_hand}
        figures.append(figure)
    return figures


def drained(jobs: int) -> float:
    """Jobs a second through a worker that sees nothing but the server."""
    with fresh() as app, served("mainspring", "--url", app.url, "serve", "--port", "0") as port:
        app.pause("default")
        for at in range(0, jobs, 10_000):
            app.enqueue_many(noop.job(n, FILL) for n in range(at, min(at + 10_000, jobs)))
        with Mainspring(f"http://127.0.0.1:{port}", tasks) as remote:
            with worker(remote, "--processes", "1"):
                start = time.perf_counter()
                app.resume("default")
                wait_until(lambda: completed(app) == jobs, 120, "the drain")
                return jobs / (time.perf_counter() - start)


def brought(app: Mainspring) -> float:
    """Jobs a second that one thread brings in hundreds."""

    def batch() -> None:
        app.enqueue_many(noop.job(n, FILL) for n in range(BATCH))

    return BATCH / _each(batch, BATCHES)


def called(app: Mainspring) -> float:
    """Milliseconds of one enqueue."""
    return 1000 * _each(lambda: app.enqueue(noop.job(1, FILL)), CALLS)


def _each(call: Callable[[], object], times: int) -> float:
    """Seconds that it takes, once it has been made."""
    call()
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times
