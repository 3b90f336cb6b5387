"""A store, an app on it, and workers in this process or with children."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from msgspec import Struct

from mainspring.app import Mainspring
from mainspring.handle import Job
from mainspring.job import State
from mainspring.worker.worker import Worker
from tests.worker.workshop import tasks

E = TypeVar("E", bound=Struct)


def eventually(check: Callable[[], Any], seconds: float = 15) -> Any:
    """The check's first true answer; it fails if there is none in time."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.005)
    return found


def _ended(job: Job[Any]) -> Job[Any] | None:
    now = job.refresh()
    return now if now.state.final else None


class Gate:
    """Two pipes: a job tells that it is there and waits to be let go."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        os.mkfifo(f"{path}.here")
        os.mkfifo(f"{path}.go")

    def __str__(self) -> str:
        return self.path

    def await_arrival(self) -> None:
        """Until a job is there."""
        with open(f"{self.path}.here") as pipe:
            pipe.read()

    def let_go(self) -> None:
        """Let the job that waits go on."""
        with open(f"{self.path}.go", "w"):
            pass


class House:
    """A store in a file, an app on it, and workers of one sort."""

    def __init__(self, folder: Path, in_process: bool, stack: ExitStack) -> None:
        self.folder = folder
        self.in_process = in_process
        self.options: dict[str, Any] = {"app": "tests.worker.workshop:app"}
        self.url = f"sqlite:///{folder}/jobs.db"
        self.app = Mainspring(self.url, tasks)
        self._stack = stack
        self._gates = 0
        stack.callback(self.app.close)

    def worker(self, **options: Any) -> Worker:
        """A worker, not yet started; stopped after the test."""
        wanted: dict[str, Any] = {
            "lease": "5s",
            "grace": "5s",
            "in_process": self.in_process,
            "program": self.app,
        }
        if not self.in_process:
            wanted |= self.options
        store = options.pop("store", self.app.store)
        worker = Worker(store, **wanted | options)
        self._stack.callback(lambda: worker.stop(0))
        return worker

    def start(self, **options: Any) -> Worker:
        """A worker that takes jobs."""
        worker = self.worker(**options)
        worker.start()
        return worker

    def gate(self) -> Gate:
        """A new gate."""
        self._gates += 1
        return Gate(self.folder / f"gate{self._gates}")

    def hear(self, kind: type[E]) -> list[E]:
        """Events of this kind from now on."""
        heard: list[E] = []
        self._stack.callback(self.app.on(kind, heard.append))
        return heard

    def ended(self, *jobs: Job[Any], seconds: float = 15) -> list[Job[Any]]:
        """The jobs, once all have ended."""
        return [eventually(partial(_ended, job), seconds) for job in jobs]

    def state(self, job: Job[Any]) -> State:
        """Where the job stands."""
        return job.refresh().state


@pytest.fixture
def make_house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., House]]:
    monkeypatch.setenv("WORKSHOP_URL", f"sqlite:///{tmp_path}/jobs.db")
    with ExitStack() as stack:
        yield lambda in_process: House(tmp_path, in_process, stack)


@pytest.fixture(params=["in process", "children"])
def house(request: pytest.FixtureRequest, make_house: Callable[..., House]) -> House:
    """Each test twice: jobs in this process, and in children."""
    return make_house(request.param == "in process")


@pytest.fixture
def inside(make_house: Callable[..., House]) -> House:
    """Jobs run in this process."""
    return make_house(True)


@pytest.fixture
def outside(make_house: Callable[..., House]) -> House:
    """Jobs run in children."""
    return make_house(False)
