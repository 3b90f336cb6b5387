"""Where jobs stand, whichever table that is; and holding them there.

A job is moved by whoever takes its row away. Who wants to look first locks the rows: keys, then
places. A row that another takes away meanwhile is looked for again where it went.
"""

from collections.abc import Sequence
from typing import NamedTuple

from mainspring.engines.common.sections import sections
from mainspring.engines.postgres import keys
from mainspring.engines.postgres.arrays import bigints
from mainspring.engines.postgres.step import Step

SQL = sections(__file__)

_ROUNDS = 20


class Place(NamedTuple):
    """Where one job stands. `lane` and `score` are those of its place, where it has them; `token`
    is that of its holder; `last` and `did` tell of the last transition."""

    number: int
    id: bytes
    queue: int
    task: int
    flags: int
    created: int
    priority: int
    policy: int
    expires: int | None
    state: int
    lane: int
    score: int
    attempt: int
    claims: int
    token: int | None
    last: int
    did: int


def places(step: Step, numbers: Sequence[int]) -> list[Place]:
    """The places of those of these jobs that exist, in order; they stay there until the step's
    end unless it moves them."""
    if not numbers:
        return []
    keys.lock(step, numbers)
    found: dict[int, Place] = {}
    missing = list(dict.fromkeys(numbers))
    for _ in range(_ROUNDS):
        rows = step.rows(SQL["places"], {"numbers": bigints(missing)})
        found |= {row[0]: Place(*row) for row in rows if row[9] is not None}
        missing = [row[0] for row in rows if row[9] is None]
        if not missing:
            break
    return [found[number] for number in dict.fromkeys(numbers) if number in found]
