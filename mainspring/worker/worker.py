"""Worker: takes jobs from a store and has them run, until it is told to stop.

The process it lives in does the queue's I/O and imports no user code; child processes run the
jobs. With `in_process=True` they run here, on threads and an event loop beside the worker's own:
for tests, notebooks and small services. There a function that computes delays everything else,
and one that crashes takes the worker along.
"""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from mainspring.durations import Duration, microseconds
from mainspring.engines import open_store
from mainspring.errors import ConfigError, InvalidState
from mainspring.events import Bus
from mainspring.ids import new_id
from mainspring.job import HIGHEST_PRIORITY, LOWEST_PRIORITY
from mainspring.settings import cores
from mainspring.sizes import MB, TB, Size, in_bytes
from mainspring.store import Store
from mainspring.worker.child.program import Program
from mainspring.worker.control.dealer import Crew
from mainspring.worker.control.identity import Identity, Phase
from mainspring.worker.control.pump import Pump
from mainspring.worker.crew.children import Children, Family
from mainspring.worker.crew.member import Lifespan
from mainspring.worker.crew.scaling import Scaling
from mainspring.worker.inside import Inside
from mainspring.worker.link.wire import Setup
from mainspring.worker.probes import vitals
from mainspring.worker.probes.vitals import Sign
from mainspring.worker.programs.command import Command
from mainspring.worker.programs.place import Programs
from mainspring.worker.signals import heard

SHORTEST_LEASE = 200_000
"""Microseconds."""

MORE_SPOTS = 2_000
"""Jobs that a place can hold beyond its threads, coroutines and read-ahead: items of batches."""


class Worker:
    """A worker. `run` blocks, `start` and `stop` go with a thread, `with` and `async with` too.

    Queues are taken in the order given; none given takes all, by the score of their first jobs.
    `priorities`, the lowest and the highest, leave jobs of others to other workers.
    `processes` children (1 to 256) each run up to `threads` plain functions and `tasks` coroutines
    at once; with `max_processes` there are more of them while much waits. Tasks that want a process
    of their own have `process_slots` of them, one for each processor by default. A child is
    replaced, without a gap, after `max_jobs`, `max_age` or at `max_memory`.

    A job whose worker died can run elsewhere after `lease` (0.2 s to a day). `grace` is how long
    running jobs may go on after a stop; `read_ahead` how many more than can run may be fetched.
    Without `store` and `url` the app's own URL and key are used. With a `command` there is no app:
    it is what handles the jobs, `threads` of them at once.
    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        url: str | None = None,
        api_key: str | None = None,
        queues: Sequence[str] | None = None,
        priorities: tuple[int, int] | None = None,
        program: Program | None = None,
        app: str | None = None,
        command: Command | None = None,
        processes: int = 1,
        max_processes: int | None = None,
        process_slots: int | None = None,
        threads: int = 8,
        tasks: int = 1000,
        in_process: bool = False,
        lease: Duration = "15s",
        grace: Duration = "30s",
        name: str | None = None,
        events: Bus | None = None,
        read_ahead: int = 2000,
        max_jobs: int | None = None,
        max_age: Duration | None = None,
        max_memory: Size | None = None,
    ) -> None:
        if isinstance(queues, str):
            raise ConfigError(f"queues: expected a list of names, got {queues!r}")
        _check("threads", threads, 10_000)
        _check("tasks", tasks, 100_000)
        _check("read_ahead", read_ahead, 100_000, least=0)
        if command is None:
            _check_source(program, app, in_process)
        self._lease = microseconds(lease, "lease")
        if not SHORTEST_LEASE <= self._lease <= 86_400_000_000:
            raise ConfigError(f"lease: expected 200 milliseconds to a day, got {lease!r}")
        self._store = store
        self._url = url
        self._api_key = api_key
        self._program = program
        self._app = app or ""
        self._command = command
        self._sizes = _sizes(processes, max_processes, process_slots)
        self._lifespan = _lifespan(max_jobs, max_age, max_memory)
        self._threads = threads
        self._tasks = tasks
        self._in_process = in_process
        self._queues = tuple(dict.fromkeys(queues)) if queues else None
        self._priorities = _priorities(priorities)
        self._grace = microseconds(grace, "grace") / 1_000_000
        self._read_ahead = read_ahead
        self._own_store: Store | None = None
        self._pump: Pump | None = None
        self._working: threading.Thread | None = None
        self._in_background = False
        self._ended = threading.Event()
        self.name = name or f"{socket.gethostname()}-{os.getpid()}-{new_id()[-2:].hex()}"
        self.events = events or (program.events if program else Bus())

    @property
    def cut_short(self) -> int:
        """How many of the jobs given back had begun when the grace time ran out."""
        return self._pump.tally.cut_short if self._pump else 0

    @property
    def processed(self) -> int:
        """How many attempts have ended here, well or not."""
        return self._pump.tally.processed if self._pump else 0

    @property
    def failed(self) -> int:
        """How many of them failed."""
        return self._pump.tally.failed if self._pump else 0

    @property
    def handed_back(self) -> int:
        """How many jobs were given back unfinished when the worker was stopped."""
        return self._pump.tally.handed_back if self._pump else 0

    @property
    def phase(self) -> Phase:
        """What it is about: "starting", "running", "paused", "stopping" (finishing what runs),
        "quitting" (handing it back) or "stopped", as it also is before its start."""
        return self._pump.phase if self._pump else "stopped"

    @property
    def live(self) -> Sign:
        """Whether it goes about its work; True also while it waits for its store or its app. If
        not, `live.reason` says why, and only a new process helps."""
        return vitals.live(self._pump)

    @property
    def ready(self) -> Sign:
        """Whether it takes jobs: it runs or is paused, a process of it has loaded the app, and the
        store answers. If not, `ready.reason` says why."""
        return vitals.ready(self._pump)

    @property
    def reloads(self) -> int:
        """How many times its processes were to load the app anew."""
        return vitals.reloads(self._pump)

    @property
    def reloading(self) -> bool:
        """Whether some of them have still to do so."""
        return vitals.reloading(self._pump)

    def run(self) -> None:
        """Work until stopped, by `stop()` from another thread or by a signal.

        On the main thread SIGTERM and SIGINT stop it: the first finishes what runs, the second
        hands back at once. SIGHUP reloads, or stops it if its terminal was closed. `ConfigError`
        if the app cannot be imported; errors of the store.
        """
        pump = self._prepare(in_background=False)
        with heard(self.end, self.reload):
            self._work(pump, lambda: None)

    async def arun(self) -> None:
        """The async twin of `run`, without signals; cancelling it stops the worker."""
        await _in_thread(self.start)
        try:
            await _in_thread(self.join)
        finally:
            await _in_thread(self.stop)

    def start(self) -> None:
        """Work in a thread of its own; returns when it takes jobs. Errors as in `run`."""
        pump = self._prepare(in_background=True)
        opened = threading.Event()
        threading.Thread(
            target=self._work_quietly, args=(pump, opened.set), name="mainspring-pump", daemon=True
        ).start()
        opened.wait()
        if pump.error is not None:
            self.join()

    def stop(self, timeout: Duration | None = None) -> None:
        """Finish what runs within `timeout` (default: the grace time), hand back the rest, and
        return when all has ended. Called again meanwhile: hand back at once. Repeatable."""
        if self._pump is None:
            return
        grace = None if timeout is None else microseconds(timeout, "timeout") / 1_000_000
        self._pump.stop(grace)
        self.join()

    def end(self) -> None:
        """As `stop` with the grace time, but returns at once."""
        if self._pump is not None:
            self._pump.stop()

    def join(self) -> None:
        """Wait until the worker has ended; after `start`, raises why if nobody asked it to."""
        pump = self._pump
        if pump is None or self._working is threading.current_thread():
            return
        self._ended.wait()
        if self._in_background and pump.error is not None:
            error, pump.error = pump.error, None
            raise error

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await _in_thread(self.start)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await _in_thread(self.stop)

    def reload(self) -> None:
        """Replace the child processes, one after the other, by such that import the app anew; no
        job is interrupted. If the new code cannot be imported, the old goes on and that is said.
        """
        if self._pump is not None:
            self._pump.reload()

    # --- one life ---------------------------------------------------------------------------

    def _prepare(self, *, in_background: bool) -> Pump:
        if self._pump is not None and self._pump.phase != "stopped":
            raise InvalidState(f"worker {self.name} is running already")
        if not self._in_process and _is_child():
            raise ConfigError(
                "a worker was started while a child process imported the app; put the start"
                ' under `if __name__ == "__main__":`'
            )
        me = Identity(
            self.name,
            socket.gethostname(),
            os.getpid(),
            time.time_ns() // 1000,
            self._queues,
            self._priorities,
            self._command.tasks if self._command else None,
            self._lease / 1_000_000,
            self._grace,
            self._read_ahead,
        )
        self._in_background = in_background
        self._ended.clear()
        is_known = self._store is not None or self._url is not None or self._in_process
        url = (self._url or "") if is_known else None
        self._pump = Pump(me, self.events, self._find_store, url)
        return self._pump

    def _work(self, pump: Pump, opened: Callable[[], None]) -> None:
        self._working = threading.current_thread()
        try:
            pump.run(self._crew(pump), opened)
        finally:
            self._working = None
            pump.phase = "stopped"
            if self._own_store is not None:
                self._own_store.close()
                self._own_store = None
            if not self._in_background:
                self._ended.set()
        if pump.error is not None:
            raise pump.error

    def _work_quietly(self, pump: Pump, opened: Callable[[], None]) -> None:
        """In a thread of its own: whoever joins it gets the error."""
        try:
            self._work(pump, opened)
        except BaseException as error:
            pump.error = error
        finally:
            self._ended.set()
            opened()

    def _crew(self, pump: Pump) -> Crew:
        setup = Setup(
            os.getpid(), self._app, sys.path, self.name, self._threads, self._tasks, self._lease
        )
        sizes = {family: replace(size) for family, size in self._sizes.items()}
        spots = self._threads + self._tasks + 2 * self._read_ahead + MORE_SPOTS
        if self._command is not None:
            return Programs(setup, self._command, pump, pump.post)
        if self._in_process:
            assert self._program is not None
            return Inside(setup, self._program, spots, pump, pump.post)
        return Children(
            setup, sizes, spots, pump, pump.post, grace=self._grace, lifespan=self._lifespan
        )

    def _find_store(self, url: str, api_key: str | None) -> Store:
        """The store to work with; `url` and `api_key` are what the app says."""
        store = self._store
        if store is None and self._url is None and self._in_process and self._program:
            store = self._program.store
        if store is None:
            key = self._api_key if self._url else api_key
            self._own_store = open_store(self._url or url, key)
            return self._own_store
        store.open()
        return store


def _priorities(bounds: tuple[int, int] | None) -> tuple[int, int] | None:
    if bounds is None:
        return None
    lowest, highest = bounds
    if not LOWEST_PRIORITY <= lowest <= highest <= HIGHEST_PRIORITY:
        raise ConfigError(
            f"priorities: expected the lowest and the highest of {LOWEST_PRIORITY} to"
            f" {HIGHEST_PRIORITY}, got {bounds!r}"
        )
    return lowest, highest


def _check_source(program: Program | None, app: str | None, in_process: bool) -> None:
    """There must be something to find the tasks in."""
    if in_process and program is None:
        raise ConfigError("in_process: expected the app itself as `program`, got none")
    if not in_process and app is None:
        raise ConfigError(
            'app: expected "module:attribute", by which child processes can import the app,'
            " got none; say app=..., or in_process=True to run jobs in this process"
        )


def _sizes(processes: int, most: int | None, slots: int | None) -> dict[Family, Scaling]:
    """How many children each family has. Slots that were asked for stay as many."""
    _check("processes", processes, 256)
    _check("max_processes", processes if most is None else most, 256)
    _check("process_slots", 1 if slots is None else slots, 256)
    if most is not None and most < processes:
        raise ConfigError(f"max_processes: expected at least processes={processes}, got {most}")
    shared = Scaling(processes, most or processes)
    if slots is not None:
        return {"shared": shared, "solo": Scaling(slots, slots, fixed=True)}
    least = cores() if most is None else processes
    return {"shared": shared, "solo": Scaling(least, most or least)}


def _lifespan(jobs: int | None, age: Duration | None, memory: Size | None) -> Lifespan:
    if jobs is not None:
        _check("max_jobs", jobs, 10**12)
    seconds = 0.0 if age is None else microseconds(age, "max_age") / 1_000_000
    return Lifespan(
        jobs or 0, seconds, 0 if memory is None else in_bytes(memory, "max_memory", 16 * MB, TB)
    )


async def _in_thread(call: Callable[[], None]) -> None:
    # Imported here because a worker seldom needs it, and it takes as long as all the rest.
    import asyncio

    await asyncio.to_thread(call)


def _is_child() -> bool:
    """Whether this process was started to run jobs."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec is not None and spec.name == "mainspring.worker.child.process"


def _check(what: str, value: Any, most: int, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigError(f"{what}: expected {least} to {most:,}, got {value!r}")
