"""Host: the place where jobs run. Takes orders, deals jobs to the ways of running, reports.

A child process has one; with `in_process=True` the worker's own process has it.
"""

import threading
import time
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, TypeAlias, cast

from mainspring.job import Cancelled, Claimed, TaskUnknown
from mainspring.worker.child.backlog import Entry, fed
from mainspring.worker.child.batches import Batch
from mainspring.worker.child.program import BatchRunnable, Kind, Program, Runnable
from mainspring.worker.child.reporter import Reporter
from mainspring.worker.child.runner import Runner
from mainspring.worker.child.solo import Solo
from mainspring.worker.child.threads import Threads
from mainspring.worker.link.board import Marks
from mainspring.worker.link.wire import (
    Drop,
    Feed,
    Hello,
    News,
    Order,
    Quit,
    Recall,
    Slow,
    Stop,
    Worn,
)

if TYPE_CHECKING:
    from mainspring.worker.child.aio import Aio

Way: TypeAlias = "Threads | Aio | Batch | Solo"

Kinds: TypeAlias = Mapping[Kind, Kind]
"""How the tasks of each kind run at a place; those of other kinds are run elsewhere."""

SHARED: Kinds = {"thread": "thread", "async": "async", "batch": "batch"}
SOLO: Kinds = {"process": "process"}
INSIDE: Kinds = {**SHARED, "process": "thread"}

TICK = 0.05
"""Seconds between two looks at time limits and at what waits, while there is work."""

STALE = 200_000_000
"""Nanoseconds a job waits here for a free place before it is given back."""

SLOW = 5_000_000_000
"""Nanoseconds after which it is told where a job is."""

SLOW_PAUSE = 2.0
"""Seconds between two looks at where it is."""

LAST_WORDS = 1.0
"""Seconds that cancelled functions have to end when the host quits."""


class Host:
    """Runs jobs of a program, each the way of its task. `solo` makes the way that is the main
    thread, where there is one."""

    def __init__(
        self,
        program: Program,
        tell: Callable[[News], None],
        marks: Marks,
        *,
        worker: str,
        threads: int,
        tasks: int,
        lease: int,
        kinds: Kinds,
        solo: Callable[[Runner], Solo] | None = None,
    ) -> None:
        self._program = program
        self._tell = tell
        self._kinds = kinds
        self._make_solo = solo
        self._sizes = {"thread": threads, "async": tasks, "process": 1}
        self._reporter = Reporter(tell, self._waited, lambda: program.store, lease)
        self._runner = Runner(program, self._reporter, marks, worker)
        self._ways: dict[str, Way] = {}
        self._way_of: dict[str, Way] = {}
        self._is_worn = False
        self._look_at = 0.0
        self._work = threading.Event()
        self._closed = threading.Event()
        for name, task in program.tasks.items():
            if task.kind in kinds:
                self._learn(name, task)
        self._warden = threading.Thread(target=self._watch, name="mainspring-warden", daemon=True)
        self._warden.start()

    def hello(self) -> Hello:
        """What can be run here."""
        tasks = self._program.tasks
        kinds = {name: self._kinds.get(task.kind, task.kind) for name, task in tasks.items()}
        here = {kinds[name] for name in self._runner.recipes}
        batches = (way.size for way in self._ways.values() if isinstance(way, Batch))
        slots = {**self._sizes, "batch": sum(batches)}
        places: dict[str, int] = {kind: slots[kind] for kind in here}
        key = self._program.api_key
        return Hello(dict(kinds), places, self._program.url, api_key=key)

    def receive(self, order: Order) -> None:
        """Do what the parent says. Called by one thread."""
        match order:
            case Feed():
                self._feed(order)
            case Recall(numbers=numbers):
                wanted = None if numbers is None else set(numbers)
                for way in self._ways.values():
                    self._give_back(way.backlog.recall(wanted))
            case Stop(numbers=numbers):
                for number in numbers:
                    self._stop(number)
            case Drop(tokens=tokens):
                for way in self._ways.values():
                    way.drop(set(tokens))
            case Quit():
                self.quit()

    def quit(self) -> None:
        """Give back what has not begun, stop what runs, report, and end."""
        deadline = time.monotonic() + LAST_WORDS
        for way in self._ways.values():
            self._give_back(way.backlog.recall(None))
            way.stop_all()
        while self._busy and time.monotonic() < deadline:
            time.sleep(0.005)
        self._closed.set()
        self._work.set()
        for way in self._ways.values():
            way.close()
        self._reporter.close()

    def disown(self) -> None:
        """In a fork of this process, made by a function that runs here: run and tell nothing."""
        self._runner.is_copy = True
        for way in self._ways.values():
            way.forget()

    def _learn(self, name: str, task: Runnable) -> None:
        task.resolve()
        self._runner.learn(name, task)
        way = task.name if task.kind == "batch" else self._kinds[task.kind]
        if way not in self._ways:
            self._ways[way] = self._way(task)
        self._way_of[name] = self._ways[way]

    def _way(self, task: Runnable) -> Way:
        match self._kinds[task.kind]:
            case "process":
                assert self._make_solo is not None
                return self._make_solo(self._runner)
            case "thread":
                return Threads(self._runner, self._sizes["thread"], self._worn)
            case "async":
                # asyncio takes as long to import as all the rest; many apps do without.
                from mainspring.worker.child.aio import Aio

                return Aio(self._runner, self._sizes["async"], self._worn)
            case "batch":
                return Batch(self._runner, cast(BatchRunnable, task), self._worn)

    def _feed(self, feed: Feed) -> None:
        self._reporter.taken(feed.taken)
        if not feed.jobs:
            return
        self._runner.attend()
        entries = self._known(fed(feed.jobs, feed.spots, time.monotonic_ns()))
        if len(self._ways) == 1:
            [way] = self._ways.values()
            way.feed(entries)
        else:
            sorted_out: dict[Way, list[Entry]] = {}
            for entry in entries:
                sorted_out.setdefault(self._way_of[entry[0].task], []).append(entry)
            for way, mine in sorted_out.items():
                way.feed(mine)
        if not self._work.is_set():
            self._work.set()

    def _known(self, entries: list[Entry]) -> list[Entry]:
        """The jobs of tasks, and versions of them, that are known here: another child may have
        imported a newer app, and so may whoever enqueues."""
        knows = self._runner.knows
        cases = {(job.task, job.policy) for job, _, _ in entries}  # a feed has few of them
        if not (unknown := {case for case in cases if not knows(*case)}):
            return entries
        known: list[Entry] = []
        for entry in entries:
            job = entry[0]
            if (job.task, job.policy) in unknown:
                self._runner.end(job, 0, TaskUnknown())
            else:
                known.append(entry)
        return known

    def _stop(self, number: int) -> None:
        """Somebody asked to cancel this job: at once if it has not begun."""
        for way in self._ways.values():
            for job in way.backlog.recall({number}):
                self._runner.end(job, 0, Cancelled("cancelled before it began"))
            if way.stop(number):
                return

    def _give_back(self, jobs: list[Claimed], *, stale: bool = False) -> None:
        if jobs:
            self._reporter.give_back([job.number for job in jobs], stale=stale)

    def _worn(self, reason: str) -> None:
        if not self._is_worn:
            self._is_worn = True
            self._tell(Worn(reason))

    @property
    def solo(self) -> Solo | None:
        """The way that is the main thread, if there is one."""
        way = self._ways.get("process")
        return way if isinstance(way, Solo) else None

    @property
    def _busy(self) -> bool:
        return any(way.busy for way in self._ways.values())

    def _watch(self) -> None:
        """The warden: time limits, and jobs that wait too long, while there is work."""
        while not self._closed.is_set():
            self._work.wait()
            self._work.clear()
            while self._busy and not self._closed.wait(TICK):
                for way in self._ways.values():
                    way.sweep()
                    self._look_for_stale(way)
                self._look_for_slow()

    def _look_for_slow(self) -> None:
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + SLOW_PAUSE
        runs = [run for way in self._ways.values() if (run := way.oldest()) is not None]
        if runs:
            oldest = min(runs, key=attrgetter("began"))
            age = time.monotonic_ns() - oldest.began
            if age > SLOW:
                self._tell(Slow(oldest.job.number, age / 1e9, oldest.where()))

    def _waited(self) -> dict[str, int]:
        """The longest waits for a free place since the last report. A batch waits on purpose."""
        found = {}
        for kind, way in self._ways.items():
            if not isinstance(way, Batch) and way.backlog.waited:
                found[kind] = way.backlog.waited // 1000
                way.backlog.waited = 0
        return found

    def _look_for_stale(self, way: Way) -> None:
        patience = STALE + way.wait if isinstance(way, Batch) else STALE
        before = time.monotonic_ns() - patience
        self._give_back(way.backlog.stale(before), stale=True)
