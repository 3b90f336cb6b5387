"""How measurements are taken and shown: repetitions, medians, a place on disk, a worker."""

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.app import tasks
from bench.places import PLACES, ROOT, Place
from mainspring import Mainspring


@dataclass
class Figure:
    """One measured thing: every repetition, its unit, and what it was measured beside."""

    name: str
    unit: str
    runs: list[float]
    note: str = ""
    beside: dict[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    def line(self) -> str:
        spread = f"{min(self.runs):,.4g} .. {max(self.runs):,.4g}"
        beside = "".join(f"; {name} {value:,.4g}" for name, value in self.beside.items())
        text = f"{self.name:<44} {self.median:>12,.4g} {self.unit:<7} ({spread}; n={len(self.runs)}"
        return f"{text}{beside}){' ' + self.note if self.note else ''}"

    def plain(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "runs": self.runs,
            "note": self.note,
            "beside": self.beside,
        }


_place: Place | None = None


@contextlib.contextmanager
def stores(name: str) -> Iterator[None]:
    """Measure on stores of this kind (see `bench.places`) in the block."""
    global _place
    with PLACES[name]() as _place:
        yield


def place() -> Place:
    """Where the stores are that are measured."""
    assert _place is not None, "measure in a block of `stores`"
    return _place


@contextlib.contextmanager
def fresh() -> Iterator[Mainspring]:
    """A new store."""
    app = Mainspring(place().store(), tasks)
    try:
        yield app
    finally:
        app.close()


@contextlib.contextmanager
def worker(
    app: Mainspring, *options: str, module: str = "bench.app:app"
) -> Iterator[subprocess.Popen[bytes]]:
    """`mainspring worker` in a process of its own, ready to take jobs; stopped at the end."""

    def running() -> int:
        return sum(each.state == "running" for each in app.workers())

    before = running()
    command = [sys.executable, "-m", "mainspring", "--app", module, "--url", app.url]
    process = subprocess.Popen(
        [*command, "worker", *options], env=os.environ | {"BENCH_URL": app.url}, cwd=ROOT
    )
    try:
        wait_until(lambda: running() > before, 20, "a worker")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(40)


def wait_until(holds: Callable[[], bool], seconds: float, what: str) -> float:
    """The time it took until `holds()`; looks every 5 ms."""
    start = time.perf_counter()
    while not holds():
        if time.perf_counter() - start > seconds:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.005)
    return time.perf_counter() - start


def completed(app: Mainspring) -> int:
    """How many jobs have completed."""
    return sum(states["completed"] for states in app.counts().values())


def repeated(times: int, measure: Callable[[], float]) -> list[float]:
    """The measurement, so many times."""
    return [measure() for _ in range(times)]


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
