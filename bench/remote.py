"""What a server between costs: jobs worked off and brought over `http://`, beside the same with the
store at hand, in turn."""

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

from bench.app import FILL, noop, tasks
from bench.measure import Figure, completed, fresh, wait_until, worker
from bench.server import served
from mainspring import Mainspring

BATCH = 100
BATCHES = 100
CALLS = 300

Measure: TypeAlias = Callable[[Mainspring, Mainspring], float]


def run(times: int, jobs: int = 100_000) -> list[Figure]:
    """A worker over http://, jobs in hundreds and one by one; each beside the store at hand."""
    plans: list[tuple[str, str, Measure]] = [
        ("drain sync no-ops over http://, 1 child", "jobs/s", partial(drained, jobs)),
        (f"enqueue_many of {BATCH} over http://", "jobs/s", brought),
        ("enqueue over http://, one by one", "ms", called),
    ]
    near: dict[str, list[float]] = {name: [] for name, *_ in plans}
    far: dict[str, list[float]] = {name: [] for name, *_ in plans}
    for _ in range(times):
        for name, _, measure in plans:
            with fresh() as app:
                near[name].append(measure(app, app))
            with fresh() as app, behind(app) as remote:
                far[name].append(measure(app, remote))
    figures = []
    for name, unit, _ in plans:
        at_hand, figure = Figure("", "", near[name]).median, Figure(name, unit, far[name])
        figure.beside = {"store at hand": at_hand, "ratio": figure.median / at_hand}
        figures.append(figure)
    return figures


@contextlib.contextmanager
def behind(app: Mainspring) -> Iterator[Mainspring]:
    """The same store, as those see it who reach nothing but its server."""
    with (
        served("mainspring", "--url", app.url, "serve", "--port", "0") as port,
        Mainspring(f"http://127.0.0.1:{port}", tasks) as remote,
    ):
        yield remote


def drained(jobs: int, app: Mainspring, mine: Mainspring) -> float:
    """Jobs a second through a worker that has its jobs from there."""
    app.pause("default")
    for at in range(0, jobs, 10_000):
        app.enqueue_many(noop.job(n, FILL) for n in range(at, min(at + 10_000, jobs)))
    with worker(mine, "--processes", "1"):
        start = time.perf_counter()
        app.resume("default")
        wait_until(lambda: completed(app) == jobs, 120, "the drain")
        return jobs / (time.perf_counter() - start)


def brought(app: Mainspring, mine: Mainspring) -> float:
    """Jobs a second that one thread brings in hundreds."""

    def batch() -> None:
        mine.enqueue_many(noop.job(n, FILL) for n in range(BATCH))

    return BATCH / _each(batch, BATCHES)


def called(app: Mainspring, mine: Mainspring) -> float:
    """Milliseconds of one enqueue."""
    return 1000 * _each(lambda: mine.enqueue(noop.job(1, FILL)), CALLS)


def _each(call: Callable[[], object], times: int) -> float:
    """Seconds that it takes, once it has been made."""
    call()
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times
