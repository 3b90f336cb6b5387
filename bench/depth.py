"""What a claim costs when the file is full: a million ready, delayed and finished jobs each."""

import time

from bench.measure import Figure, fresh
from bench.raw import PAYLOAD
from mainspring.engines import open_store
from mainspring.ids import new_ids, new_token
from mainspring.job import NewJob, State, Transition
from mainspring.store import Claim, Grant, Store

CLAIMS = 200


def run(times: int, depth: int = 1_000_000) -> list[Figure]:
    """Median milliseconds of a claim of 100, in an empty file and in a deep one."""
    with fresh() as small, fresh() as large:
        shallow, deep = open_store(small.url), open_store(large.url)
        for store in (shallow, deep):
            store.open()
        _fill(shallow, CLAIMS * 100 * times)
        _deepen(deep, depth)
        pairs = [(_claims(shallow), _claims(deep)) for _ in range(times)]
        for store in (shallow, deep):
            store.close()
    figure = Figure(f"claim of 100 beside 3 x {depth:,} jobs", "ms", [deep for _, deep in pairs])
    empty = Figure("", "ms", [shallow for shallow, _ in pairs]).median
    figure.beside = {"in a small file": empty, "ratio": figure.median / empty}
    return [figure]


def _deepen(store: Store, depth: int) -> None:
    _fill(store, depth)
    while True:
        grant = Grant(token=new_token(), worker="filler", lease=60_000_000)
        jobs = store.exchange([], Claim(grant=grant, limit=5_000, slots=5_000)).jobs
        if not jobs:
            break
        store.exchange([Transition(j.number, j.token, State.COMPLETED) for j in jobs])
    _fill(store, depth, delay=86_400_000_000)
    _fill(store, depth)


def _fill(store: Store, count: int, delay: int = 0) -> None:
    for at in range(0, count, 10_000):
        ids = new_ids(min(10_000, count - at))
        store.insert([NewJob(id=id, task="noop", payload=PAYLOAD, delay=delay) for id in ids])


def _claims(store: Store) -> float:
    took = []
    for _ in range(CLAIMS):
        grant = Grant(token=new_token(), worker="bench", lease=600_000_000)
        start = time.perf_counter()
        jobs = store.exchange([], Claim(grant=grant, limit=100, slots=100)).jobs
        took.append((time.perf_counter() - start) * 1000)
        assert len(jobs) == 100
    return sorted(took)[len(took) // 2]
