"""The queue of writers before the file: an `flock` on a file beside it, first come, first served.

A courtesy: it makes waiting fair and short, where SQLite's own waiting starves. Who cannot have
it within a second goes on without it, and SQLite's lock decides.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

WAIT_SECONDS = 1.0

GLANCES, GLANCE_SECONDS = 16, 0.00005
"""How often to look, and with what pause, before a thread is made to wait: a lone commit takes
less than that thread."""


class QueueLock:
    """One place in the queue of writers, used by one thread at a time. Without a path there is
    no queue."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._file: int | None = None
        self._forlorn: threading.Thread | None = None

    def acquire(self) -> None:
        """Take the lock, if it can be had in time."""
        if self._path is None:
            return
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for _ in range(GLANCES):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(GLANCE_SECONDS)
        self._wait(self._file)

    def release(self) -> None:
        """Give it back, if it was had."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Take the lock for the block."""
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _wait(self, file: int) -> None:
        if self._forlorn is not None and self._forlorn.is_alive():
            return
        # `flock` cannot be told to give up, so another thread waits in our place. If it is
        # left alone there, it gives the lock back and closes the file.
        got = threading.Event()
        decision = threading.Lock()
        abandoned: list[bool] = []

        def wait() -> None:
            fcntl.flock(file, fcntl.LOCK_EX)
            with decision:
                got.set()
                if abandoned:
                    fcntl.flock(file, fcntl.LOCK_UN)
                    os.close(file)

        waiter = threading.Thread(target=wait, name="mainspring-lock", daemon=True)
        try:
            waiter.start()
        except RuntimeError:
            return  # no thread can be had: go on without the lock
        try:
            got.wait(WAIT_SECONDS)
        finally:
            with decision:
                if not got.is_set():
                    abandoned.append(True)
                    self._file, self._forlorn = None, waiter
