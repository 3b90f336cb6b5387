"""What many who wait over HTTP cost, whether each of them hears of its job, what others feel of
them, and how soon a server process that was killed is replaced."""

import asyncio
import json
import os
import resource
import signal
import time
from http.client import HTTPConnection

from bench.app import noop
from bench.footprint import pss
from bench.measure import Figure, fresh, percentile, place, worker
from bench.others import OTHERS, times_of_others
from bench.server import served
from mainspring import Mainspring

CROWD = 5000
"""Who wait at once, in one way."""

WAYS = {"waits": "wait?timeout=300", "streams": "events"}
"""`GET /tasks/{id}/...`: long polls for a job's end, and Server-Sent Events about it."""

AT_ONCE = 250
"""Connections that are opened together."""

SETTLING = 5.0
LONGEST = 60.0
"""Seconds until all stand, and until the last of them must have heard."""

PROCESSES = 2


def run(times: int) -> list[Figure]:
    """For each way to wait: memory of the server with all of them open, how long others' requests
    take beside them, how long until all were told, and how many were not; then the time without
    one of two processes after a `kill -9`, and what failed meanwhile."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    figures = [figure for way in WAYS for figure in _waiting(way, times)]
    gaps, failed = [], []
    for _ in range(times):
        command = ["--url", place().store(), "serve", "--port", "0", "--processes", str(PROCESSES)]
        with served("mainspring", *command) as port:
            gap, errors = _replaced(port)
            gaps.append(gap)
            failed.append(float(errors))
    return [
        *figures,
        Figure("kill -9 of one of 2 processes, until replaced", "s", gaps),
        Figure("… requests that failed meanwhile", "", failed),
    ]


def _waiting(way: str, times: int) -> list[Figure]:
    memory, empty, told, missed = [], [], [], []
    alone, beside = [], []
    for _ in range(times):
        with fresh() as app, served("mainspring", "--url", app.url, "serve", "--port", "0") as port:
            alone.append(asyncio.run(times_of_others(port)))
            empty.append(pss(pid(port)) / 1e6)
            kept, took, lost, theirs = asyncio.run(_crowd(app, port, WAYS[way]))
            memory.append(kept)
            told.append(took)
            missed.append(float(lost))
            beside.append(theirs)
    crowd = f"{CROWD:,} {way}"
    held = Figure(f"{crowd}, PSS of the server", "MB", memory)
    held.beside = {"before": Figure("", "", empty).median}
    figures = [held]
    for percent in (50, 95):
        before, after = ([percentile(run, percent) for run in runs] for runs in (alone, beside))
        figure = Figure(f"{crowd}, p{percent} of others", "ms", after, f"{OTHERS} requests each")
        without = Figure("", "", before).median
        figure.beside = {"without": without, "ratio": figure.median / without}
        figures.append(figure)
    return [
        *figures,
        Figure(f"{crowd}, until all were told", "s", told),
        Figure(f"{crowd}, not told", "", missed),
    ]


async def _crowd(app: Mainspring, port: int, path: str) -> tuple[float, float, int, list[float]]:
    app.pause("default")
    ids = [job.id for job in app.enqueue_many(noop.job(n, "") for n in range(CROWD))]
    waiting: list[asyncio.Task[bool]] = []
    for at in range(0, CROWD, AT_ONCE):
        some = [_Waiter(port, f"/tasks/{id}/{path}") for id in ids[at : at + AT_ONCE]]
        await asyncio.gather(*(each.ask() for each in some))
        waiting += [asyncio.create_task(each.hears()) for each in some]
    await asyncio.sleep(SETTLING)
    kept = pss(pid(port)) / 1e6
    theirs = await times_of_others(port)
    with worker(app):
        began = time.perf_counter()
        app.resume("default")
        done, late = await asyncio.wait(waiting, timeout=LONGEST)
    took = time.perf_counter() - began
    for each in late:
        each.cancel()
    return kept, took, len(waiting) - sum(each.result() for each in done), theirs


class _Waiter:
    """One of the crowd."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._path = path

    async def ask(self) -> None:
        """Connect, and ask."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        head = f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        self._writer.write(head.encode())

    async def hears(self) -> bool:
        """Whether the answer ends by telling that the job has completed."""
        answer = await self._reader.read(-1)
        self._writer.close()
        return b'"status":"completed"' in answer


def _replaced(port: int) -> tuple[float, int]:
    """Seconds until another process answers, and how many requests on new connections failed."""
    before: set[int] = set()
    while len(before) < PROCESSES:
        before.add(pid(port))
    os.kill(min(before), signal.SIGKILL)
    began, failed = time.perf_counter(), 0
    while True:
        try:
            if pid(port) not in before:
                return time.perf_counter() - began, failed
        except OSError:
            failed += 1


def pid(port: int) -> int:
    """Of the process that answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/ready")
        return int(json.loads(connection.getresponse().read())["pid"])
    finally:
        connection.close()
