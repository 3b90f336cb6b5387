"""A site: one store of a rival, the producer that fills it, and the marks of the jobs it runs."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.rivals.environment import INSIDE
from bench.rivals.errors import RivalFailed
from bench.rivals.inside.workload import count_marks, read_marks
from bench.rivals.processes import Workers, tail

START_LIMIT = 30.0
"""Seconds from the start of a worker to its first job."""

SETTLING = 2.0
"""Seconds after the first job until every process is up and done with its chores at the start.

RQ, for one, loses its upkeep for 15 minutes if it is killed while it does that.
"""


class Site:
    """As a context manager it leaves neither producer nor workers behind."""

    def __init__(self, name: str, environment: Path, store: str, folder: Path, marks: Path) -> None:
        self.marks_file = marks
        marks.touch()
        folder.mkdir(parents=True)
        self._log = folder / "log"
        self._variables = {
            **os.environ,
            "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONPATH": str(INSIDE),
            "RIVAL_STORE": store,
            "RIVAL_MARKS": str(marks),
        }
        with self._log.open("ab") as output:
            self._producer = subprocess.Popen(
                [str(environment / "bin" / "python"), str(INSIDE / "producer.py"), f"on_{name}"],
                env=self._variables,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                start_new_session=True,
            )

    def __enter__(self) -> "Site":
        return self

    def __exit__(self, *_: object) -> None:
        self._producer.kill()
        self._producer.communicate()

    def ask(self, call: str, **arguments: object) -> Any:
        """Have the producer do something; its answer. Raises RivalFailed if it could not."""
        assert self._producer.stdin is not None
        assert self._producer.stdout is not None
        try:
            self._producer.stdin.write(json.dumps({"call": call, **arguments}) + "\n")
            self._producer.stdin.flush()
            answer = self._producer.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise RivalFailed(f"{call} failed:\n{tail(self._log)}")
        return json.loads(answer)

    def clear(self) -> None:
        """Forget all jobs and marks. No worker is running."""
        self.ask("prepare")
        os.truncate(self.marks_file, 0)

    def start_workers(self, use: str) -> Workers:
        return Workers(self.ask("workers", use=use), self._variables, self._log)

    def settle(self, workers: Workers) -> None:
        """Wait until the workers are up and idle: one job is run, and its mark made."""
        self.ask("enqueue", task="noop", jobs=1)
        self.wait_for_marks(workers, 1, 0)
        time.sleep(SETTLING)

    def marks(self) -> list[tuple[int, int]]:
        return read_marks(self.marks_file)

    def wait_for_marks(self, workers: Workers, count: int, limit: float) -> bool:
        """Wait until there are `count` marks, at most `limit` seconds from the first one on.

        Raises RivalFailed if there is no mark at all in START_LIMIT seconds, or a worker ended.
        """
        if not self._wait(workers, lambda: count_marks(self.marks_file) > 0, START_LIMIT):
            raise RivalFailed(f"no job was run in {START_LIMIT:.0f} s:\n{tail(self._log)}")
        return self._wait(workers, lambda: count_marks(self.marks_file) >= count, limit)

    def wait_until_finished(self, workers: Workers, limit: float) -> bool:
        """Wait until the rival itself has written down that all its jobs are done."""
        return self._wait(workers, lambda: self.ask("unfinished") == 0, limit)

    def _wait(self, workers: Workers, done: Callable[[], bool], limit: float) -> bool:
        deadline = time.monotonic() + limit
        while not done():
            workers.check()
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True
