"""How fast jobs are accepted: one by one, by 64 threads, by 64 coroutines, in bulk."""

import asyncio
import threading
import time

from bench.app import FILL, noop
from bench.measure import Figure, fresh
from bench.raw import bare_inserts
from mainspring import Mainspring

SINGLES = 3_000
CALLERS = 64
EACH = 300
BULK = 100_000


def run(times: int) -> list[Figure]:
    """Single and bulk stand beside the bare inserts of the same run, taken in turn."""
    single, bare, threads, tasks, bulk, bare_bulk = [], [], [], [], [], []
    for _ in range(times):
        single.append(_once(_single))
        bare.append(bare_inserts(SINGLES, 1))
        threads.append(_once(_threads))
        tasks.append(_once(_coroutines))
        bulk.append(_once(_bulk))
        bare_bulk.append(bare_inserts(BULK, 1000))
    alone = Figure("single enqueue", "jobs/s", single)
    alone.beside = _beside(alone, Figure("", "", bare))
    many = Figure("bulk enqueue_many, 100,000 in one call", "jobs/s", bulk)
    many.beside = _beside(many, Figure("", "", bare_bulk))
    return [
        alone,
        Figure(f"{CALLERS} threads, one job a call", "jobs/s", threads),
        Figure(f"{CALLERS} asyncio callers, one job a call", "jobs/s", tasks),
        many,
    ]


def _beside(figure: Figure, bare: Figure) -> dict[str, float]:
    return {"bare INSERT": bare.median, "ratio": figure.median / bare.median}


def _once(measure) -> float:
    with fresh() as app:
        app.enqueue(noop.job(0, FILL))
        return measure(app)


def _single(app: Mainspring) -> float:
    start = time.perf_counter()
    for n in range(SINGLES):
        app.enqueue(noop.job(n, FILL))
    return SINGLES / (time.perf_counter() - start)


def _threads(app: Mainspring) -> float:
    def caller() -> None:
        for n in range(EACH):
            app.enqueue(noop.job(n, FILL))

    callers = [threading.Thread(target=caller) for _ in range(CALLERS)]
    start = time.perf_counter()
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    return CALLERS * EACH / (time.perf_counter() - start)


def _coroutines(app: Mainspring) -> float:
    async def caller() -> None:
        for n in range(EACH):
            await app.aenqueue(noop.job(n, FILL))

    async def all_of_them() -> float:
        start = time.perf_counter()
        await asyncio.gather(*[caller() for _ in range(CALLERS)])
        return CALLERS * EACH / (time.perf_counter() - start)

    return asyncio.run(all_of_them())


def _bulk(app: Mainspring) -> float:
    start = time.perf_counter()
    app.enqueue_many(noop.job(n, FILL) for n in range(BULK))
    return BULK / (time.perf_counter() - start)
