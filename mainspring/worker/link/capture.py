"""Capture: what a job prints becomes lines of its log, whoever prints it: Python, C or a program
it starts. Standard output and error are one file in memory, which the parent can still read when
the process has died."""

import contextlib
import faulthandler
import io
import os
import sys
import time
from collections.abc import Iterable, Iterator

from mainspring.context import LONGEST_LINE
from mainspring.store import Note

MOST = 64 << 10
"""Bytes kept of the output of one attempt. Of what is left of a dead process: the last so many."""

FULL = 1 << 20
"""Bytes at which what nobody has read yet is thrown away, but for the first of it."""

PAUSE = 1.0
"""Seconds between two looks at what a running job has printed."""

_OUTPUTS = (1, 2)


class Capture:
    """The output of the jobs of this process, one after the other. For one thread at a time."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._screen = os.dup(2)
        self._from = self._kept = 0
        self._next_look = 0.0
        _flush()
        for output in _OUTPUTS:
            os.dup2(file, output)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # an app may have put something else there
                # A whole line is in the file when it is printed: a crash takes none along.
                stream.reconfigure(line_buffering=True, errors="backslashreplace")
        faulthandler.enable(file, all_threads=False)  # the others are ours

    def begin(self) -> None:
        """A job begins: what comes from now on is its own, what came since the last one is of
        neither."""
        self._kept = 0
        if os.fstat(self._file).st_size:
            self._collect(to_its_end=True)
            self._kept = 0

    def look(self) -> list[str]:
        """What has been printed meanwhile, if it is time for a look."""
        if time.monotonic() < self._next_look and os.fstat(self._file).st_size < FULL:
            return []
        self._next_look = time.monotonic() + PAUSE
        return self._collect(to_its_end=False)

    def end(self) -> list[str]:
        """All lines that were not told yet."""
        _flush()
        if not os.fstat(self._file).st_size:
            return []
        return self._collect(to_its_end=True)

    @property
    def told(self) -> int:
        """How many bytes of what is in the file have been told."""
        return self._from

    def _collect(self, *, to_its_end: bool) -> list[str]:
        size = os.fstat(self._file).st_size
        start = min(self._from, size)  # the parent may have cut it short
        data = os.pread(self._file, min(size - start, FULL), start)
        if not to_its_end and size <= FULL:
            data = data[: data.rfind(b"\n") + 1]  # the rest of the line is still to come
        self._from = start + len(data)
        if to_its_end or size > FULL:
            os.ftruncate(self._file, 0)
            self._from = 0
        return self._within_bounds(data)

    def _within_bounds(self, data: bytes) -> list[str]:
        room = MOST - self._kept
        self._kept += len(data)
        if room <= 0:
            return []
        with contextlib.suppress(OSError):
            os.write(self._screen, data[:room])
        told = list(lines(data[:room]))
        if len(data) > room:
            told.append(f"[more than {MOST >> 10} kB of output: the rest is left out]")
        return told


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # whatever an app has put there
            stream.flush()


def lines(data: bytes) -> Iterator[str]:
    """Output as lines of a log."""
    for line in data.decode(errors="backslashreplace").splitlines():
        for start in range(0, max(1, len(line)), LONGEST_LINE):
            yield line[start : start + LONGEST_LINE]


def left_over(file: int, start: int) -> list[str]:
    """What a process that is dead has printed from there on: the last of it."""
    size = os.fstat(file).st_size
    start = min(start, size)
    data = os.pread(file, MOST, max(start, size - MOST))
    return list(lines(data))


def notes(number: int, token: int, told: Iterable[str]) -> list[Note]:
    """Lines of output as lines of a job's log."""
    at = time.time_ns() // 1000
    return [Note(number, token, at, line) for line in told]
