"""The drain beside the rivals, in one run and in turn: the ratio holds on a noisy machine.

On PostgreSQL, Redis and Valkey everybody is on the same server, mainspring too; SQLite stands
beside the rivals on SQLite and on Redis. Every rival has its own best settings, which
`python -m bench.rivals` prints, and as many jobs as keep it busy for a few seconds. The ratio is
the median of those of each turn. A rival's jobs write 16 bytes to memory each, by which they are
seen: about a microsecond.
"""

import statistics
import sys

from bench.app import noop
from bench.drain import drain
from bench.measure import Figure, place
from bench.rivals import environment
from bench.rivals.contender import Contender
from bench.rivals.contest import attempt, lineup

JOBS = 100_000

BESIDE = {"sqlite": ("redis", "sqlite"), "postgres": ("postgres",), "redis": ("redis",)}
"""On what stores the rivals are, by where mainspring is."""

TRIAL = 2_000
SECONDS = 3.0
MOST = 40_000


def run(times: int) -> list[Figure]:
    """The drain beside rivals on the same server, two workers each, one child in each of ours."""
    here = place()
    names = environment.names(BESIDE[here.kind])
    ours = Figure("drain sync no-ops, 2 workers, in turn with rivals", "jobs/s", [])
    with lineup(names, running={here.kind: here.server}) as rivals:
        jobs = {rival.name: _enough(_rate(rival, TRIAL)) for rival in rivals}
        theirs = {rival.name: _figure(rival, jobs[rival.name]) for rival in rivals}
        ratios: dict[str, list[float]] = {rival.name: [] for rival in rivals}
        for _ in range(times):
            ours.runs.append(drain(noop, 1, JOBS, workers=2))
            for rival in rivals:
                if rate := _rate(rival, jobs[rival.name]):
                    theirs[rival.name].runs.append(rate)
                    ratios[rival.name].append(ours.runs[-1] / rate)
    measured = [figure for figure in theirs.values() if figure.runs]
    for name, figure in theirs.items():
        if figure.runs:
            figure.beside = {"mainspring is faster by": statistics.median(ratios[name])}
    return [ours, *measured]


def _enough(rate: float) -> int:
    """So many jobs that the drain is not over before everybody is at work."""
    return int(max(TRIAL, min(MOST, rate * SECONDS)))


def _figure(rival: Contender, jobs: int) -> Figure:
    told = rival.describe()
    version = rival.entry.requirements[0].partition("==")[2]
    name, _, store = told["title"].partition(" on ")
    words = f"{jobs:,} jobs; {told['settings']['two']}"
    return Figure(f"drain, {name} {version} on {store}", "jobs/s", [], words)


def _rate(rival: Contender, jobs: int) -> float:
    """Jobs a second; 0 if it fell over, which is told."""
    told = attempt("drain", lambda one: one.drain(jobs, processes=2), rival)
    if "error" in told:
        print(f"{rival.name}: {told['error']}", file=sys.stderr)
        return 0.0
    return float(told["drain"]["jobs_per_s"])
