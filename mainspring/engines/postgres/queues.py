"""Queues and their settings."""

from mainspring.engines.common.codes import SLICE
from mainspring.engines.common.queues import info, values
from mainspring.engines.common.sections import sections
from mainspring.engines.postgres.arrays import bigints
from mainspring.engines.postgres.reader import Reader
from mainspring.engines.postgres.step import Step
from mainspring.store import News, QueueInfo, Settings

SQL = sections(__file__)


def configure(step: Step, name: str, settings: Settings) -> QueueInfo:
    """Change what is given; all settings of the queue, whose name is known."""
    number = step.names.queue(name)
    step.run(SQL["configure"], (*values(settings), number))
    step.news |= News.WORK
    return info(step.row(SQL["queue"], (number,)))


def rescore(step: Step, name: str, after: int) -> int | None:
    """Give waiting jobs beyond number `after`, which are not yet due, the score that the queue's
    aging gives them now. The last number of this slice; None at the end."""
    queue = step.names.queue(name)
    numbers = [n for (n,) in step.rows(SQL["to_rescore"], (queue, after, SLICE))]
    step.run(SQL["rescore"], (bigints(numbers),))
    return numbers[-1] if len(numbers) == SLICE else None


def queues(reader: Reader) -> list[QueueInfo]:
    """All, by name."""
    return [info(row) for row in reader.rows(SQL["queues"])]
