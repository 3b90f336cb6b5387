"""What really happened, written down by everyone who took part, and the judge of it.

Each process appends JSON lines to a file of its own, one `write` an event, so a kill leaves at
most one torn last line. Times are of the monotonic clock, which all processes of a machine share.
The judge knows the promises and no store: it convicts only what no honest run could have shown.
"""

import itertools
import json
import os
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Recorder:
    """Appends facts: `record(op, mark=..., ...)`."""

    def __init__(self, folder: Path, who: str) -> None:
        path = folder / f"{who}-{os.getpid()}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def record(self, op: str, **facts: Any) -> None:
        facts |= {"t": time.monotonic_ns(), "op": op}
        os.write(self._file, json.dumps(facts).encode() + b"\n")


def read(folder: Path) -> list[dict[str, Any]]:
    """All facts in order of time; a torn last line is left out."""
    facts = []
    for path in folder.glob("*.jsonl"):
        for line in path.read_bytes().split(b"\n"):
            try:
                facts.append(json.loads(line))
            except ValueError:
                continue
    return sorted(facts, key=lambda fact: fact["t"])


@dataclass
class Ended:
    """A job as the store tells it when all is over."""

    mark: str
    state: str
    attempt: int
    max_retries: int
    errors: list[str]


@dataclass
class Verdict:
    """Sentences about broken promises (none is good), and how much was seen."""

    broken: list[str] = field(default_factory=list)
    inserted: int = 0
    begun: int = 0
    again: int = 0
    faults: int = 0
    refused: int = 0


def judge(facts: list[dict[str, Any]], ended: list[Ended]) -> Verdict:
    """Hold the history against the promises.

    Facts: `inserted` (acknowledged), `refused` (not), `begin` and `end` (by the task itself),
    `fault` (a kill).
    """
    verdict = Verdict()
    jobs = defaultdict(list)
    for job in ended:
        jobs[job.mark].append(job)
    inserted = [fact["mark"] for fact in facts if fact["op"] == "inserted"]
    begins, ends = defaultdict(list), defaultdict(list)
    for fact in facts:
        if fact["op"] == "begin":
            begins[fact["mark"]].append(fact["t"])
        elif fact["op"] == "end":
            ends[fact["mark"]].append(fact["t"])
    faults = [fact["t"] for fact in facts if fact["op"] == "fault"]
    verdict.inserted, verdict.faults = len(inserted), len(faults)
    verdict.refused = sum(fact["op"] == "refused" for fact in facts)
    verdict.begun = sum(map(len, begins.values()))
    for mark in inserted:
        _no_loss(mark, jobs[mark], ends[mark], verdict)
    for mark, its_begins in begins.items():
        verdict.again += len(its_begins) - 1
        for job in jobs[mark]:
            _attempts(job, its_begins, verdict)
        _explained(mark, its_begins, faults, verdict)
    return verdict


def _no_loss(mark: str, jobs: list[Ended], ends: list[int], verdict: Verdict) -> None:
    if len(jobs) != 1:
        verdict.broken.append(f"{mark}: acknowledged once, {len(jobs)} jobs in the store")
        return
    job = jobs[0]
    if job.state not in ("completed", "failed", "cancelled"):
        verdict.broken.append(f"{mark}: still {job.state} after everything was worked off")
    if job.state == "completed" and not ends:
        verdict.broken.append(f"{mark}: completed, but its function never reached its end")


def _attempts(job: Ended, begins: list[int], verdict: Verdict) -> None:
    if job.attempt > job.max_retries + 1:
        verdict.broken.append(
            f"{job.mark}: {job.attempt} attempts, {job.max_retries + 1} are allowed"
        )
    if len(begins) > job.attempt:
        verdict.broken.append(f"{job.mark}: begun {len(begins)} times in {job.attempt} attempts")
    settled = len(job.errors) + (job.state == "completed")
    if settled != job.attempt:
        verdict.broken.append(
            f"{job.mark}: {job.attempt} attempts, but {settled} accepted ends of one"
        )


def _explained(mark: str, begins: list[int], faults: list[int], verdict: Verdict) -> None:
    for first, second in itertools.pairwise(begins):
        if not any(first < fault < second for fault in faults):
            verdict.broken.append(f"{mark}: begun again although nothing was killed in between")
