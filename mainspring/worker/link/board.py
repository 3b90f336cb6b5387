"""Board: memory that a child shares with its parent, and that outlives the child.

The child marks what has begun; one that runs one job at a time also tells which, when and why it
has to be killed for it, and how much memory it may have. The parent can read this whatever the
child is doing, also when no thread of it gets a turn.
"""

import mmap
import os
import tempfile
from enum import IntEnum
from typing import IO, Protocol

HEAD = 64
"""Bytes before the marks: eight integers."""

_NUMBER, _KILL_AT, _WHY, _MEMORY, _COLLECTED = range(5)


class Why(IntEnum):
    """Why the function of a job was told to end."""

    NOTHING = 0
    TIME = 1
    CANCEL = 2
    LOST = 3
    QUIT = 4
    MEMORY = 5


class Marks(Protocol):
    """One byte for each job held, in memory that outlives the process: 1 once it has begun, 2
    once it has ended, where that is known."""

    def __getitem__(self, index: int, /) -> int: ...
    def __setitem__(self, index: int, value: int, /) -> None: ...


class Board:
    """What is written there. `marks` has one byte for each job that is held: 0 until it has
    begun, 2 after its end if that is known, else 1. Moments are monotonic nanoseconds."""

    def __init__(self, memory: mmap.mmap) -> None:
        view = memoryview(memory)
        self._head = view[:HEAD].cast("q")
        self.marks: Marks = view[HEAD:]

    # Each field is one aligned word: it is read as it was before or as it is after a write.

    def begin(self, number: int, kill_at: int, memory: int) -> None:
        """This job runs from now on; 0 is no limit."""
        head = self._head
        head[_NUMBER], head[_MEMORY], head[_WHY] = number, memory, Why.TIME
        head[_KILL_AT] = kill_at

    def end(self) -> None:
        """Nothing runs."""
        head = self._head
        head[_KILL_AT] = head[_MEMORY] = head[_NUMBER] = 0

    def hurry(self, kill_at: int, why: Why) -> None:
        """What runs has been told to end before that moment."""
        head = self._head
        if not head[_KILL_AT] or kill_at < head[_KILL_AT]:
            head[_WHY] = why
            head[_KILL_AT] = kill_at

    def collected(self, size: int) -> None:
        """So many bytes of the output that is there have been passed on."""
        self._head[_COLLECTED] = size

    @property
    def number(self) -> int:
        """The job that runs, 0 if none does."""
        return self._head[_NUMBER]

    @property
    def kill_at(self) -> int:
        """When to kill the child, 0 for never."""
        return self._head[_KILL_AT]

    @property
    def why(self) -> Why:
        """Why it would be killed then."""
        try:
            return Why(self._head[_WHY])
        except ValueError:  # a function gone wild writes anywhere; that must not end the parent
            return Why.NOTHING

    @property
    def memory(self) -> int:
        """Bytes that the child may have while this job runs, 0 for any."""
        return self._head[_MEMORY]

    @property
    def output_from(self) -> int:
        """Where in its file the output begins that was not passed on."""
        return max(0, self._head[_COLLECTED])


def share(spots: int) -> tuple[Board, IO[bytes]]:
    """A new board for so many jobs, and the file by which a child finds it."""
    file = memory_file("board")
    file.truncate(HEAD + spots)
    return Board(mmap.mmap(file.fileno(), HEAD + spots)), file


def memory_file(name: str) -> IO[bytes]:
    """An empty file that has no name and is gone with the last process that has it open."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create(f"mainspring-{name}"), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)
