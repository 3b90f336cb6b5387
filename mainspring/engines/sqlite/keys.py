"""Unique keys: who holds one, and until when.

A key is held until its job has ended, and at least until the moment in its row.
"""

from typing import NamedTuple

from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite.step import Step

SQL = sections(__file__)


class Holder(NamedTuple):
    """The job that holds a key."""

    number: int
    id: bytes


def holder(step: Step, key: str) -> Holder | None:
    """Who holds this key now. A key that nobody holds any more is taken out of the file."""
    row = step.row(SQL["holder"], (key,))
    if row is None:
        return None
    number, id, until, ended = row
    if ended and until <= step.wall:
        free(step, number)
        return None
    return Holder(number, id)


def take(step: Step, key: str, number: int, until: int) -> None:
    """The job holds the key, which is free, from now on."""
    step.run(SQL["take"], (key, number, until))


def free(step: Step, number: int) -> None:
    """The job holds no key any more."""
    step.run(SQL["free"], (number,))
