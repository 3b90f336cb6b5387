"""Signals: a waiter learns of a commit by whichever process, without asking again and again.

The writer touches a wake file after each commit that matters; waiters watch that file, and the
log, into which other programs' commits go too. Where the system cannot watch files, a waiter looks
at them, less often the longer nothing happens.
"""

import ctypes
import os
import select
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from mainspring.store import Signal

_NONBLOCK, _CLOEXEC, _MODIFY, _IGNORED = 0o4000, 0o2000000, 2, 0x8000
_FOREIGN_SECONDS = 0.02
"""A change of the log is seen before the commit that it is part of has ended."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05


class Bell:
    """Rings after a commit; makes the signals that hear it."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._file: int | None = None
        self._listeners: set[_Here] = set()

    def ring(self) -> None:
        """Tell everybody who waits. Never fails: a signal is a hint."""
        if self._path is None:
            for listener in tuple(self._listeners):
                listener.ring()
            return
        try:
            if self._file is None:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
                self._file = os.open(f"{self._path}-wake", flags, 0o600)
            os.pwrite(self._file, b"!", 0)
        except OSError:
            pass  # such as a full disk: who waits asks again by itself

    def listen(self) -> Signal:
        """A signal for every commit from now on."""
        if self._path is None:
            here = _Here(self._listeners.discard)
            self._listeners.add(here)
            return here
        wake, log = f"{self._path}-wake", f"{self._path}-wal"
        self.ring()  # so that there is a file to watch
        try:
            return _Watch(wake, log)
        except (OSError, AttributeError):
            return _Poll(wake, log)

    def close(self) -> None:
        """Ring no more."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class _Here:
    """A signal within the process, for a store in memory."""

    def __init__(self, leave: Callable[["_Here"], None]) -> None:
        self._event = threading.Event()
        self._leave = leave
        self._rung = False

    def ring(self) -> None:
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
        self._leave(self)


class _Watch:
    """A signal by the kernel's word that a file was written (inotify)."""

    def __init__(self, wake: str, log: str) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._log_file = log
        self._inotify: int = self._libc.inotify_init1(_NONBLOCK | _CLOEXEC)
        if self._inotify < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        self._bell, self._log = self._add(wake), self._add(log)
        self._log_only = False
        if self._bell < 0:
            os.close(self._inotify)
            raise OSError(ctypes.get_errno(), "inotify")
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._inotify, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)

    def _add(self, file: str) -> int:
        watch: int = self._libc.inotify_add_watch(self._inotify, os.fsencode(file), _MODIFY)
        return watch

    def wait(self, timeout: float) -> bool:
        if self._log < 0:
            self._log = self._add(self._log_file)
        # The log changes before the commit that it is part of has ended. Whoever of us commits
        # holds the queue of writers meanwhile, so to ask then is not too soon but just in time;
        # of another program's commit nothing more is heard, so it is asked for once more.
        waited = self._log_only
        ready = self._ready(min(timeout, _FOREIGN_SECONDS) if waited else timeout)
        self._log_only = False
        if not ready:
            return waited
        changed, rung = self._changes()
        self._log_only = changed and not rung
        return changed or waited

    def _ready(self, timeout: float) -> bool:
        ready = self._poll.poll(max(0.0, timeout) * 1000)
        if any(file == self._woken for file, _ in ready):
            with suppress(BlockingIOError):
                os.read(self._woken, 4096)
        return bool(ready)

    def _changes(self) -> tuple[bool, bool]:
        """Whether anything changed, and whether the bell was among it."""
        try:
            events = os.read(self._inotify, 65536)
        except BlockingIOError:
            return False, False
        watches = set()
        while events:
            watch, mask, _, length = struct.unpack_from("iIII", events)
            watches.add(watch)
            if watch == self._log and mask & _IGNORED:
                self._log = -1  # the log was removed, as by the last who closed it
            events = events[16 + length :]
        return True, self._bell in watches

    def wake(self) -> None:
        with suppress(OSError):
            os.write(self._waker, b"!")

    def close(self) -> None:
        for file in (self._inotify, self._woken, self._waker):
            with suppress(OSError):
                os.close(file)


class _Poll:
    """A signal by looking at the files, where the kernel does not tell."""

    def __init__(self, wake: str, log: str) -> None:
        self._files = wake, log
        self._event = threading.Event()
        self._seen = self._look()

    def wait(self, timeout: float) -> bool:
        end, pause = time.monotonic() + timeout, _SHORTEST_PAUSE
        while (found := self._look()) == self._seen:
            left = end - time.monotonic()
            if left <= 0 or self._event.wait(min(pause, left)):
                self._event.clear()
                return False
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        if found[0] == self._seen[0]:
            time.sleep(_FOREIGN_SECONDS)
            found = self._look()
        self._seen = found
        return True

    def _look(self) -> tuple[object, object]:
        return _state(self._files[0]), _state(self._files[1])

    def wake(self) -> None:
        self._event.set()

    def close(self) -> None:
        self._event.set()


def _state(path: str) -> object:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
