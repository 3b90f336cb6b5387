"""What many who wait over HTTP cost, whether each of them hears of its job, and how soon a server
process that was killed is replaced."""

import asyncio
import json
import os
import signal
import time
from http.client import HTTPConnection

from bench.app import noop
from bench.footprint import pss
from bench.measure import Figure, fresh, place, worker
from bench.server import served
from mainspring import Mainspring

WAITS, STREAMS = 2000, 500
"""Open `GET /tasks/{id}/wait`, and open streams of Server-Sent Events."""

SETTLING = 8.0
LONGEST = 60.0
"""Seconds until all are open, and until the last of them must have heard."""

PROCESSES = 2


def run(times: int) -> list[Figure]:
    """Memory of the server with all of them open, how long until all were told, and how many were
    not; the time without one of two processes after a `kill -9`, and what failed meanwhile."""
    memory, told, missed = [], [], []
    gaps, failed = [], []
    for _ in range(times):
        with fresh() as app, served("mainspring", "--url", app.url, "serve", "--port", "0") as port:
            kept, took, lost = asyncio.run(_crowd(app, port))
            memory.append(kept)
            told.append(took)
            missed.append(float(lost))
        store = place().store()
        command = ["--url", store, "serve", "--port", "0", "--processes", str(PROCESSES)]
        with served("mainspring", *command) as port:
            gap, errors = _replaced(port)
            gaps.append(gap)
            failed.append(float(errors))
    crowd = f"{WAITS:,} waits and {STREAMS} streams"
    return [
        Figure(f"{crowd}, PSS of the server", "MB", memory),
        Figure(f"{crowd}, until all were told", "s", told),
        Figure(f"{crowd}, not told", "", missed),
        Figure("kill -9 of one of 2 processes, until replaced", "s", gaps),
        Figure("… requests that failed meanwhile", "", failed),
    ]


async def _crowd(app: Mainspring, port: int) -> tuple[float, float, int]:
    app.pause("default")
    ids = [job.id for job in app.enqueue_many(noop.job(n, "") for n in range(WAITS + STREAMS))]
    paths = [f"/tasks/{id}/wait?timeout=300" for id in ids[:WAITS]]
    paths += [f"/tasks/{id}/events" for id in ids[WAITS:]]
    waiting = [asyncio.create_task(_hears(port, path)) for path in paths]
    await asyncio.sleep(SETTLING)
    kept = pss(_pid(port)) / 1e6
    with worker(app):
        began = time.perf_counter()
        app.resume("default")
        done, late = await asyncio.wait(waiting, timeout=LONGEST)
    took = time.perf_counter() - began
    for each in late:
        each.cancel()
    return kept, took, len(waiting) - sum(each.result() for each in done)


async def _hears(port: int, path: str) -> bool:
    """Whether the answer ends by telling that the job has completed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    writer.write(head.encode())
    answer = await reader.read(-1)
    writer.close()
    return b'"status":"completed"' in answer


def _replaced(port: int) -> tuple[float, int]:
    """Seconds until another process answers, and how many requests on new connections failed."""
    before: set[int] = set()
    while len(before) < PROCESSES:
        before.add(_pid(port))
    os.kill(min(before), signal.SIGKILL)
    began, failed = time.perf_counter(), 0
    while True:
        try:
            if _pid(port) not in before:
                return time.perf_counter() - began, failed
        except OSError:
            failed += 1


def _pid(port: int) -> int:
    """Of the process that answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/ready")
        return int(json.loads(connection.getresponse().read())["pid"])
    finally:
        connection.close()
