"""The application under measurement, importable by worker processes as `bench.app:app`."""

import asyncio
import os
import time

from mainspring import Mainspring, Retry, Tasks

FILL = "x" * 80
"""With its number a job's arguments are about 100 bytes of JSON."""

tasks = Tasks()


@tasks.task
def noop(n: int, fill: str) -> None:
    """Does nothing, on a thread."""


@tasks.task
async def anoop(n: int, fill: str) -> None:
    """Does nothing, on the event loop."""


@tasks.task
def pause(seconds: float) -> None:
    """Holds a thread for a while."""
    time.sleep(seconds)


@tasks.task
async def apause(seconds: float) -> None:
    """Waits on the event loop."""
    await asyncio.sleep(seconds)


@tasks.task
def stamp() -> int:
    """When the function began, in nanoseconds of the monotonic clock of this machine."""
    return time.monotonic_ns()


@tasks.task(retry=Retry(max_retries=0))
def hog(seconds: float) -> int:
    """Computes in pure Python without a pause."""
    end, turns = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        turns += sum(range(1000)) > 0
    return turns


@tasks.task(retry=Retry(max_retries=0))
def hold_gil(seconds: float) -> int:
    """Holds the interpreter lock in calls of C code that never give it away."""
    end, turns = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        turns += 3**1_000_000 > 0
    return turns


app = Mainspring(os.environ.get("BENCH_URL", "sqlite:///bench.db"), tasks)
