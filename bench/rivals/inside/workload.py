"""The jobs every rival runs, and the marks by which the harness sees them start and end."""

import asyncio
import functools
import os
import struct
import time
from pathlib import Path

_RECORD = struct.Struct("<qq")


def noop(number: int, text: str) -> None:
    """Nothing: starting it is finishing it, so it marks once."""
    mark(number)


def nap(number: int, text: str) -> None:
    """A job that waits for something else, 0.1 s."""
    mark(number)
    time.sleep(0.1)
    mark(~number)


def long(number: int, text: str) -> None:
    """A job long enough to be killed in its middle."""
    mark(number)
    time.sleep(2.0)
    mark(~number)


TASKS = {"noop": noop, "nap": nap, "long": long}


async def anoop(number: int, text: str) -> None:
    """`noop` for rivals that are at their best on an event loop."""
    mark(number)


async def anap(number: int, text: str) -> None:
    mark(number)
    await asyncio.sleep(0.1)
    mark(~number)


async def along(number: int, text: str) -> None:
    mark(number)
    await asyncio.sleep(2.0)
    mark(~number)


COROUTINES = {"noop": anoop, "nap": anap, "long": along}


def mark(number: int) -> None:
    """Write down that job `number` starts now, or with `~number` that it ends."""
    os.write(_marks(), _RECORD.pack(number, time.monotonic_ns()))


def read_marks(path: Path) -> list[tuple[int, int]]:
    """All marks in the order they were made: (number or ~number, monotonic nanoseconds)."""
    return list(_RECORD.iter_unpack(path.read_bytes()))


def count_marks(path: Path) -> int:
    return path.stat().st_size // _RECORD.size


def store() -> str:
    """Where this rival keeps its jobs: a URL of Redis or PostgreSQL, or an SQLite file's path."""
    return os.environ["RIVAL_STORE"]


@functools.cache
def _marks() -> int:
    # Appends this small do not mix, whatever process or thread they come from.
    return os.open(os.environ["RIVAL_MARKS"], os.O_WRONLY | os.O_APPEND)
