"""Ears: one standing line by which a server tells of commits, for all of a process who wait."""

import contextlib
import http.client
import os
import socket
import threading

from mainspring.engines.http.lines import Line, Lines
from mainspring.verbs import HINT

SILENCE = 15.0
"""Seconds without a sign after which the line is taken for dead."""

FIRST = 5.0
"""Seconds that whoever begins to listen waits for the line to stand."""

PAUSE = 1.0
"""Seconds between two tries."""


class Hint:
    """A signal: rings at each hint of the server, and when it may have missed some."""

    def __init__(self, ears: "Ears") -> None:
        self._ears = ears
        self._event = threading.Event()
        self._rung = False

    def ring(self) -> None:
        """Something may have changed."""
        self._rung = True
        self._event.set()

    def wait(self, timeout: float) -> bool:
        self._event.wait(timeout)
        self._event.clear()
        rung, self._rung = self._rung, False
        return rung

    def wake(self) -> None:
        self._event.set()

    def close(self) -> None:
        self._ears.forget(self)


class Ears:
    """Listens from the first who asks for it on, until it is closed."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._lock = threading.Lock()
        self._hints: set[Hint] = set()
        self._thread: threading.Thread | None = None
        self._line: Line | None = None
        self._stands = threading.Event()
        self._closed = threading.Event()
        self._pid = 0

    def listen(self) -> Hint:
        """A signal for every commit from now on; while the server is away, one for its return."""
        with self._lock:
            if self._pid != os.getpid():
                # A forked process has none of its parent's threads, and its line is not ours.
                self._pid, self._thread, self._line = os.getpid(), None, None
                self._hints, self._stands = set(), threading.Event()
            hint = Hint(self)
            self._hints.add(hint)
            if self._thread is None:
                name = "mainspring-http-ears"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()
        self._stands.wait(FIRST)
        return hint

    def forget(self, hint: Hint) -> None:
        """It is not waited for any more."""
        with self._lock:
            self._hints.discard(hint)

    def close(self) -> None:
        """Listen no more."""
        self._closed.set()
        if self._pid != os.getpid() or self._thread is None:
            return
        self._hang_up()
        self._thread.join(PAUSE)

    def _hang_up(self) -> None:
        line = self._line
        if line is not None and line.sock is not None:
            with contextlib.suppress(OSError):
                line.sock.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        while not self._closed.is_set():
            # Whoever waits looks once a second, hint or no hint.
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                self._listen()
            self._stands.clear()
            self._closed.wait(PAUSE)

    def _listen(self) -> None:
        line, answer = self._lines.open(SILENCE, "/store/hints")
        try:
            self._line = line
            if self._closed.is_set() or answer.status != 200:
                return
            while told := answer.read1(1024):
                missed = not self._stands.is_set()
                self._stands.set()
                if missed or HINT in told:
                    self._ring()
        finally:
            self._line = None
            answer.close()
            line.close()

    def _ring(self) -> None:
        with self._lock:
            hints = tuple(self._hints)
        for hint in hints:
            hint.ring()
