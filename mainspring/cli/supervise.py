"""Supervise: commands that are to run all the time, each in a process of its own.

One that dies is started again, the sooner the longer it had lived; all of them end together.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue

SHORT_LIFE = 5.0
"""Seconds; one that lived longer is started again at once."""

LONGEST_PAUSE = 5.0
"""Seconds before the next start of one that keeps dying."""

HOPELESS = frozenset({2, 78})
"""Exit codes for wrong usage and configuration: to start again would not help."""


class Member:
    """One of them: a command of mainspring, in words."""

    def __init__(self, words: Sequence[str], ended: "Callable[[Member], None]") -> None:
        self.words = words
        self.code: int | None = None
        self.due: float | None = None
        self._ended = ended
        self._started = 0.0
        self._short_lives = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, files: Sequence[int], environment: Mapping[str, str]) -> None:
        """Start it; whatever it inherits is named here."""
        self.due = self.code = None
        self._started = time.monotonic()
        # In a group of its own, so that a Ctrl-C at the terminal is heard once, by way of us.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mainspring.cli.supervised", str(os.getpid()), *self.words],
            env=os.environ | dict(environment),
            pass_fds=files,
            process_group=0,
        )
        threading.Thread(target=self._wait, args=(self._process,), daemon=True).start()

    def _wait(self, process: "subprocess.Popen[bytes]") -> None:
        process.wait()
        self._ended(self)

    def bury(self) -> str:
        """Note how it ended, and when it is due again; in words."""
        assert self._process is not None
        self.code = self._process.returncode
        lived = time.monotonic() - self._started
        self._short_lives = self._short_lives + 1 if lived < SHORT_LIFE else 0
        pause = 0.0 if self._short_lives < 2 else min(LONGEST_PAUSE, 0.1 * 2**self._short_lives)
        self.due = time.monotonic() + pause
        how = f"exit code {self.code}" if self.code >= 0 else f"signal {-self.code}"
        return f"{self.words[0]} process {self._process.pid} died ({how})"

    @property
    def alive(self) -> bool:
        """Whether it was started, and is not known to have ended."""
        return self._process is not None and self.code is None

    def tell(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self.alive and self._process is not None:
            self._process.send_signal(number)


class Supervisor:
    """Keeps commands running until a signal, or until one of them cannot work at all."""

    def __init__(
        self,
        commands: Sequence[Sequence[str]],
        *,
        files: Sequence[int],
        environment: Mapping[str, str],
        say: Callable[[str], None],
    ) -> None:
        self._news: SimpleQueue[Member | None] = SimpleQueue()
        self._members = [Member(words, self._news.put) for words in commands]
        self._files = files
        self._environment = environment
        self._say = say
        self._stops = 0
        self._verdict = 0

    def run(self) -> int:
        """Start all, and return when all have ended: the exit code of the first that failed at
        the end, else 0."""
        with self._signals():
            for member in self._members:
                member.start(self._files, self._environment)
            while any(member.alive for member in self._members) or not self._stops:
                self._hear()
                self._revive()
        return self._verdict

    def _hear(self) -> None:
        dues = [member.due for member in self._members if member.due is not None]
        timeout = max(0.0, min(dues) - time.monotonic()) if dues and not self._stops else None
        try:
            member = self._news.get(timeout=timeout)
        except Empty:
            return
        if member is None:
            self._stop()
            return
        told = member.bury()
        assert member.code is not None
        if self._stops:
            # One that was only beginning had nobody yet to hear the signal.
            expected = member.code == -signal.SIGTERM
            self._verdict = self._verdict or (0 if expected else abs(member.code))
        elif member.code in HOPELESS:
            self._verdict = member.code
            self._stop()
        else:
            self._say(f"{told}; another takes its place")

    def _stop(self) -> None:
        self._stops += 1
        for member in self._members:
            member.tell(signal.SIGTERM if self._stops < 3 else signal.SIGKILL)

    def _revive(self) -> None:
        for member in self._members if not self._stops else ():
            if member.due is not None and member.due <= time.monotonic():
                member.start(self._files, self._environment)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Within it signals are news; a `SimpleQueue` may be put to from their handlers."""
        heard = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {each: signal.signal(each, lambda *_: self._news.put(None)) for each in heard}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
