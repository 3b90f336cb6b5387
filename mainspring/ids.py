"""UUIDv7 (RFC 9562, section 5.7): time-ordered ids."""

import os
import struct
import threading
import time
from collections.abc import Iterator

POOL = struct.Struct("1024Q")
"""Random numbers drawn at a time. A system call per id lets go of the interpreter lock, and beside
a busy thread getting it back costs more than all the rest of an enqueue."""


_pack = struct.Struct(">QQ").pack


class _Source:
    """Ascending ticks (milliseconds, then 12 bits that count within one), and random bits."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.last = 0
        self.pool: Iterator[int] = iter(())

    def draw(self) -> bytes:
        """One id. To be called with the lock held."""
        self.last = tick = max(self.last + 1, time.time_ns() // 1_000_000 << 12)
        bits = next(self.pool, None)
        if bits is None:
            bits, *rest = POOL.unpack(os.urandom(POOL.size))
            self.pool = iter(rest)
        head = tick >> 12 << 16 | 0x7000 | tick & 0xFFF
        return _pack(head, bits & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000)


_source = _Source()
# A forked process must neither repeat random bits nor inherit a lock that somebody held.
os.register_at_fork(after_in_child=_source.__init__)  # type: ignore[misc]


def new_ids(count: int) -> list[bytes]:
    """So many new ids as sixteen bytes each, ascending within this process.

    More than 4096 in a millisecond run ahead of the clock by as many milliseconds as they need
    (method 1 of section 6.2).
    """
    with _source.lock:
        return [_source.draw() for _ in range(count)]


def new_id() -> bytes:
    """One new id."""
    with _source.lock:
        return _source.draw()


def new_token() -> int:
    """A grant's token: 64 random bits, signed."""
    return int.from_bytes(os.urandom(8), "big", signed=True)
