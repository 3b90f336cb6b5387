"""The application under fire, importable by worker processes. Its tasks write down what they do."""

import os
import signal
import time
from pathlib import Path

from mainspring import Mainspring, Retry, Tasks
from tests.crash.history import Recorder

tasks = Tasks()
_recorder: Recorder | None = None


def recorder() -> Recorder:
    global _recorder
    if _recorder is None:
        _recorder = Recorder(Path(os.environ["CRASH_HISTORY"]), "task")
    return _recorder


@tasks.task(retry=Retry(max_retries=20, backoff="fixed", base=0.05))
def note(mark: str, seconds: float = 0.0) -> str:
    """Writes down its begin and end, with some work between."""
    recorder().record("begin", mark=mark)
    time.sleep(seconds)
    recorder().record("end", mark=mark)
    return mark


@tasks.task(retry=Retry(max_retries=2, backoff="fixed", base=0.05))
def killer(mark: str) -> None:
    """Kills the process it runs in."""
    recorder().record("begin", mark=mark)
    recorder().record("fault", mark=mark)
    os.kill(os.getpid(), signal.SIGKILL)


@tasks.task(retry=Retry(max_retries=2, backoff="fixed", base=0.05))
def innocent(mark: str) -> str:
    """Runs beside the killer, with as few attempts."""
    recorder().record("begin", mark=mark)
    time.sleep(0.02)
    recorder().record("end", mark=mark)
    return mark


app = Mainspring(os.environ.get("CRASH_URL", "sqlite://:memory:"), tasks)
