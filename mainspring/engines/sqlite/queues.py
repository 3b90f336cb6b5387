"""Queues and their settings."""

from collections.abc import Sequence
from sqlite3 import Connection
from typing import Any

from mainspring.durations import DAY, LATEST
from mainspring.engines.common.codes import SLICE
from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite.step import Step, as_json
from mainspring.errors import InvalidArguments
from mainspring.store import QueueInfo, Settings

SQL = sections(__file__)

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


def configure(step: Step, name: str, settings: Settings) -> QueueInfo:
    """Change what is given; all settings of the queue."""
    number = step.names.queue(step.run, name)
    step.run(
        SQL["configure"],
        (
            settings.paused,
            settings.by_hand,
            settings.aging,
            settings.keep_completed,
            settings.keep_cancelled,
            settings.keep_failed,
            number,
        ),
    )
    step.matters = True
    return _info(step.row(SQL["queue"], (number,)))


def rescore(step: Step, name: str, after: int) -> int | None:
    """Give waiting jobs beyond number `after`, which are not yet due, the score that the queue's
    aging gives them now. The last number of this slice; None at the end."""
    queue = step.names.queue(step.run, name)
    numbers = [n for (n,) in step.rows(SQL["to_rescore"], (queue, after, SLICE))]
    step.run(SQL["rescore"], (as_json(numbers),))
    return numbers[-1] if len(numbers) == SLICE else None


def queues(connection: Connection) -> list[QueueInfo]:
    """All, by name."""
    return [_info(row) for row in connection.execute(SQL["queues"])]


def _info(row: Sequence[Any]) -> QueueInfo:
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
