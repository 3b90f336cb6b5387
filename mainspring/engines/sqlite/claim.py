"""Claim: hand out the next jobs under a grant, in order, none to two.

A claim looks at what there is (survey.py), makes ready what has fallen due and ends what waited
too long, chooses (choice.py), and moves what it chose to `running`.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import chain, repeat
from sqlite3 import Connection
from types import NoneType

from mainspring.engines.common.codes import EXPIRES, FAILED, PENDING, RUNNING, SLICE, default_lane
from mainspring.engines.common.handed import CAREFUL, SUSPECT, queue_of, task_of
from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite import ending, releases
from mainspring.engines.sqlite.choice import (
    DUE,
    KIND,
    NUMBER,
    SCORE,
    Row,
    choose,
    kind_of,
    place_of,
)
from mainspring.engines.sqlite.damage import damage
from mainspring.engines.sqlite.names import Names, Run
from mainspring.engines.sqlite.places import places
from mainspring.engines.sqlite.step import Step, as_json
from mainspring.engines.sqlite.survey import Queue, any_ready, survey
from mainspring.job import Claimed, Now, Reason, decode_policy
from mainspring.store import Claim, Exchanged, Grant

SQL = sections(__file__)

_MOST_MOVED = 4 * SLICE
"""Jobs made ready or ended by one claim, and queues looked into; the rest is for the next."""

_NEVER = 1 << 62


def idle_claim(connection: Connection, wish: Claim, now: Now) -> Exchanged | None:
    """The answer to a claim that gets nothing and changes nothing, found by reading alone."""
    if any_ready(connection, wish):
        return None
    found = survey(connection, wish)
    return Exchanged(next_due=found.next_due()) if found.nothing(wish, now.wall) else None


def claim(step: Step, wish: Claim) -> Exchanged:
    """What this wish gets. Under a token that is known: what that still holds."""
    found = survey(step.connection, wish)
    if found.known:
        return Exchanged(held(step.connection, [wish.grant.token]))
    if found.releases:
        releases.work_off(step)
    if _promote_and_expire(step, wish, found.queues) or found.releases:
        found = survey(step.connection, wish)
    rows, more = choose(step, wish, found.queues)
    while (jobs := _fit(step, wish, rows)) is None:
        rows, more = choose(step, wish, survey(step.connection, wish).queues)
    if rows:
        _take(step, wish, rows)
    return Exchanged(jobs, next_due=found.next_due(), more=more)


def _fit(step: Step, wish: Claim, rows: Sequence[Row]) -> list[Claimed] | None:
    """The chosen as they are handed out; None when some had to be ended first, because they
    waited too long or are damaged."""
    if late := _late(step, rows):
        ending.end_waiting(step, places(step, late), FAILED, Reason.EXPIRED)
        return None
    try:
        return _claimed(step, wish, rows) if rows else []
    except (ValueError, TypeError):
        if not _put_aside(step, wish, rows):
            raise
        return None


def _claimed(step: Step, wish: Claim, rows: Sequence[Row]) -> list[Claimed]:
    # By columns: a few calls that run through all rows, instead of a few for each row.
    columns = zip(*rows, strict=True)
    numbers, ids, payloads, attempts, claims, losses, created, dues, headers, *rest = columns
    policies, _, kinds = rest
    names, run = step.names, step.run
    bodies = {policy: names.policy_body(run, policy) for policy in set(policies)}
    labels = {kind: _names_of(names, run, kind) for kind in set(kinds)}
    queues, tasks = zip(*map(labels.__getitem__, kinds), strict=True)
    if (
        set(map(type, chain(ids, payloads))) != {bytes}
        or set(map(len, ids)) != {16}
        or set(map(type, chain(created, losses))) != {int}
        or not set(map(type, headers)) <= {bytes, NoneType}
        or not all(map(decode_policy, bodies.values()))
    ):
        raise ValueError("a damaged job")
    return list(
        map(
            Claimed,
            *(numbers, repeat(wish.grant.token), ids, queues, tasks, payloads, attempts),
            *(claims, losses, created, dues, map(bodies.__getitem__, policies), headers),
        )
    )


def _put_aside(step: Step, wish: Claim, rows: Sequence[Row]) -> bool:
    """End those of the chosen that other software damaged; whether there are any."""
    damaged = {row[NUMBER]: (words, row) for row in rows if (words := _damage(step, wish, row))}
    for place in places(step, list(damaged)):
        words, row = damaged[place.number]
        suspect = row[KIND] & SUSPECT != 0
        queue = queue_of(row[KIND])
        # Where the row was found, whatever the rest of the file says.
        found = place._replace(
            state=PENDING, queue=queue, lane=default_lane(queue) - suspect, score=row[SCORE]
        )
        ending.end_waiting(step, [found], FAILED, words)
    return bool(damaged)


def _damage(step: Step, wish: Claim, row: Row) -> str | None:
    number, id, payload, attempt, claims, losses, created, due, headers, policy, _, kind = row
    try:
        queue, task = _names_of(step.names, step.run, kind)
        body = step.names.policy_body(step.run, policy)
    except (ValueError, TypeError):
        return f"damaged: its task #{task_of(kind)} or its policy #{policy} cannot be read"
    lease = (number, wish.grant.token)
    past = (attempt, claims, losses, created, due)
    return damage(Claimed(*lease, id, queue, task, payload, *past, body, headers))


def _names_of(names: Names, run: Run, kind: int) -> tuple[str, str]:
    return (
        names.queue_name(run, queue_of(kind)),
        names.task_name(run, task_of(kind)),
    )


# --- what is due, what is late ------------------------------------------------------------------


def _promote_and_expire(step: Step, wish: Claim, queues: Sequence[Queue]) -> bool:
    """Make ready what is due and end what is late, some of it if that is very much: first where
    something has waited longest."""
    wall = step.wall
    ripe = [
        (at, queue)
        for queue in queues
        if (at := min(_moment(queue.due), _moment(queue.late))) <= wall
    ]
    done = 0
    for _, queue in sorted(ripe):
        if done >= _MOST_MOVED:
            break
        done += 1
        if _moment(queue.due) <= wall:
            done += promote(step, queue.number, max(SLICE, wish.limit))
        if _moment(queue.late) <= wall:
            done += expire(step, queue.number)
    return bool(ripe)


def _moment(at: int | None) -> int:
    return _NEVER if at is None else at


def promote(step: Step, queue: int, limit: int = SLICE) -> int:
    """Make ready what has fallen due in a queue, at most so many; how many."""
    due = step.rows(SQL["due"], (queue, step.wall, limit + 1))
    if not due:
        return 0
    if len(due) > limit:
        # Not all at once: then in the order of the claim, so that nothing urgent waits behind.
        due = step.rows(SQL["due_by_score"], (queue, step.wall, limit))
    numbers = as_json([number for number, _ in due])
    step.run(SQL["promote"], (numbers,))
    step.run(SQL["unlater"], (numbers,))
    for state, n in Counter(state for _, state in due).items():
        step.moved[queue, state] -= n
    step.moved[queue, PENDING] += len(due)
    return len(due)


def expire(step: Step, queue: int, limit: int = SLICE) -> int:
    """End what has waited too long in a queue, at most so many; how many."""
    late = [number for (number,) in step.rows(SQL["late"], (queue, step.wall, limit))]
    if late:
        ending.end_waiting(step, places(step, late), FAILED, Reason.EXPIRED)
    return len(late)


def _late(step: Step, rows: Sequence[Row]) -> list[int]:
    """Those among the chosen that the last slice of expiries did not reach."""
    mortal = [row[NUMBER] for row in rows if row[KIND] & EXPIRES]
    if not mortal:
        return []
    return [number for (number,) in step.rows(SQL["late_among"], (as_json(mortal), step.wall))]


# --- taking -------------------------------------------------------------------------------------


def _take(step: Step, wish: Claim, rows: Sequence[Row]) -> None:
    """Move the chosen from `ready` to `running`, under one grant."""
    token = wish.grant.token
    numbers, kinds = [row[NUMBER] for row in rows], list(map(kind_of, rows))
    for (queue, suspect), chosen in _by_lane(rows, kinds).items():
        lane = default_lane(queue) - suspect
        if not wish.choosy:
            # What was chosen from a lane is all of it up to the last one.
            last = place_of(chosen[-1])
            step.run(SQL["run"], (token, queue, lane, *last))
            step.run(SQL["unready"], (lane, *last))
        else:
            keys = as_json([place_of(row) for row in chosen])
            step.run(SQL["run_some"], (token, queue, keys, lane))
            step.run(SQL["unready_some"], (lane, keys))
    grant(step, wish.grant, numbers)
    if mortal := [row[NUMBER] for row in rows if row[KIND] & EXPIRES]:
        step.run(SQL["unexpire"], (as_json(mortal),))
    step.surely = any(kind & (CAREFUL | SUSPECT) for kind in set(kinds))
    _count(step, rows, kinds)
    step.after(partial(step.handed.remember, token, dict(zip(numbers, kinds, strict=True))))


def _by_lane(rows: Sequence[Row], kinds: Sequence[int]) -> dict[tuple[int, bool], Sequence[Row]]:
    distinct = {(queue_of(kind), kind & SUSPECT != 0) for kind in set(kinds)}
    if len(distinct) == 1:
        return dict.fromkeys(distinct, rows)
    lanes: defaultdict[tuple[int, bool], list[Row]] = defaultdict(list)
    for row, kind in zip(rows, kinds, strict=True):
        lanes[queue_of(kind), kind & SUSPECT != 0].append(row)
    return dict(lanes)


def _count(step: Step, rows: Sequence[Row], kinds: Sequence[int]) -> None:
    wall = step.wall
    waits: dict[int, list[int]] = {kind >> 8: [] for kind in set(kinds)}
    if len(waits) == 1:
        waits = {kinds[0] >> 8: [wall - row[DUE] for row in rows]}
    else:
        for row, kind in zip(rows, kinds, strict=True):
            waits[kind >> 8].append(wall - row[DUE])
    for kind, each in waits.items():
        queue, task = queue_of(kind << 8), task_of(kind << 8)
        step.moved[queue, PENDING] -= len(each)
        step.moved[queue, RUNNING] += len(each)
        step.after(partial(step.statistics.started, wall, queue, task, each))


def grant(step: Step, wish: Grant, numbers: Sequence[int]) -> None:
    """Write under what these are held."""
    until = step.lease + wish.lease
    low, high = min(numbers), max(numbers)
    step.run(SQL["grant"], (wish.token, wish.worker, until, step.wall, low, high, len(numbers)))


def held(connection: Connection, tokens: Sequence[int]) -> list[Claimed]:
    """What these grants still hold, but for what is damaged."""
    rows = connection.execute(SQL["held"], (as_json(tokens),)).fetchall()
    return [job for row in rows if not damage(job := Claimed(*row))]
