"""The queue of writers before the file: an `flock` on a file beside it, first come, first served.

A courtesy: it makes waiting fair and short, where SQLite's own waiting starves. Who cannot have
it within a second goes on without it, and SQLite's lock decides.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

WAIT_SECONDS = 1.0


class QueueLock:
    """One place in the queue of writers. Used by one thread at a time."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: int | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock in the block, if it could be had in time."""
        lock = self._acquired()
        try:
            yield
        finally:
            if lock is not None:
                fcntl.flock(lock, fcntl.LOCK_UN)

    def _acquired(self) -> int | None:
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._waited_for(self._file)
        return self._file

    def _waited_for(self, file: int) -> int | None:
        # `flock` cannot be told to give up, so another thread waits in our place. If it is
        # left alone there, it closes the file, and with it gives the lock back.
        got = threading.Event()

        def wait() -> None:
            fcntl.flock(file, fcntl.LOCK_EX)
            with decision:
                got.set()
                if abandoned:
                    os.close(file)

        decision = threading.Lock()
        abandoned: list[bool] = []
        threading.Thread(target=wait, name="mainspring-lock", daemon=True).start()
        if got.wait(WAIT_SECONDS):
            return file
        with decision:
            if got.is_set():
                return file
            abandoned.append(True)
            self._file = None
            return None

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
