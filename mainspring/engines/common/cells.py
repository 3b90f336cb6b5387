"""Cells: what a write to the key-value store makes of what it finds."""

import re
from collections.abc import Iterable

from mainspring.cells import Add, Put
from mainspring.durations import LATEST
from mainspring.errors import InvalidArguments, NotInteger, VersionConflict

LARGEST = 2**63 - 1

BEYOND = "\U0010ffff"
"""Behind every character that a key may hold."""

_INTEGER = re.compile(rb"0|-?[1-9][0-9]{0,18}")


def once(keys: Iterable[str]) -> list[str]:
    """The keys; `InvalidArguments` if one of them is named twice."""
    seen: dict[str, None] = {}
    for key in keys:
        if key in seen:
            raise InvalidArguments(f"key {key!r} is named twice; expected it once")
        seen[key] = None
    return list(seen)


def end(wall: int, ttl: int | None) -> int | None:
    """When an entry goes that is kept so long from now on."""
    return None if ttl is None else min(wall + ttl, LATEST)


def conflict(put: Put, found: int) -> VersionConflict | None:
    """Why this cannot be written over that version, 0 being none."""
    if put.expected is None or put.expected == found:
        return None
    return refusal(put.key, put.expected, found)


def refusal(key: str, expected: int, found: int) -> VersionConflict:
    """The error that tells of versions, 0 being no entry."""
    wanted, got = (f"version {n}" if n else "no entry" for n in (expected, found))
    told = f"key {key!r}: expected {wanted}, found {got}; nothing was written"
    return VersionConflict(told, key, expected, found)


def total(add: Add, value: bytes | None) -> int:
    """What comes of adding to that value; `NotInteger` if it is none, or goes beyond 64 bits."""
    if value is not None and not _INTEGER.fullmatch(value):
        raise not_integer(add, value)
    sum = int(value or 0) + add.by
    if not (-LARGEST - 1 <= sum <= LARGEST and -LARGEST - 1 <= int(value or 0) <= LARGEST):
        raise not_integer(add, value or b"0")
    return sum


def not_integer(add: Add, value: bytes) -> NotInteger:
    """The error that tells of it."""
    if _INTEGER.fullmatch(value) and abs(int(value)) <= LARGEST + 1:
        return NotInteger(
            f"key {add.key!r}: {int(value):,} plus {add.by:,} goes beyond a signed integer of"
            " 64 bits; nothing was changed"
        )
    got = (
        f"{len(value) - 1} raw bytes"
        if value[:1] == b"\0"
        else value[:40].decode("utf-8", "replace")
    )
    return NotInteger(
        f"key {add.key!r}: expected an integer of 64 bits to add to, got {got}; nothing was changed"
    )
