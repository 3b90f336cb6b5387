"""Where jobs stand, whichever table that is."""

from collections.abc import Sequence
from typing import NamedTuple

from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite.damage import shown
from mainspring.engines.sqlite.step import Step, as_json

SQL = sections(__file__)


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
    """The places of those of these jobs that exist, in order."""
    rows = step.rows(SQL["places"], (as_json(numbers),))
    return [Place(number, shown(id), *rest) for number, id, *rest in rows]
