"""The figures that monitor and stats show, computed from what a store tells. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mainspring.durations import SECOND
from mainspring.job import Reason, Record, State
from mainspring.store import Counts, Minute, Presence, QueueInfo

SHARES = (50, 95, 99)


def percentile(histogram: Mapping[int, int], share: float) -> float | None:
    """About the time (microseconds) below which `share` percent of all lie, None if there are none.

    The histogram maps bit lengths to numbers, so a time is known within a factor of two: this is
    the geometric middle, at most 1.42 times off, and rounded to the two digits that it is worth.
    """
    rank = sum(histogram.values()) * share / 100
    for bits in sorted(histogram):
        if histogram[bits] and rank <= histogram[bits]:
            return float(f"{2 ** (bits - 0.5):.1e}") if bits else 0.0
        rank -= histogram[bits]
    return None


class Summary:
    """Minutes of history added up."""

    def __init__(self, minutes: Iterable[Minute]) -> None:
        self.started = self.completed = self.failed = self.retried = self.ran = self.waited = 0
        self.wait: Counter[int] = Counter()
        self.run: Counter[int] = Counter()
        for minute in minutes:
            self.started += minute.started
            self.completed += minute.completed
            self.failed += minute.failed
            self.retried += minute.retried
            self.ran += minute.ran
            self.waited += minute.waited
            self.wait.update(minute.wait_histogram)
            self.run.update(minute.run_histogram)

    @property
    def average_run(self) -> float | None:
        """Microseconds that an attempt took, on average; None if none ended."""
        ended = sum(self.run.values())
        return self.ran / ended if ended else None

    def percentiles(self) -> list[float | None]:
        """p50, p95 and p99 of waiting, then of running, in microseconds."""
        return [percentile(of, share) for of in (self.wait, self.run) for share in SHARES]

    def as_json(self) -> dict[str, Any]:
        """All of it, for machines; times in seconds."""
        average = self.average_run
        return {
            "started": self.started,
            "completed": self.completed,
            "failed": self.failed,
            "retried": self.retried,
            "average_run_seconds": None if average is None else average / SECOND,
            "wait_seconds": _named(self.percentiles()[:3]),
            "run_seconds": _named(self.percentiles()[3:]),
        }


def _named(values: Sequence[float | None]) -> dict[str, float | None]:
    return {
        f"p{share}": None if value is None else value / SECOND
        for share, value in zip(SHARES, values, strict=True)
    }


def by_task(minutes: Iterable[Minute]) -> dict[str, Summary]:
    """A summary for each task, by name."""
    grouped: dict[str, list[Minute]] = {}
    for minute in minutes:
        grouped.setdefault(minute.task, []).append(minute)
    return {task: Summary(grouped[task]) for task in sorted(grouped)}


def totals(counts: Counts) -> dict[State, int]:
    """Numbers of jobs by state, over all queues."""
    return {state: sum(of.get(state, 0) for of in counts.values()) for state in State}


def unknown_tasks(scheduled: Iterable[Record]) -> dict[str, int]:
    """How many of these jobs wait because no worker knows their task, by task."""
    found = Counter(job.task for job in scheduled if job.reason == Reason.UNKNOWN_TASK)
    return dict(sorted(found.items()))


def frame(
    counts: Counts,
    queues: Sequence[QueueInfo],
    workers: Sequence[Presence],
    minutes: Sequence[Minute],
    scheduled: Iterable[Record] = (),
    *,
    now: int,
) -> dict[str, Any]:
    """One picture of the queue, for machines and as the source of the monitor's text."""
    total = totals(counts)
    average = Summary(minutes).average_run
    paused = {queue.name for queue in queues if queue.paused}
    by_hand = {queue.name for queue in queues if queue.by_hand}
    return {
        "queue_length": total[State.PENDING],
        "running_tasks": total[State.RUNNING],
        "busy_slots": sum(worker.busy for worker in workers),
        "slots": sum(worker.slots for worker in workers),
        "average_process_seconds": None if average is None else average / SECOND,
        "unknown_tasks": unknown_tasks(scheduled),
        "queues": {
            name: {str(state): n for state, n in of.items()}
            | {"paused": name in paused, "by_hand": name in by_hand}
            for name, of in sorted(counts.items())
        },
        "workers": [of_worker(worker, now) for worker in workers],
    }


def of_worker(worker: Presence, now: int) -> dict[str, Any]:
    """How a worker does, for machines."""
    return {
        "id": worker.id,
        "host": worker.host,
        "pid": worker.pid,
        "state": worker.state,
        "utilisation": worker.utilisation,
        "busy": worker.busy,
        "slots": worker.slots,
        "processed": worker.processed,
        "failed": worker.failed,
        "children": worker.children,
        "seen_seconds_ago": max(0, now - worker.seen) / SECOND,
        "queues": worker.queues,
        "current": worker.current,
        "last": worker.last,
    }
