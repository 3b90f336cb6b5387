"""Upkeep: one slice of every chore. What is to be done is found by reading; only then is written.

There is no leader: every process does the rounds, and each chore may be done twice.
"""

import time
from collections.abc import Sequence
from sqlite3 import Connection
from typing import NamedTuple

from mainspring.durations import DAY, MINUTE
from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite import kv, posts, releases
from mainspring.engines.sqlite.claim import expire, promote
from mainspring.engines.sqlite.prune import SECONDS, Walk, prune
from mainspring.engines.sqlite.step import Step, as_json
from mainspring.job import Now
from mainspring.store import News

SQL = sections(__file__)

GRANTS_KEPT = 2 * MINUTE
"""Settled grants are known for so long after they would have expired, so that a worker that
repeats itself is not told that it lost them."""
WORKERS_KEPT = 10 * MINUTE
STATISTICS_KEPT = 14 * DAY


class Chores(NamedTuple):
    """What there is to do."""

    queues: Sequence[int]
    releases: bool
    prunable: Sequence[int]
    old: bool
    entries: bool
    posts: bool

    def __bool__(self) -> bool:
        return any(self)


def look(connection: Connection, now: Now, walk: Walk, limit: int) -> Chores:
    """Find out, without writing."""
    queues = [n for (n,) in connection.execute(SQL["queues"], {"wall": now.wall}).fetchall()]
    ((releases,),) = connection.execute(SQL["releases"]).fetchall()
    ((old,),) = connection.execute(SQL["old"], _limits(now.wall, now.lease)).fetchall()
    prunable = walk.candidates(connection, now.wall, limit)
    entries = kv.any_expired(connection, now.wall)
    said = posts.any_old(connection, now.wall)
    return Chores(queues, bool(releases), prunable, bool(old), entries, said)


def do(step: Step, chores: Chores, limit: int) -> tuple[int, Chores]:
    """One slice of each, as far as one step goes; how much was touched, and the chores that
    were not come to."""
    until = time.monotonic() + SECONDS
    touched = releases.work_off(step, limit) if chores.releases else 0
    if chores.entries:
        touched += kv.prune(step, limit)
    if chores.posts:
        touched += posts.prune(step, limit)
    if chores.old:
        _forget(step)
    seen = 0
    for queue in chores.queues:
        if seen and time.monotonic() > until:
            break
        touched += promote(step, queue, limit) + expire(step, queue, limit)
        seen += 1
    if seen:
        step.news |= News.WORK
    prunable = chores.prunable
    if prunable and (not touched or time.monotonic() < until):
        pruned, prunable = prune(step, prunable, until)
        touched += pruned
    rest = chores.queues[seen:]
    left = Chores(rest, False, prunable, old=False, entries=False, posts=False)
    return touched, left


def _forget(step: Step) -> None:
    limits = _limits(step.wall, step.lease)
    tokens = as_json([token for (token,) in step.rows(SQL["old_grants"], limits)])
    step.run(SQL["drop_grants"], (tokens,))
    for name in ("drop_workers", "drop_stats", "drop_histograms"):
        step.run(SQL[name], limits)


def _limits(wall: int, lease: int) -> dict[str, int]:
    return {
        "grants": lease - GRANTS_KEPT,
        "workers": lease - WORKERS_KEPT,
        "minutes": (wall - STATISTICS_KEPT) // MINUTE,
    }
