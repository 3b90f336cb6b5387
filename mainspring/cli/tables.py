"""Plain text for people: tables, durations, sizes, times. Pure but for the time zone."""

import re
from collections.abc import Sequence
from datetime import UTC
from typing import Final

from mainspring.durations import DAY, HOUR, MINUTE, SECOND, instant

NOTHING: Final = "–"

LEAST = 24
"""Characters worth having of a last column that holds words."""


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as they need, numbers to the right; "none" if there are no rows."""
    if not rows:
        return "none"
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    right = [_is_numeric([row[at] for row in cells]) for at in range(len(headers))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in [list(headers), *cells]
    )


def fitted(
    headers: Sequence[str], rows: Sequence[Sequence[object]], width: int, spare: Sequence[str]
) -> str:
    """A table of lines that a terminal need not break: columns in `spare` are left out, one after
    the other, until the last column has room for a few words, and these are cut at the end."""
    text = table(headers, rows)
    for name in spare:
        needed = max(map(len, table(headers[:-1], [row[:-1] for row in rows]).split("\n")))
        if needed + LEAST <= width or max(map(len, text.split("\n"))) <= width:
            break
        at = headers.index(name)
        headers = [*headers[:at], *headers[at + 1 :]]
        rows = [[*row[:at], *row[at + 1 :]] for row in rows]
        text = table(headers, rows)
    return "\n".join(
        line if len(line) <= width else f"{line[: width - 1]}…" for line in text.split("\n")
    )


def one_line(cell: object, most: int = 100) -> str:
    """A cell: numbers grouped, no control characters, no longer than a line bears."""
    if cell is None or cell == "":
        return NOTHING
    text = printable(f"{cell:,}" if isinstance(cell, int) else str(cell)).replace("\n", " ")
    return text if len(text) <= most else text[: most - 1] + "…"


def printable(text: str) -> str:
    """The text with control characters made visible: stored text must not steer a terminal."""
    return re.sub(r"[^\n\t\x20-\x7e\u00a1-\U0010ffff]", _visible, text)


def _visible(found: re.Match[str]) -> str:
    return f"\\x{ord(found[0]):02x}"


def _is_numeric(column: Sequence[str]) -> bool:
    return all(
        cell == NOTHING or re.match(r"~?[\d.,]+( ?(us|ms|s|m|h|d|B|kB|MB|GB|%))?$", cell)
        for cell in column
    )


def counted(count: int, thing: str) -> str:
    """How many there are, in words: "1 job", "1,200 jobs"."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def roughly(micros: float | None) -> str:
    """A duration known only in its order of magnitude, with a mark that says so: "~360us"."""
    return NOTHING if micros is None else f"~{duration(micros).replace('.0', '')}"


def duration(micros: float | None) -> str:
    """Two digits or so of precision: "850us", "4.2ms", "1.2s", "3m 20s", "2h 5m", "3d 4h"."""
    if micros is None:
        return NOTHING
    if micros < 1000:
        return f"{micros:.0f}us"
    if micros < 100 * 1000:
        return f"{micros / 1000:.1f}ms"
    if micros < SECOND:
        return f"{micros / 1000:.0f}ms"
    if micros < MINUTE:
        return f"{micros / SECOND:.1f}s"
    for unit, name, smaller, its_name in (
        (DAY, "d", HOUR, "h"),
        (HOUR, "h", MINUTE, "m"),
        (MINUTE, "m", SECOND, "s"),
    ):
        if micros >= unit:
            return f"{micros // unit:.0f}{name} {micros % unit // smaller:.0f}{its_name}"
    raise AssertionError(micros)


def size(count: float) -> str:
    """Bytes in powers of a thousand: "512 B", "4.1 kB", "1.2 GB"."""
    for unit in ("B", "kB", "MB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def local_time(micros: int | None) -> str:
    """The moment in the time zone of whoever looks, to the second."""
    if micros is None:
        return NOTHING
    return instant(micros).astimezone().strftime("%Y-%m-%d %H:%M:%S%z")


def utc(micros: int | None) -> str | None:
    """The moment as RFC 3339 in UTC, to the microsecond, for machines."""
    if micros is None:
        return None
    return instant(micros).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds(micros: int | None) -> float | None:
    """Seconds, for machines."""
    return None if micros is None else micros / SECOND
