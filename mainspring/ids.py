"""UUIDv7 (RFC 9562, section 5.7): time-ordered ids."""

import os
import threading
import time

POOL = 8192
"""Random bytes drawn at a time. A system call per id lets go of the interpreter lock, and beside a
busy thread getting it back costs more than all the rest of an enqueue."""


class _Source:
    """Ascending ticks (milliseconds, then 12 bits that count within one), and random bits."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.last = 0
        self.pool = memoryview(b"")

    def draw(self) -> bytes:
        """One id. To be called with the lock held."""
        self.last = tick = max(self.last + 1, time.time_ns() // 1_000_000 << 12)
        if not self.pool:
            self.pool = memoryview(os.urandom(POOL))
        bits = int.from_bytes(self.pool[:8], "big") & 0x3FFF_FFFF_FFFF_FFFF
        self.pool = self.pool[8:]
        head = (tick >> 12) << 16 | 0x7000 | tick & 0xFFF
        return (head << 64 | 0x2 << 62 | bits).to_bytes(16, "big")


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
