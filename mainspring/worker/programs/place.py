"""Place: where jobs run when a command handles them, one process for each."""

import contextlib
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from msgspec.structs import replace

from mainspring.job import Claimed, Failed
from mainspring.lifecycle import decide
from mainspring.worker.crew.station import Departure, Desk, Station
from mainspring.worker.crew.verdict import attempt_error
from mainspring.worker.link.board import Why
from mainspring.worker.link.capture import notes
from mainspring.worker.link.wire import Drop, Feed, Hello, Order, Quit, Report, Setup, Stop
from mainspring.worker.programs import orphans
from mainspring.worker.programs.call import Call
from mainspring.worker.programs.command import Command

log = logging.getLogger("mainspring")

KIND = "process"

LAST_WORDS = 1.0
"""Seconds that programs have to end when the worker quits."""


class Programs:
    """So many programs at once."""

    apart = True
    """A job that kills its program kills no other."""

    isolating = elastic = reloading = False
    reloads = 0
    members: Sequence[Any] = ()

    def __init__(
        self,
        setup: Setup,
        command: Command,
        desk: Desk,
        post: Callable[[Callable[[], None]], None],
    ) -> None:
        self._command = command
        self._worker = setup.worker
        self._desk = desk
        self._post = post
        self._quitting = self.gone = False
        self._calls: dict[tuple[int, int], Call] = {}
        self._guard = _Guard()
        self._pool = ThreadPoolExecutor(setup.threads, thread_name_prefix="mainspring-program")
        self._marks = bytearray(setup.threads)
        self._station = Station(self, self._marks, setup.threads)
        self.everyone = [self._station]
        self._station.welcome({KIND: setup.threads})
        named = dict.fromkeys(command.tasks or (), KIND)
        hello = Hello(named, self._station.slots, "", rest="" if named else KIND)
        post(partial(desk.opened, self._station, hello))

    @property
    def stations(self) -> list[Station]:
        """The one place, while it takes jobs."""
        return [] if self._quitting else self.everyone

    @property
    def count(self) -> int:
        """How many processes there are."""
        return len(self._calls)

    def isolated(self) -> Station | None:
        """Nobody need run apart."""
        return None

    def send(self, order: Order) -> None:
        """Pass an order on, without waiting."""
        match order:
            case Feed(jobs=jobs, spots=spots):
                for job, spot in zip(jobs, spots, strict=True):
                    self._begin(job, spot)
            case Stop(numbers=numbers):
                self._end(Why.CANCEL, lambda job: job.number in numbers)
            case Drop(tokens=tokens):
                self._end(Why.LOST, lambda job: job.token in tokens)
            case Quit():
                self.quit()

    def tend(self) -> None:
        """Nothing: there is a process only while there is a job."""

    def scale(self, least: int, most: int) -> None:
        """Nothing: there are as many as there are jobs."""
        log.warning("a command handles the jobs: start the worker anew with another --concurrency")

    def measure(self, waiting: int, rate: float) -> None:
        """Nothing, for the same reason."""

    def reload(self) -> None:
        """Nothing: the next job starts the program that is there then."""

    def quit(self) -> None:
        """End what runs and hand it back."""
        if not self._quitting:
            self._quitting = True
            self._end(Why.QUIT, lambda job: True, LAST_WORDS)
            threading.Thread(target=self._quit, name="mainspring-quit", daemon=True).start()

    def kill(self) -> None:
        """End everything now."""
        for call in list(self._calls.values()):
            call.kill()
        self.quit()
        self._gone()
        self._guard.close()

    def _begin(self, job: Claimed, spot: int) -> None:
        call = Call(
            self._command,
            job,
            self._worker,
            watch=self._guard.watch,
            forget=self._guard.forget,
            log=partial(self._tell, job),
        )
        self._marks[spot] = 1
        self._calls[job.number, job.token] = call
        try:
            self._pool.submit(self._handle, call)
        except RuntimeError:  # the machine has no thread left, or it is all over
            del self._calls[job.number, job.token]
            self._report(Report([], returned=[job.number]))

    def _handle(self, call: Call) -> None:
        job = call.job
        try:
            outcome = call.run()
        except Exception as error:
            log.exception("job #%d could not be handled", job.number)
            words = f"{type(error).__name__}: {error}"
            outcome = Failed(attempt_error(job, "ProgramFailed", words, self._worker))
        del self._calls[job.number, job.token]
        if outcome is not None:
            self._report(Report([replace(decide(job, outcome), took=call.took)]))

    def _end(self, why: Why, wanted: Callable[[Claimed], bool], patience: float = 2.0) -> None:
        for call in list(self._calls.values()):
            if wanted(call.job):
                call.end(why, patience)

    def _tell(self, job: Claimed, told: list[str]) -> None:
        self._report(Report([], notes(job.number, job.token, told)))

    def _report(self, report: Report) -> None:
        self._post(partial(self._desk.reported, self._station, report))

    def _quit(self) -> None:
        self._pool.shutdown()
        self._post(self._gone)

    def _gone(self) -> None:
        if not self.gone:
            self.gone = True
            self._guard.close()
            begun, rest = self._station.strike_all()
            self._desk.ended(Departure(0, "", begun, rest, asked=True))


class _Guard:
    """A process that outlives this one, and then ends the programs that it has left behind."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", orphans.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            bufsize=0,
            process_group=0,
        )

    def watch(self, group: int) -> None:
        """This process group runs."""
        self._write(f"{group}\n")

    def forget(self, group: int) -> None:
        """It has ended."""
        self._write(f"{-group}\n")

    def close(self) -> None:
        """There is nothing to guard any more."""
        assert self._process.stdin
        with self._lock, contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait()

    def _write(self, line: str) -> None:
        # Without the guard jobs are handled all the same.
        with self._lock, contextlib.suppress(OSError, ValueError):
            assert self._process.stdin
            self._process.stdin.write(line.encode())
