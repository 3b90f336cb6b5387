"""Durations and moments: what users write, and the integer microseconds inside.

Knows no clock: the present comes in as an argument.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from mainspring.errors import InvalidArguments

Duration: TypeAlias = float | int | timedelta | str
"""Seconds, a timedelta, or text such as "250ms", "90", "5m", "1h30m", "14d"."""

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

LATEST = 5_680_281_600 * SECOND
"""2150-01-01 UTC. Later due times are refused, so that scores stay below 2**53."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UNITS = {"us": 1, "ms": 1000, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d|w)?")


def microseconds(duration: Duration, what: str = "duration") -> int:
    """The duration in microseconds; `InvalidArguments` when it is none, negative or endless."""
    if isinstance(duration, str):
        return _parsed(duration, what)
    if isinstance(duration, timedelta):
        value = duration // _MICROSECOND
    elif isinstance(duration, bool) or not isinstance(duration, int | float):
        raise InvalidArguments(
            f'{what}: expected seconds, a timedelta or text like "5m", got {duration!r}'
        )
    elif duration != duration or duration in (float("inf"), float("-inf")):
        raise InvalidArguments(f"{what}: expected a finite number of seconds, got {duration!r}")
    else:
        value = round(max(-1, min(duration * SECOND, LATEST + 1)))
    if not 0 <= value <= LATEST:
        raise InvalidArguments(f"{what}: expected 0 seconds to 180 years, got {duration!r}")
    return value


def _parsed(text: str, what: str) -> int:
    total, end, bare = 0.0, 0, 0
    for part in _PART.finditer(text):
        if part.start() != end:
            break
        total += float(part[1]) * _UNITS[part[2] or "s"]
        bare += part[2] is None
        end = part.end()
    if not text or end != len(text) or (bare and end != len(_PART.match(text)[0])):  # type: ignore[index]
        raise InvalidArguments(
            f'{what}: expected a duration like "250ms", "90s", "5m" or "1h30m", got {text!r}'
        )
    return microseconds(total / SECOND, what)


def moment(when: datetime, what: str = "time") -> int:
    """Microseconds since the epoch; a naive datetime or one after 2150 is `InvalidArguments`."""
    if not isinstance(when, datetime):
        raise InvalidArguments(f"{what}: expected an aware datetime, got {when!r}")
    if when.tzinfo is None or when.utcoffset() is None:
        raise InvalidArguments(
            f"{what}: expected an aware datetime, got the naive {when.isoformat()};"
            " add tzinfo, for example datetime.now(UTC)"
        )
    value = (when - _EPOCH) // _MICROSECOND
    if not 0 <= value <= LATEST:
        raise InvalidArguments(f"{what}: expected a time from 1970 to 2150, got {when.isoformat()}")
    return value


def instant(micros: int) -> datetime:
    """The aware datetime (UTC) of a moment inside."""
    return _EPOCH + timedelta(microseconds=micros)
