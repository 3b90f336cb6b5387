"""Upkeep: one slice of every chore. What is to be done is found by reading; only then is written.

There is no leader: every process does the rounds, and each chore may be done twice.
"""

from typing import NamedTuple

from mainspring.durations import DAY, MINUTE
from mainspring.engines.common.sections import sections
from mainspring.engines.postgres import ending, kv, posts
from mainspring.engines.postgres.claim import expire, promote
from mainspring.engines.postgres.prune import Walk, prune
from mainspring.engines.postgres.reader import Reader
from mainspring.engines.postgres.step import Step
from mainspring.job import Now
from mainspring.store import News

SQL = sections(__file__)

GRANTS_KEPT = 2 * MINUTE
"""Settled grants are known for so long after they would have expired, so that a worker that
repeats itself is not told that it lost them."""
WORKERS_KEPT = 10 * MINUTE
STATISTICS_KEPT = 14 * DAY
DELTAS = 1000
"""From so many changes of the counts on they are summed up."""


class Chores(NamedTuple):
    """What there is to do."""

    queues: list[int]
    releases: bool
    expected: bool
    deltas: bool
    prunable: list[int]
    old: bool
    entries: bool
    posts: bool

    def __bool__(self) -> bool:
        return any(self)


def look(reader: Reader, now: Now, walk: Walk, limit: int) -> Chores:
    """Find out, without writing."""
    queues = [n for (n,) in reader.rows(SQL["queues"], {"wall": now.wall})]
    ((releases,),) = reader.rows(SQL["releases"])
    ((expected, deltas),) = reader.rows(SQL["tables"], (DELTAS + 1,))
    ((old,),) = reader.rows(SQL["old"], _limits(now.wall, now.lease))
    prunable = walk.candidates(reader, now.wall, limit)
    entries = kv.any_expired(reader, now.wall)
    said = posts.any_old(reader, now.wall)
    return Chores(queues, releases, expected, deltas > DELTAS, prunable, old, entries, said)


def do(step: Step, chores: Chores, limit: int) -> int:
    """One slice of each; how much was touched."""
    touched = ending.work_off(step, limit)
    if chores.expected:
        ending.forget_expected(step)
    if chores.deltas:
        step.run(SQL["fold"])
    for queue in chores.queues:
        touched += promote(step, queue, limit) + expire(step, queue, limit)
    if chores.queues:
        step.news |= News.WORK
    if chores.prunable:
        touched += prune(step, chores.prunable)
    if chores.entries:
        touched += kv.prune(step, limit)
    if chores.old:
        limits = _limits(step.wall, step.lease)
        for name in ("drop_grants", "drop_workers", "drop_stats", "drop_histograms"):
            step.run(SQL[name], limits)
    if chores.posts:  # last, since nobody can post from here on until the transaction ends
        touched += posts.prune(step, limit)
    return touched


def _limits(wall: int, lease: int) -> dict[str, int]:
    return {
        "grants": lease - GRANTS_KEPT,
        "workers": lease - WORKERS_KEPT,
        "minutes": (wall - STATISTICS_KEPT) // MINUTE,
    }
