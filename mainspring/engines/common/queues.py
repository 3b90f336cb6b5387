"""Settings of queues: what they may be, from a row, and what is said of a full queue."""

from collections.abc import Sequence
from typing import Any

import msgspec

from mainspring.durations import DAY, LATEST
from mainspring.errors import InvalidArguments, QueueFull
from mainspring.retry import LONGEST_DELAY, MOST_RETRIES
from mainspring.store import QueueInfo, Settings

LONGEST_AGING = 30 * DAY
MOST_DELAYS = 100
MOST_DEPTH = 10**12

_encode_delays = msgspec.msgpack.Encoder().encode
_decode_delays = msgspec.msgpack.Decoder(tuple[int, ...]).decode


def validate(settings: Settings) -> None:
    """`InvalidArguments` for what is out of range."""
    for name, most in (
        ("aging", LONGEST_AGING),
        ("keep_completed", LATEST),
        ("keep_cancelled", LATEST),
        ("keep_failed", LATEST),
    ):
        value = getattr(settings, name)
        if value is not None and not 0 <= value <= most:
            raise InvalidArguments(f"{name}: expected 0 to {most:,} microseconds, got {value!r}")
    for name, least, most in (
        ("max_retries", 0, MOST_RETRIES),
        ("ack_deadline", 1, LATEST),
        ("max_depth", 0, MOST_DEPTH),
    ):
        value = getattr(settings, name)
        if value is not None and not (type(value) is int and least <= value <= most):
            raise InvalidArguments(f"{name}: expected {least} to {most:,}, got {value!r}")
    delays = settings.retry_delays or ()
    if len(delays) > MOST_DELAYS or not all(0 <= delay <= LONGEST_DELAY for delay in delays):
        raise InvalidArguments(
            f"retry_delays: expected at most {MOST_DELAYS} of up to 30 days, got {delays!r}"
        )


def values(settings: Settings) -> tuple[Any, ...]:
    """The settings as columns, None where a value stays."""
    delays = settings.retry_delays
    return (
        settings.paused,
        settings.by_hand,
        settings.aging,
        settings.keep_completed,
        settings.keep_cancelled,
        settings.keep_failed,
        settings.max_retries,
        None if delays is None else _encode_delays(delays),
        settings.ack_deadline,
        settings.max_depth,
    )


def full(queue: str, most: int) -> QueueFull:
    """The error for one job too many."""
    return QueueFull(f"queue {queue!r}: {most:,} jobs may wait; nothing was stored", queue)


def info(row: Sequence[Any]) -> QueueInfo:
    """A queue from a row of its table."""
    name, paused, by_hand, aging, completed, cancelled, failed, retries, delays, lease, most = row
    return QueueInfo(
        name=name,
        paused=bool(paused),
        by_hand=bool(by_hand),
        aging=aging,
        keep_completed=completed,
        keep_cancelled=cancelled,
        keep_failed=failed,
        max_retries=retries,
        retry_delays=_decode_delays(delays) if delays else (),
        ack_deadline=lease,
        max_depth=most,
    )
