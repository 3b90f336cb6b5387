"""Settings of queues: what they may be, and from a row."""

from collections.abc import Sequence
from typing import Any

from mainspring.durations import DAY, LATEST
from mainspring.errors import InvalidArguments
from mainspring.store import QueueInfo, Settings

LONGEST_AGING = 30 * DAY


def validate(settings: Settings) -> None:
    """`InvalidArguments` for durations out of range."""
    for name, most in (
        ("aging", LONGEST_AGING),
        ("keep_completed", LATEST),
        ("keep_cancelled", LATEST),
        ("keep_failed", LATEST),
    ):
        value = getattr(settings, name)
        if value is not None and not 0 <= value <= most:
            raise InvalidArguments(f"{name}: expected 0 to {most:,} microseconds, got {value!r}")


def info(row: Sequence[Any]) -> QueueInfo:
    """A queue from a row of its table."""
    name, paused, by_hand, aging, completed, cancelled, failed = row
    return QueueInfo(
        name=name,
        paused=bool(paused),
        by_hand=bool(by_hand),
        aging=aging,
        keep_completed=completed,
        keep_cancelled=cancelled,
        keep_failed=failed,
    )
