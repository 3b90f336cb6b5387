"""Signals: a waiter learns of a commit by whichever process, without asking again and again.

After a commit that is news the writer touches a file that is there for such news, and waiters watch
it. Nobody does that after a commit of a caller's own. So whoever inserts in a caller's transaction
leaves word before, and waiters who find it heed changes of the log. Where the system cannot watch
files, a waiter looks at them, less often the longer nothing happens.
"""

import ctypes
import os
import select
import struct
import threading
import time
from contextlib import suppress

from mainspring.engines.common.audience import NOTHING, Audience
from mainspring.store import News, Signal

_NONBLOCK, _CLOEXEC, _MODIFY, _IGNORED = 0o4000, 0o2000000, 2, 0x8000
_FOREIGN_SECONDS = 0.02
"""A change of the log is seen before the commit that it is part of has ended."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05

_SUFFIXES = {News.WORK: "-wake", News.ENDS: "-ended", News.POSTS: "-posts"}


class Bell:
    """Rings after a commit; makes the signals that hear it."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._files: dict[str, int] = {}
        self._audience = Audience(lambda news: None)

    def ring(self, news: News) -> None:
        """Tell everybody who waits for these. Never fails: a signal is a hint."""
        if self._path is None:
            self._audience.ring(news)
            return
        for each in news:
            with suppress(OSError):  # such as a full disk: who waits asks again by itself
                os.pwrite(self._file(_SUFFIXES[each]), b"!", 0)

    def expect(self) -> None:
        """Leave word that the transaction of a caller's that is open may bring news of jobs."""
        if self._path is not None:
            with suppress(OSError):
                os.pwrite(self._file("-lock"), _OPEN + os.urandom(7), 0)

    def expect_no_more(self) -> None:
        """Within a transaction of ours, when there can be none of a caller's: take it back."""
        if self._path is not None:
            with suppress(OSError):
                file = self._file("-lock")
                if os.pread(file, 1, 0) == _OPEN:
                    os.pwrite(file, _OVER, 0)

    def listen(self, news: News) -> Signal:
        """A signal for every such commit from now on."""
        if self._path is None:
            return self._audience.join(news)
        try:
            return Watch(self._path, news)
        except (OSError, AttributeError):
            return Poll(self._path, news)

    def close(self) -> None:
        """Ring no more."""
        while self._files:
            _, file = self._files.popitem()
            os.close(file)

    def _file(self, suffix: str) -> int:
        file = self._files.get(suffix)
        if file is None:
            file = self._files[suffix] = _opened(f"{self._path}{suffix}")
        return file


_OPEN, _OVER = b"y", b"n"
"""The first byte of the word that is left about callers. The others are random: no word comes
twice."""


class _Word:
    """What is left about callers."""

    def __init__(self, path: str) -> None:
        self._file = _opened(f"{path}-lock")
        self._seen = self._read()

    def heed_log(self) -> bool:
        """Whether a caller may have committed since this was asked before. His transaction stays
        open in that word until one of ours follows it."""
        before, self._seen = self._seen, self._read()
        return self._seen != before or self._seen.startswith(_OPEN)

    def _read(self) -> bytes:
        return os.pread(self._file, 8, 0)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


class Watch:
    """A signal by the kernel's word that a file was written (inotify)."""

    def __init__(self, path: str, news: News) -> None:
        self._path = path
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._news = self._again = NOTHING
        self._watches: dict[int, News] = {}
        self._log = -1
        self._inotify: int = self._libc.inotify_init1(_NONBLOCK | _CLOEXEC)
        if self._inotify < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        try:
            self._word = _Word(path)
        except OSError:
            os.close(self._inotify)
            raise
        try:
            self.add(news)
        except OSError:
            self._word.close()
            os.close(self._inotify)
            raise
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._inotify, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)

    def add(self, news: News) -> None:
        for each in news & ~self._news:
            file = f"{self._path}{_SUFFIXES[each]}"
            os.close(_opened(file))  # so that there is one to watch
            watch = self._watched(file)
            if watch < 0:
                raise OSError(ctypes.get_errno(), "inotify")
            self._watches[watch] = each
        self._news |= news
        self._watch_log()

    def _watch_log(self) -> None:
        if self._log < 0 and self._news & News.JOBS:
            self._log = self._watched(f"{self._path}-wal")

    def _watched(self, file: str) -> int:
        watch: int = self._libc.inotify_add_watch(self._inotify, os.fsencode(file), _MODIFY)
        return watch

    def wait(self, timeout: float) -> News:
        self._watch_log()
        # After a change of the log nothing is heard of the end of the commit: so look once more.
        again, self._again = self._again, NOTHING
        end = time.monotonic() + (min(timeout, _FOREIGN_SECONDS) if again else timeout)
        while True:
            left = end - time.monotonic()
            woken = self._ready(left)
            if woken is None:
                return again
            news = self._changes()
            if news or woken or left <= 0:
                return again | news

    def _ready(self, timeout: float) -> bool | None:
        """Whether it was woken, None if nothing has happened."""
        ready = self._poll.poll(max(0.0, timeout) * 1000)
        if not ready:
            return None
        woken = any(file == self._woken for file, _ in ready)
        if woken:
            with suppress(BlockingIOError):
                os.read(self._woken, 4096)
        return woken

    def _changes(self) -> News:
        try:
            events = os.read(self._inotify, 65536)
        except BlockingIOError:
            return NOTHING
        news, logged = NOTHING, False
        while events:
            watch, mask, _, length = struct.unpack_from("iIII", events)
            if watch != self._log:
                news |= self._watches.get(watch, NOTHING)
            elif mask & _IGNORED:
                self._log = -1  # the log was removed, as by the last who closed it
            else:
                logged = True
            events = events[16 + length :]
        if logged and self._word.heed_log():
            self._again = News.JOBS & self._news
        return news | self._again

    def wake(self) -> None:
        with suppress(OSError):
            os.write(self._waker, b"!")

    def close(self) -> None:
        self._word.close()
        for file in (self._inotify, self._woken, self._waker):
            with suppress(OSError):
                os.close(file)


class Poll:
    """A signal by looking at the files, where the kernel does not tell."""

    def __init__(self, path: str, news: News) -> None:
        self._path = path
        self._event = threading.Event()
        self._word = _Word(path)
        self._seen: dict[News, object] = {}
        self._log = self._log_now()
        self.add(news)

    def add(self, news: News) -> None:
        self._seen = {each: self._look(each) for each in news} | self._seen

    def wait(self, timeout: float) -> News:
        end, pause = time.monotonic() + timeout, _SHORTEST_PAUSE
        while not (found := self._changes()):
            left = end - time.monotonic()
            if left <= 0 or self._event.wait(min(pause, left)):
                self._event.clear()
                break
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        return found

    def _changes(self) -> News:
        news = NOTHING
        for each, seen in self._seen.items():
            if (now := self._look(each)) != seen:
                self._seen[each] = now
                news |= each
        before, self._log = self._log, self._log_now()
        if self._log != before and self._word.heed_log() and self._seen.keys() & set(News.JOBS):
            time.sleep(_FOREIGN_SECONDS)
            self._log = self._log_now()
            news |= News.JOBS
        return news

    def _log_now(self) -> object:
        return _state(f"{self._path}-wal")

    def _look(self, news: News) -> object:
        return _state(f"{self._path}{_SUFFIXES[news]}")

    def wake(self) -> None:
        self._event.set()

    def close(self) -> None:
        self._word.close()
        self._event.set()


def _opened(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _state(path: str) -> object:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
