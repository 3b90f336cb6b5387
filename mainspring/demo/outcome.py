"""What became of a run, in figures. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from mainspring import codec
from mainspring.demo import tasks
from mainspring.demo.pipeline import Run
from mainspring.durations import SECOND
from mainspring.job import Record, State

SHARES = (50, 95, 99)


def outcome(run: Run, jobs: Iterable[Record], began: int, ended: int) -> dict[str, Any]:
    """The figures of a run, for machines.

    Jobs per second count what ended between `began` and `ended` (wall clock): a run that was
    continued has other jobs, too.
    """
    jobs = list(jobs)
    states = Counter(job.state for job in jobs)
    here = sum(job.finished is not None and job.finished >= began for job in jobs)
    waits = [job.started - (job.due or job.created) for job in jobs if job.started]
    return {
        "files": sum(job.task == tasks.digest.name for job in jobs),
        "jobs": len(jobs),
        "states": {str(state): states[state] for state in State},
        "retries": sum(max(0, job.attempt - 1) for job in jobs),
        "dead_letters": [_dead(job) for job in jobs if job.state == State.FAILED],
        "jobs_just_now": here,
        "seconds": (ended - began) / SECOND,
        "jobs_per_s": here * SECOND / max(1, ended - began),
        "wait_seconds": percentiles(waits),
        "run_seconds": percentiles([job.took for job in jobs if job.took is not None]),
        "urgent_place": _place(jobs),
        "report": run.report,
    }


def percentiles(times: Sequence[int]) -> dict[str, float | None]:
    """p50, p95 and p99 in seconds, each a time that was really measured."""
    ordered = sorted(times)
    return {
        f"p{share}": max(0, ordered[math.ceil(len(ordered) * share / 100) - 1]) / SECOND
        if ordered
        else None
        for share in SHARES
    }


def _dead(job: Record) -> dict[str, Any]:
    error = job.error
    return {
        "number": job.number,
        "task": job.task,
        "file": (codec.decode(job.payload) or {}).get("file"),
        "error": f"{error.type}: {error.message}" if error else job.reason,
    }


def _place(jobs: Sequence[Record]) -> int | None:
    """As which of all jobs the urgent one, inserted last, was started."""
    for job in jobs:
        if job.task == tasks.urgent.name and job.started:
            return 1 + sum(each.started is not None and each.started < job.started for each in jobs)
    return None
