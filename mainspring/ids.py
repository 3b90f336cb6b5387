"""UUIDv7 (RFC 9562, section 5.7): time-ordered ids, made in batches."""

import os
import threading
import time

_lock = threading.Lock()
_last = 0


def new_ids(count: int) -> list[bytes]:
    """So many new ids as sixteen bytes each, ascending within this process.

    The 12 bits after the millisecond count up within it (method 1 of section 6.2): a batch
    larger than 4096, or one in the same millisecond as the last, runs ahead of the clock by as
    many milliseconds as it needs.
    """
    global _last
    with _lock:
        first = max(_last + 1, time.time_ns() // 1_000_000 << 12)
        _last = first + count - 1
    random = os.urandom(8 * count)
    return [
        ((tick >> 12) << 16 | 0x7000 | tick & 0xFFF).to_bytes(8, "big")
        + bytes((random[at] & 0x3F | 0x80,))
        + random[at + 1 : at + 8]
        for at, tick in zip(range(0, 8 * count, 8), range(first, first + count), strict=True)
    ]


def new_id() -> bytes:
    """One new id."""
    return new_ids(1)[0]


def new_token() -> int:
    """A grant's token: 64 random bits, signed."""
    return int.from_bytes(os.urandom(8), "big", signed=True)
