"""The command line as tests use it: in this process where that will do, else as a program."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mainspring import Mainspring, Retry, Tasks
from mainspring.cli import run

ROOT = Path(__file__).resolve().parents[2]
URL = "sqlite:///jobs.db"


@dataclass
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Said]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and an environment that says nothing but where the library is."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MAINSPRING_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process."""

    def call(*arguments: object) -> Said:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        return Said(code, *capsys.readouterr())

    return call


@pytest.fixture
def program() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a command as a program of its own; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "mainspring", *map(str, arguments)]
        pipe = subprocess.PIPE
        options = {"stdin": pipe, "stdout": pipe, "stderr": pipe, "text": True} | options
        started.append(subprocess.Popen(command, **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def app() -> Iterator[Mainspring]:
    """An app over `jobs.db`, with a task that doubles numbers and fails for others."""
    tasks = Tasks()

    @tasks.task(retry=Retry(never_on=(ValueError,)))
    def double(n: int) -> int:
        if n < 0:
            raise ValueError(f"{n} is below zero")
        return 2 * n

    with Mainspring(URL, tasks) as app:
        app.counts()
        yield app


def worked_off(app: Mainspring) -> None:
    """Run everything that waits."""
    with app.worker(in_process=True):
        assert app.wait_until_idle(20)
