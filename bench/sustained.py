"""Does it stay as fast, and its store as small? One producer and two workers for minutes.

The producer keeps 5,000 to 20,000 jobs waiting. Jobs that ended are kept for ten minutes, the least
there is, so the whole store grows by them until then: what it grows by for each job that ended is a
figure of its own, and must be the same in both halves of the run. What comes and goes with the jobs
(the log of an SQLite file; in PostgreSQL the tables of jobs that have not ended) must not grow.
Redis tells its memory and its append-only file, which holds up to twice what it did when it was
last rewritten. On a machine that others use too, the processor time for each job (of producer,
workers and server) tells more than the rates.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from bench.app import FILL, noop
from bench.family import cpu_seconds, family
from bench.gauges import gauge
from bench.measure import Figure, fresh, worker
from mainspring import Mainspring

WORKERS = 2
FEW, MANY = 5_000, 20_000
BATCH = 2_500
WINDOW = 30.0
LOOK_SECONDS = 1.0
TELL_EVERY = 10


@dataclass(frozen=True)
class Sight:
    """What was seen at one moment."""

    at: float
    """Seconds since the start."""
    done: int
    waiting: int
    spent: float
    """Seconds of processor time of producer, workers and server until now."""
    sizes: dict[str, int]


def run(times: int, seconds: float = 120.0) -> list[Figure]:
    """One producer, two workers: rates of the first and last 30 s, sizes in each half.

    Of a run shorter than 90 s, the first and last third.
    """
    runs = [_figures(list(_sights(seconds)), min(WINDOW, seconds / 3)) for _ in range(times)]
    merged = []
    for same in zip(*runs, strict=True):
        first = same[0]
        first.runs = [figure.runs[0] for figure in same]
        names = first.beside
        first.beside = {n: sum(figure.beside[n] for figure in same) / times for n in names}
        merged.append(first)
    return merged


def _sights(seconds: float) -> Iterator[Sight]:
    with fresh() as app, ExitStack() as programs:
        app.configure("default", keep_completed=0)
        app.pause("default")
        made = _produce(app, 0, FEW + MANY >> 1)
        sizes = gauge(app)
        for _ in range(WORKERS):
            programs.enter_context(worker(app))
        app.resume("default")
        start, looked = time.perf_counter(), 0
        while True:
            waiting = app.counts()["default"]["pending"]
            at = time.perf_counter() - start
            if at >= looked * LOOK_SECONDS:
                left = sum(app.counts()["default"][state] for state in ("pending", "running"))
                at, spent = time.perf_counter() - start, sum(map(cpu_seconds, family(os.getpid())))
                sight = Sight(at, made - left, waiting, spent, sizes.read())
                if looked % TELL_EVERY == 0:
                    _tell(sight)
                looked += 1
                yield sight
            if at >= seconds:
                return
            if waiting < MANY - BATCH:
                made = _produce(app, made, BATCH)
            else:
                time.sleep(0.002)


def _produce(app: Mainspring, made: int, count: int) -> int:
    app.enqueue_many(noop.job(n, FILL) for n in range(made, made + count))
    return made + count


def _tell(sight: Sight) -> None:
    sizes = ", ".join(f"{name} {size / 1e6:,.1f} MB" for name, size in sight.sizes.items())
    line = f"{sight.at:5.0f} s: {sight.done:,} done, {sight.waiting:,} waiting; {sizes}"
    print(line, file=sys.stderr, flush=True)


def _figures(sights: list[Sight], window: float) -> list[Figure]:
    end = sights[-1].at
    ends = [_among(sights, 0, window), _among(sights, end - window, end)]
    first, last = map(_rate, ends)
    cost, late_cost = map(_cost, ends)
    halves = [[s for s in sights if (s.at > end / 2) == late] for late in (False, True)]
    waiting = [sight.waiting for sight in sights[1:]]
    figures = [
        Figure(f"sustained, the first {window:.0f} s", "jobs/s", [first]),
        Figure(
            f"sustained, the last {window:.0f} s", "jobs/s", [last], beside={"ratio": last / first}
        ),
        Figure(
            "processor time for each job at the end",
            "µs",
            [late_cost],
            beside={"at the start": cost},
        ),
        Figure("waiting, the most", "jobs", [max(waiting)], beside={"the least": min(waiting)}),
    ]
    for name in sights[-1].sizes:
        early, late = (max(s.sizes.get(name, 0) for s in half) / 1e6 for half in halves)
        figures.append(Figure(f"{name}, the most", "MB", [late], beside={"first half": early}))
    early, late = (_growth(half) for half in halves)
    figures.append(
        Figure("growth for each job that ended", "bytes", [late], beside={"first half": early})
    )
    return figures


def _among(sights: list[Sight], since: float, until: float) -> list[Sight]:
    return [sight for sight in sights if since <= sight.at <= until]


def _rate(sights: list[Sight]) -> float:
    return (sights[-1].done - sights[0].done) / (sights[-1].at - sights[0].at)


def _cost(sights: list[Sight]) -> float:
    return 1e6 * (sights[-1].spent - sights[0].spent) / (sights[-1].done - sights[0].done)


def _growth(sights: list[Sight]) -> float:
    whole = next(iter(sights[0].sizes))
    grown = sights[-1].sizes[whole] - sights[0].sizes[whole]
    return grown / (sights[-1].done - sights[0].done)
