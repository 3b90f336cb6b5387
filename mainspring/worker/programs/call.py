"""Call: the program that handles one job, from its start to its end, in a thread of its own.

It is the leader of a process group, and what it has started there ends with it.
"""

import contextlib
import errno
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO

from mainspring.durations import SECOND
from mainspring.errors import ResultTooLarge
from mainspring.job import Cancelled, Claimed, Failed, Outcome, Reason, Snoozed
from mainspring.worker.crew.verdict import attempt_error
from mainspring.worker.link.board import Why
from mainspring.worker.link.capture import MOST, lines
from mainspring.worker.programs.command import LONGEST_TAIL, Command

PATIENCE = 2.0
"""Seconds that a program may go on after it was told to end."""

LAST_WORDS = 0.5
"""Seconds to read what is left in the pipes when a program has ended: what it has started may
keep them open for ever."""

TICK = 0.25
"""Seconds between two looks at the clock."""

PAUSE = 1.0
"""Seconds between two reports of what was written to stderr."""

CHUNK = 1 << 16

STARVED = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
"""What says that it is the machine that has no room: the job is tried again at no cost."""

LATER = 5 * SECOND


class Call:
    """One job. `run` belongs to the thread that handles it; the rest is anybody's.

    `watch` and `forget` hear of the process group while there is one; `log` of lines on stderr.
    """

    def __init__(
        self,
        command: Command,
        job: Claimed,
        worker: str,
        *,
        watch: Callable[[int], None],
        forget: Callable[[int], None],
        log: Callable[[list[str]], None],
    ) -> None:
        self.job = job
        self.took = 0
        """Microseconds."""
        self._command = command
        self._worker = worker
        self._watch = watch
        self._forget = forget
        self._log = log
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._why = Why.NOTHING
        self._kill_at = float("inf")
        self._flooded = False
        self._out, self._tail = bytearray(), bytearray()
        self._untold, self._told, self._tell_at = bytearray(), 0, 0.0
        self._left = memoryview(b"")

    def run(self) -> Outcome | None:
        """Handle the job; None if nobody wants to know what came of it."""
        try:
            with selectors.DefaultSelector() as ready:
                return self._run(ready)
        except OSError as error:
            if error.errno in STARVED:
                return Snoozed(LATER, f"cannot be started: {error.strerror}")
            return self._failed("ProgramFailed", f"cannot be started: {error}")

    def end(self, why: Why, patience: float = PATIENCE) -> None:
        """Tell the program to end, and kill it if it has not after so many seconds."""
        with self._lock:
            self._why = self._why or why
            self._kill_at = min(self._kill_at, time.monotonic() + patience)
            self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End the program now."""
        with self._lock:
            self._why = self._why or Why.QUIT
            self._send(signal.SIGKILL)

    # --- the process ------------------------------------------------------------------------

    def _run(self, ready: selectors.BaseSelector) -> Outcome | None:
        began = time.monotonic()
        limit = self._command.limit(self.job)
        process = self._start()
        if process is None:
            return Cancelled("cancelled before it began") if self._why == Why.CANCEL else None
        try:
            deadline = began + limit / 1_000_000 if limit else float("inf")
            self._converse(process, ready, deadline)
        finally:
            status = self._reap(process)
        self.took = int((time.monotonic() - began) * 1_000_000)
        return self._outcome(status)

    def _start(self) -> subprocess.Popen[bytes] | None:
        """None if it is not to begin any more."""
        with self._lock:
            if self._why:
                return None
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(
                self._command.words,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                bufsize=0,
                env=self._command.facts(self.job, self._worker),
                process_group=0,
            )
            self._watch(self._process.pid)
            return self._process

    def _send(self, sent: signal.Signals) -> None:
        """Under the lock. While the leader is not reaped, nobody else can have its number."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, sent)

    def _reap(self, process: subprocess.Popen[bytes]) -> int:
        """End the whole group; the exit status."""
        with self._lock:
            self._send(signal.SIGKILL)
            self._forget(process.pid)
            status = process.wait()
            self._process = None
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return status

    # --- its pipes --------------------------------------------------------------------------

    def _converse(
        self, process: subprocess.Popen[bytes], ready: selectors.BaseSelector, deadline: float
    ) -> None:
        """Give it the payload and take what it writes, until it has ended."""
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        payload = self.job.payload
        self._left = memoryview(payload[1:] if payload[:1] == b"\0" else payload)
        for pipe in (process.stdin, process.stdout, process.stderr):
            os.set_blocking(pipe.fileno(), False)
        with _end_of(process.pid) as end:
            ready.register(process.stdin, selectors.EVENT_WRITE, self._write)
            ready.register(process.stdout, selectors.EVENT_READ, self._read_out)
            ready.register(process.stderr, selectors.EVENT_READ, self._read_err)
            if end is not None:
                ready.register(end, selectors.EVENT_READ)
            while not _has_ended(process):
                self._look(deadline)
                self._exchange(ready, min(deadline, self._kill_at, time.monotonic() + TICK))
            with self._lock:
                self._send(signal.SIGKILL)
            if end is not None:
                ready.unregister(end)
            until = time.monotonic() + LAST_WORDS
            while _reads(ready) and time.monotonic() < until:
                self._exchange(ready, until)
        self._pass_on(to_its_end=True)

    def _exchange(self, ready: selectors.BaseSelector, until: float) -> None:
        """Whatever the pipes are ready for; wait until that moment for them."""
        for key, _ in ready.select(max(0.0, until - time.monotonic())):
            if key.data is not None and not key.data(key.fileobj):
                ready.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]
        if self._untold and time.monotonic() >= self._tell_at:
            self._pass_on(to_its_end=False)

    def _look(self, deadline: float) -> None:
        now = time.monotonic()
        if now >= deadline and not self._why:
            self.end(Why.TIME)
        if now >= self._kill_at:
            with self._lock:
                self._send(signal.SIGKILL)

    def _write(self, pipe: IO[bytes]) -> bool:
        """Whether there is more to write. A program need not read what it is given."""
        try:
            self._left = self._left[os.write(pipe.fileno(), self._left[:CHUNK]) :]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return bool(self._left)

    def _read_out(self, pipe: IO[bytes]) -> bool:
        data = _read(pipe)
        if data and len(self._out) + len(data) > self._command.largest_result:
            self._flooded = True
            self.kill()
            return False
        self._out += data or b""
        return data != b""

    def _read_err(self, pipe: IO[bytes]) -> bool:
        data = _read(pipe)
        if data:
            self._tail = (self._tail + data)[-LONGEST_TAIL:]
            room = max(0, MOST + 1 - self._told - len(self._untold))
            self._untold += data[:room]
        return data != b""

    def _pass_on(self, *, to_its_end: bool) -> None:
        """Make lines of its log of what it has written to stderr, as far as they are whole."""
        size = len(self._untold) if to_its_end else self._untold.rfind(b"\n") + 1
        data = bytes(self._untold[:size])
        del self._untold[:size]
        self._tell_at = time.monotonic() + PAUSE
        told = list(lines(data[: MOST - self._told])) if data and self._told < MOST else []
        if self._told <= MOST < self._told + len(data):
            told.append(f"[more than {MOST >> 10} kB of output: the rest is left out]")
        self._told += len(data)
        if told:
            self._log(told)

    # --- the end ----------------------------------------------------------------------------

    def _outcome(self, status: int) -> Outcome | None:
        if self._flooded:
            most = self._command.largest_result
            words = f"wrote more than {most:,} bytes to stdout; keep it elsewhere"
            return self._failed(ResultTooLarge.__name__, words, permanent=True)
        match self._why:
            case Why.LOST | Why.QUIT:
                return None
            case Why.TIME:
                limit = (self._command.limit(self.job) or 0) / 1_000_000
                words = f"did not end within its time limit of {limit:g} s"
                error = attempt_error(self.job, "TimeLimit", words, self._worker, Reason.TIMED_OUT)
                return Failed(error, reason=Reason.TIMED_OUT)
            case Why.CANCEL if status:
                return Cancelled("cancelled while it ran")
        out, err = bytes(self._out), bytes(self._tail)
        return self._command.ended(self.job, self._worker, status, out, err)

    def _failed(self, kind: str, words: str, *, permanent: bool = False) -> Failed:
        return Failed(attempt_error(self.job, kind, words, self._worker), permanent)


def _read(pipe: IO[bytes]) -> bytes | None:
    """What can be read now: nothing at the end, None if nothing is there yet."""
    try:
        return os.read(pipe.fileno(), CHUNK)
    except BlockingIOError:
        return None


def _reads(ready: selectors.BaseSelector) -> bool:
    """Whether anything is still to be read."""
    return any(key.events == selectors.EVENT_READ for key in ready.get_map().values())


@contextlib.contextmanager
def _end_of(pid: int) -> Iterator[int | None]:
    """A file that can be read when the process has ended, where the system has such."""
    try:
        file = os.pidfd_open(pid)
    except (AttributeError, OSError):
        yield None
        return
    try:
        yield file
    finally:
        os.close(file)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process has ended. Where the system can tell so without reaping it, its number
    stays its own."""
    if hasattr(os, "waitid"):
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, process.pid, how) is not None
    return process.poll() is not None
