"""Sizes: what users write, and the bytes inside."""

import re
from typing import TypeAlias

from mainspring.errors import InvalidArguments

Size: TypeAlias = int | str
"""Bytes, or text such as "512MB" (powers of a thousand) or "64MiB" (powers of 1024)."""

MB, TB = 10**6, 10**12

_UNITS = {
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)},
    **{f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", 1)},
}

_TEXT = re.compile(r"(\d+(?:\.\d+)?) ?(b|[kmgt]i?b)", re.IGNORECASE | re.ASCII)


def in_bytes(size: Size, what: str, least: int, most: int) -> int:
    """The size in bytes; `InvalidArguments` when it is none or not from `least` to `most`."""
    count: object = size
    if isinstance(size, str) and (found := _TEXT.fullmatch(size)):
        # Beyond any size, a float would be infinite and could not become an integer.
        count = round(min(float(found[1]) * _UNITS[found[2].upper()], most + 1))
    if isinstance(count, bool) or not isinstance(count, int):
        raise InvalidArguments(
            f'{what}: expected bytes, or text like "512MB" or "1.5GiB", got {size!r}'
        )
    if not least <= count <= most:
        told = f"{_told(least)} to {_told(most)}"
        raise InvalidArguments(f"{what}: expected {told}, got {size!r}")
    return count


def _told(count: int) -> str:
    return f"{count // TB:,} TB" if count >= TB else f"{count // MB:,} MB"
