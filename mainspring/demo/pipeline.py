"""A run of the demonstration: the jobs it consists of, and finding it again in the store."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from mainspring import codec
from mainspring.demo import tasks
from mainspring.job import FINAL, HIGHEST_PRIORITY, NewJob, Record, Select, State
from mainspring.store import Store

UNENDED = tuple(state for state in State if state not in FINAL)
PAGE = 1000


class Run(Struct, frozen=True):
    """One run: all its jobs carry `tag`; `root` is the tree, `report` the file that tells of it."""

    tag: str
    root: str
    report: str

    @property
    def jobs(self) -> Select:
        """Every job of the run."""
        return Select(tags=(self.tag,))


def new_run(root: Path, report: Path) -> Run:
    """A run that nothing is stored of yet."""
    return Run(f"run-{time.time_ns() // 1000}", str(root), str(report))


def unfinished_run(store: Store) -> Run | None:
    """The run that was begun here and has not ended."""
    for job in store.find(Select(queues=(tasks.QUEUE,), states=UNENDED), limit=1):
        of_its_run = Select(tags=job.tags or ("",), tasks=(tasks.report.name,))
        for end in store.find(of_its_run, limit=1):
            payload = codec.decode(end.payload)
            return Run(end.tags[0], payload["root"], payload["to"])
    return None


def plan(run: Run, files: Sequence[str]) -> list[NewJob[Any]]:
    """All jobs of a run: three for each file, the report that waits for them, and the odd ones."""
    tags = (run.tag,)
    looks = [
        look.using(tags=tags).job(run.root, file)
        for file in files
        for look in (tasks.parse, tasks.compress, tasks.digest)
    ]
    end = tasks.report.using(tags=tags).job(run.root, run.report)
    return [
        *looks,
        end.after(*looks, run_anyway=True),
        tasks.unsteady.using(tags=tags).job(),
        tasks.delayed.using(tags=tags, delay="1s").job(),
        tasks.unwanted.using(tags=tags, delay="1h").job(),
        tasks.urgent.using(tags=tags, priority=HIGHEST_PRIORITY).job(),
    ]


def cancel_unwanted(store: Store, run: Run) -> None:
    """Cancel the job that nobody wants; nothing if that was done before."""
    unwanted = Select(tags=(run.tag,), tasks=(tasks.unwanted.name,), states=UNENDED)
    store.cancel(unwanted, "nobody wants it")


def records(store: Store, run: Run) -> Iterator[Record]:
    """Every job of the run, the newest first."""
    after = None
    while page := store.find(run.jobs, limit=PAGE, after=after):
        yield from page
        after = page[-1].number


def left(store: Store) -> int:
    """How many jobs have not ended; cheap enough to ask all the time."""
    counts = store.counts().get(tasks.QUEUE, {})
    return sum(counts.get(state, 0) for state in UNENDED)
