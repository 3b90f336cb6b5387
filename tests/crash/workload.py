"""The application under fire, importable by worker processes. Its tasks write down what they do."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from mainspring import Mainspring, Retry, Tasks, current
from tests.crash.history import Recorder

tasks = Tasks()
_recorder: Recorder | None = None

PATIENT = Retry(max_retries=20, backoff="fixed", base=0.05)
BRIEF = Retry(max_retries=2, backoff="fixed", base=0.05)


def recorder() -> Recorder:
    global _recorder
    if _recorder is None:
        _recorder = Recorder(Path(os.environ["CRASH_HISTORY"]), "task")
    return _recorder


def record(op: str, mark: str, **facts: Any) -> None:
    """Write down what happens to this job, under which claim, in which attempt, and where."""
    its = {"claim": current().claims, "attempt": current().attempt}
    where = {"pid": os.getpid(), "parent": os.getppid()}
    recorder().record(op, mark=mark, **its, **where, wall=time.time(), **facts)


def begin(mark: str, fails: int) -> None:
    record("begin", mark)
    if current().attempt <= fails:
        record("raised", mark)
        raise ValueError("as it was told to")


def end(mark: str) -> int:
    record("end", mark)
    return current().claims


@tasks.task(retry=PATIENT)
def note(mark: str, seconds: float = 0.0, fails: int = 0) -> int:
    """Writes down its begin and end, with some work between; fails in its first attempts."""
    begin(mark, fails)
    time.sleep(seconds)
    return end(mark)


@tasks.task(retry=PATIENT)
async def anote(mark: str, seconds: float = 0.0, fails: int = 0) -> int:
    """The same on an event loop."""
    begin(mark, fails)
    await asyncio.sleep(seconds)
    return end(mark)


@tasks.task(retry=PATIENT, runs_in="process")
def pnote(mark: str, seconds: float = 0.0, fails: int = 0) -> int:
    """The same in a process of its own kind."""
    begin(mark, fails)
    time.sleep(seconds)
    return end(mark)


@tasks.task(retry=PATIENT)
def held(mark: str, gate: str) -> int:
    """Under its first claim it does not come to its end before there is a file at the gate."""
    begin(mark, 0)
    while current().claims == 1 and not os.path.exists(gate):
        time.sleep(0.01)
    return end(mark)


@tasks.task(retry=BRIEF)
def killer(mark: str) -> None:
    """Kills the process it runs in."""
    record("begin", mark)
    recorder().record("fault", mark=mark)
    os.kill(os.getpid(), signal.SIGKILL)


@tasks.task(retry=BRIEF)
def innocent(mark: str) -> int:
    """Runs beside the killer, with as few attempts."""
    record("begin", mark)
    time.sleep(0.02)
    return end(mark)


app = Mainspring(os.environ.get("CRASH_URL", "sqlite://:memory:"), tasks)
