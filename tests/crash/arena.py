"""Real worker processes on a real file, and hands that kill them."""

import json
import os
import random
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mainspring import Mainspring
from mainspring.job import Select
from tests.crash.history import Ended, Recorder
from tests.crash.workload import tasks

ROOT = Path(__file__).resolve().parents[2]


class Arena:
    """A store, workers on it, and the history of what was done."""

    lease = 1.5
    """Seconds: of what workers claim."""

    def __init__(self, folder: Path, url: str) -> None:
        self.history = folder / "history"
        self.history.mkdir()
        self.url = url
        self.recorder = Recorder(self.history, "arena")
        self.app = Mainspring(self.url, tasks)
        self.workers: list[subprocess.Popen[bytes]] = []
        self.log = folder / "workers.log"

    def start_worker(
        self,
        *options: str,
        within: Sequence[str] = (),
        app: str = "tests.crash.workload:app",
        **env: str,
    ) -> None:
        """Start one; `within` is a command that runs the command after it somewhere else."""
        command = [*within, sys.executable, "-m", "mainspring", "--app", app]
        command += ["--url", self.url, "worker", "--lease", f"{self.lease}s", *options]
        self._start(command, env)

    def start_program(self, code: str, **env: str) -> None:
        """Start a worker that is made by this code."""
        self._start([sys.executable, "-c", code], env)

    def _start(self, command: Sequence[str], more: Mapping[str, str]) -> None:
        env = {"CRASH_HISTORY": str(self.history), "CRASH_URL": self.url}
        env |= {"CRASH_LEASE": str(self.lease)} | more
        with self.log.open("ab") as log:
            self.workers.append(
                subprocess.Popen(command, env=os.environ | env, cwd=ROOT, stdout=log, stderr=log)
            )

    def kill_one(self, chance: random.Random) -> None:
        """SIGKILL to a worker, or to one of its children."""
        worker = chance.choice(self.workers)
        victim = chance.choice([worker.pid, *children(worker.pid)])
        with dying([victim, *children(victim)]):
            self.recorder.record("fault", who=victim)
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                return
        # Until now its threads, and children that follow it, may have begun a last job.
        self.recorder.record("fault", who=victim)
        if victim == worker.pid:
            worker.wait()
            self.workers.remove(worker)

    def wait_until_running(self, workers: int) -> None:
        """Until so many workers take jobs."""
        end = time.monotonic() + 60
        while len([w for w in self.app.workers() if w.state == "running"]) < workers:
            assert time.monotonic() < end, self.log.read_text(errors="replace")
            time.sleep(0.05)

    def has_heard_of_all_since(self, moment: int) -> bool:
        """Whether every worker has told of itself since that moment (microseconds)."""
        heard = [worker for worker in self.app.store.workers() if worker.seen > moment]
        return len(heard) >= len(self.workers)

    def wait_until_done(self, seconds: float) -> None:
        """Until every job has ended; the state of things is told if they do not."""
        if not self.app.wait_until_idle(timeout=seconds):
            log = self.log.read_text(errors="replace")[-3000:]
            raise AssertionError(f"not done after {seconds} s: {self.app.counts()}\n{log}")

    def refused_ends(self) -> int:
        """How many ends workers say that they came too late with."""
        told = re.findall(
            r"lost to another worker: (\d+) job", self.log.read_text(errors="replace")
        )
        return sum(map(int, told))

    def stop(self) -> None:
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            worker.wait(30)
        self.app.close()

    def ended(self) -> list[Ended]:
        """Every job of the store, as the judge wants it."""
        jobs, after = [], None
        while page := self.app.store.find(Select(), limit=1000, after=after):
            for job in page:
                mark = json.loads(job.payload)["mark"]
                errors = self.app.store.history(job.id)
                jobs.append(
                    Ended(
                        mark,
                        str(job.state),
                        job.attempt,
                        job.policy.retry.max_retries,
                        [error.type for error in errors],
                        job.claims,
                        json.loads(job.result) if job.result else None,
                        [error.attempt for error in errors],
                    )
                )
            after = page[-1].number
        return jobs


def children(pid: int) -> list[int]:
    """The process's children, as the kernel tells them."""
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


@contextmanager
def dying(pids: list[int]) -> Iterator[None]:
    """These processes are gone when the block is left without an exception."""
    files = []
    for pid in pids:
        with suppress(ProcessLookupError):
            files.append(os.pidfd_open(pid))
    try:
        yield
        for file in files:
            assert select.select([file], [], [], 10)[0], "a process outlived its SIGKILL"
    finally:
        for file in files:
            os.close(file)


@contextmanager
def arena(folder: Path, url: str) -> Iterator[Arena]:
    place = Arena(folder, url)
    try:
        yield place
    finally:
        place.stop()


def until(seconds: float) -> Iterator[float]:
    """Seconds that have passed, again and again until so many have."""
    start = time.monotonic()
    while (passed := time.monotonic() - start) < seconds:
        yield passed
