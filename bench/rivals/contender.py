"""A contender: one rival, ready to be measured by the same workloads as everybody."""

import time
from dataclasses import dataclass
from typing import Any

from bench.rivals.environment import Entry
from bench.rivals.errors import RivalFailed
from bench.rivals.kill_check import KillCheck
from bench.rivals.site import Site

DRAIN_LIMIT = 10.0
"""Seconds after which a drain is cut short; its rate is then that of the jobs done so far."""
SLEEPS = 2000
SLEEPS_LIMIT = 60.0
SINGLES = 2000
LATENCIES = 200
LATENCY_GAP = 0.02
LATENCY_LIMIT = 15.0


@dataclass
class Contender:
    """Every method is one measurement, starts from an empty store, and leaves no worker running.

    All raise RivalFailed if the rival's own processes end or do not start to work.
    """

    entry: Entry
    site: Site
    kill_check: KillCheck

    @property
    def name(self) -> str:
        return self.entry.name

    def describe(self) -> dict[str, Any]:
        """Its title, what is installed for it, and its settings in words."""
        versions = list(self.entry.requirements)
        return {"rival": self.name, "versions": versions, **self.site.ask("describe")}

    def single(self, jobs: int = SINGLES) -> float:
        """Enqueued jobs per second, one call after the other, no worker running."""
        self.site.clear()
        return jobs / float(self.site.ask("enqueue", task="noop", jobs=jobs))

    def drain(self, jobs: int, processes: int) -> dict[str, Any]:
        """Enqueue `jobs` no-ops in bulk, then let one or two worker processes run them.

        Gives `bulk_per_s`, `jobs_per_s` (from the first start to the last completion the rival has
        written down), `done`, and `repeated`: how many started more than once.
        """
        self.site.clear()
        filling = float(self.site.ask("fill", task="noop", jobs=jobs))
        with self.site.start_workers("one" if processes == 1 else "two") as workers:
            whole = self.site.wait_for_marks(workers, jobs, DRAIN_LIMIT)
            marks = self.site.marks()
            ended = marks[-1][1]
            if whole and self.site.ask("unfinished"):
                if not self.site.wait_until_finished(workers, DRAIN_LIMIT):
                    raise RivalFailed("every job was run, but the store still holds some")
                ended = time.monotonic_ns()
        done = len({number for number, _ in marks})
        return {
            "bulk_per_s": jobs / filling,
            "jobs_per_s": done / seconds_between(marks[0][1], ended),
            "done": done,
            "repeated": len(marks) - done,
        }

    def latency(self, jobs: int = LATENCIES) -> dict[str, float]:
        """`p50_ms` and `p99_ms` from before the call to the job's first line, workers idle."""
        self.site.clear()
        with self.site.start_workers("two") as workers:
            self.site.settle(workers)
            began = self.site.ask("trickle", task="noop", jobs=jobs, gap=LATENCY_GAP)
            if not self.site.wait_for_marks(workers, 1 + jobs, LATENCY_LIMIT):
                raise RivalFailed(f"not all of {jobs} jobs started within {LATENCY_LIMIT:.0f} s")
            started = dict(self.site.marks()[1:])
        waits = sorted((started[number] - at) / 1e6 for number, at in enumerate(began))
        return {"p50_ms": percentile(waits, 0.50), "p99_ms": percentile(waits, 0.99)}

    def sleeps(self) -> dict[str, Any]:
        """2,000 jobs of 0.1 s: `seconds` from the first start to the last end, and how many `done`.

        `seconds` is None if they were not done within SLEEPS_LIMIT.
        """
        self.site.clear()
        self.site.ask("fill", task="nap", jobs=SLEEPS)
        with self.site.start_workers("sleeps") as workers:
            whole = self.site.wait_for_marks(workers, 2 * SLEEPS, SLEEPS_LIMIT)
        marks = self.site.marks()
        done = len({number for number, _ in marks if number < 0})
        seconds = seconds_between(marks[0][1], marks[-1][1]) if whole else None
        return {"seconds": seconds, "done": done}


def seconds_between(began: int, ended: int) -> float:
    return max(1, ended - began) / 1e9


def percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]
