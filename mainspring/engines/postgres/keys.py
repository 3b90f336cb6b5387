"""Unique keys: who holds one, and until when.

A key is held until its job has ended, and at least until the moment in its row. To take keys is to
write their rows, in one order; a row that an open transaction wrote is waited for, but not long.
"""

from collections.abc import Sequence
from typing import NamedTuple

from psycopg import errors

from mainspring.engines.common.sections import sections
from mainspring.engines.postgres.arrays import bigints, blobs
from mainspring.engines.postgres.step import Again, Step
from mainspring.errors import UniqueBusy

SQL = sections(__file__)

WAIT = "1s"
"""How long a key is waited for that an open transaction has taken."""


class Holder(NamedTuple):
    """The job that holds a key."""

    number: int
    id: bytes


def reserve(step: Step, keys: Sequence[str]) -> None:
    """Take those of these keys that nobody has; `UniqueBusy` when an open transaction is about to
    take or free one of them."""
    ((before, _),) = step.rows(SQL["patience"], (WAIT,))
    try:
        step.run(SQL["reserve"], (blobs(sorted({key.encode() for key in keys})),))
    except errors.LockNotAvailable as error:
        raise UniqueBusy(
            f"one of the unique keys {sorted(keys)!r} was taken in a transaction that has not"
            " ended; nothing was stored, try again"
        ) from error
    step.rows(SQL["patience"], (before,))


def holder(step: Step, key: str) -> Holder | None:
    """Who else holds this key, which was reserved. A key that nobody holds any more becomes
    ours."""
    row = step.row(SQL["holder"], (key.encode(),))
    if row is None:
        raise Again
    number, id, until, ended = row
    if number is None:
        return None
    if id is None:
        raise Again
    if ended and until <= step.wall:
        if step.run(SQL["take_over"], (key.encode(), number)) == 0:
            raise Again
        return None
    return Holder(number, id)


def lock_holder(step: Step, key: str, number: int) -> bool:
    """Keep this job the holder until the step's end; False if it is not."""
    return step.row(SQL["lock"], (key.encode(), number)) is not None


def clear(step: Step, key: str) -> None:
    """The key is ours, whoever held it."""
    step.run(SQL["clear"], (key.encode(),))


def take(step: Step, keys: Sequence[tuple[str, int, int]]) -> None:
    """The jobs (key, number, until) hold the keys, which are reserved, from now on."""
    names, numbers, untils = zip(*keys, strict=True)
    step.run(
        SQL["take"], (blobs([name.encode() for name in names]), bigints(numbers), bigints(untils))
    )


def lock(step: Step, numbers: Sequence[int]) -> None:
    """Lock the keys that these jobs hold; before the jobs themselves."""
    step.rows(SQL["lock_of"], (bigints(numbers),))
