"""A file of the engine's own, and programs that run beside the test."""

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mainspring.engines import open_store
from mainspring.store import Store

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{path}")
    yield store
    store.close()


@pytest.fixture
def run() -> Run:
    """Run a Python program to its end and return what it said; `mounts` lets it mount things."""

    def run(program: str, *arguments: object, mounts: bool = False) -> subprocess.CompletedProcess:  # type: ignore[type-arg]
        command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
        if mounts:
            command = ["unshare", "--map-root-user", "--mount", *command]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done

    return run
