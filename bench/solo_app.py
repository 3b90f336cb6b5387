"""An application whose tasks run in processes of their own: `bench.solo_app:app`."""

import os
import time

from mainspring import Mainspring, Retry, Tasks, current

tasks = Tasks()


@tasks.task(runs_in="process")
def noop(n: int, fill: str) -> None:
    """Does nothing."""


@tasks.task(runs_in="process")
def crunch(rounds: int) -> int:
    """Computes in pure Python."""
    return sum(n * n % 7 for n in range(rounds))


@tasks.task(runs_in="process", retry=Retry(base=0.001, jitter=False))
def whoami() -> int:
    """The process this runs in."""
    return os.getpid()


@tasks.task(retry=Retry(base=0.001, jitter=False))
def hold() -> int:
    """Stays for good in its first claim; in the second tells when that began (monotonic ns)."""
    if current().claims == 1:
        time.sleep(600)
    return time.monotonic_ns()


app = Mainspring(os.environ.get("BENCH_URL", "sqlite:///bench.db"), tasks)
