"""Dossiers: jobs as they stand, taken out for another store, or taken in from one."""

from collections import defaultdict
from collections.abc import Sequence
from sqlite3 import Connection
from uuid import UUID

import msgspec

from mainspring.dossier import Dossier, Wait
from mainspring.engines.common.codes import CODE, OPEN, default_lane
from mainspring.engines.common.dossiers import (
    STANDINGS,
    dossier,
    is_moved,
    marks,
    refuse_running,
    stands_as_told,
    still_holds,
)
from mainspring.engines.common.extra import encode_extra, encode_headers
from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite import ending, keys
from mainspring.engines.sqlite.insert import flags_of, numbers_of
from mainspring.engines.sqlite.step import Step, as_json
from mainspring.errors import UniqueTaken, UnknownDependency
from mainspring.job import JobError, State
from mainspring.store import News

SQL = sections(__file__)

_decode_error = msgspec.msgpack.Decoder(JobError).decode
_encode_error = msgspec.msgpack.Encoder().encode


# --- out ----------------------------------------------------------------------------------------


def dump(connection: Connection, after: int, limit: int) -> list[Dossier]:
    """Jobs with higher numbers than `after`, in their order."""
    rows = connection.execute(SQL["jobs"], (after, limit)).fetchall()
    numbers = (as_json([row[0] for row in rows]),)
    waits: defaultdict[int, list[Wait]] = defaultdict(list)
    for child, parent, anyway, state in connection.execute(SQL["waits"], numbers):
        waits[child].append(Wait(parent, bool(anyway), STANDINGS[state]))
    errors: defaultdict[int, list[JobError]] = defaultdict(list)
    for number, body in connection.execute(SQL["errors"], numbers):
        errors[number].append(_decode_error(body))
    lines: defaultdict[int, list[tuple[int, int, str]]] = defaultdict(list)
    for number, *line in connection.execute(SQL["lines"], numbers):
        lines[number].append(tuple(line))
    return [
        dossier(row, waits.get(row[0], ()), errors.get(row[0], ()), lines.get(row[0], ()))
        for row in rows
    ]


# --- in -----------------------------------------------------------------------------------------


def restore(step: Step, dossiers: Sequence[Dossier]) -> int:
    """Take in the jobs that are not there yet, as they stood, and what they wait for; how many."""
    known = _numbers(step, [each.job.id for each in dossiers])
    fresh = [each for each in dossiers if each.job.id not in known]
    if fresh:
        step.news |= News.JOBS
        (last,) = step.row(SQL["number"], (len(fresh),))
        for number, each in enumerate(fresh, last - len(fresh) + 1):
            known[each.job.id] = number
            _take_in(step, number, each)
    _tie(step, dossiers, known)
    return len(fresh)


def _numbers(step: Step, ids: Sequence[bytes]) -> dict[bytes, int]:
    return dict(step.rows(SQL["known"], (len(ids), b"".join(ids)))) if ids else {}


def _take_in(step: Step, number: int, each: Dossier) -> None:
    job = each.job
    queue, task, policy, flags = numbers_of(step, job)
    body = (number, job.id, queue, task, flags | flags_of(job), each.created, job.priority)
    rest = (each.lift, policy, each.expires, job.payload, encode_headers(job), encode_extra(job))
    step.run(SQL["job"], body + rest)
    _place(step, number, queue, each)
    step.count(queue, CODE[each.state])
    if each.expires is not None and not each.state.final:
        step.run(SQL["expiry"], (queue, each.expires, number))
    if job.unique is not None and still_holds(each, step.wall):
        if (holder := keys.holder(step, job.unique)) is not None:
            raise UniqueTaken(
                f"unique key {job.unique!r} of job {job.uuid} is held here by job"
                f" {UUID(bytes=holder.id)}; nothing was taken in",
                holder.id,
            )
        keys.take(step, job.unique, number, each.unique_until or 0)
    step.many(SQL["mark"], [(*mark, number) for mark in marks(each)])
    _tell(step, number, each)


def _place(step: Step, number: int, queue: int, each: Dossier) -> None:
    lane = default_lane(queue) - each.suspect
    past = each.attempt, each.claims, each.losses, each.careful
    match each.state:
        case State.PENDING:
            row = (lane, each.score, number, each.lift, is_moved(each), *past)
            step.run(SQL["ready"], row)
        case State.SCHEDULED | State.RETRYING:
            kept = each.score != each.due - each.lift
            place = (number, queue, each.due, lane, each.score, each.lift, kept)
            step.run(SQL["later"], (*place, CODE[each.state], *past, each.reason))
        case State.BLOCKED:
            step.run(SQL["blocked"], (number, queue, each.due, each.claims))
        case _:
            refuse_running(each)
            end = (number, CODE[each.state], queue, each.finished, each.took)
            told = (each.attempt, each.claims, each.keep, each.reason, each.result)
            step.run(SQL["finished"], end + told)


def _tell(step: Step, number: int, each: Dossier) -> None:
    """What happened so far."""
    # Each ended another claim, and none that is still to come.
    first = each.claims - len(each.errors) + 1
    errors = [(number, n, _encode_error(error)) for n, error in enumerate(each.errors, first)]
    step.many(SQL["error"], errors)
    size = 0
    for line, (at, attempt, text) in enumerate(each.lines, 1):
        size += len(text)
        step.run(SQL["line"], (number, line, at, attempt, size, text))
    if each.progress is not None:
        step.run(SQL["progress"], (number, *each.progress))


def _tie(step: Step, dossiers: Sequence[Dossier], known: dict[bytes, int]) -> None:
    """Write what these wait for, unless that was done before or something became of them here
    since. `UnknownDependency` for a parent that is not here."""
    jobs = {known[each.job.id]: each for each in dossiers if each.waits}
    if not jobs:
        return
    waits = [
        (number, jobs[number].job, wait)
        for number, blocked, ended in step.rows(SQL["untied"], (as_json(list(jobs)),))
        if stands_as_told(jobs[number], blocked, ended)
        for wait in jobs[number].waits
    ]
    parents = known | _numbers(step, [wait.parent for _, _, wait in waits])
    edges = []
    for number, job, wait in waits:
        if wait.parent not in parents:
            raise UnknownDependency(
                f"job {job.uuid} waits for {UUID(bytes=wait.parent)}, which is not here"
            )
        edge = parents[wait.parent], number, wait.run_anyway
        edges.append((*edge, STANDINGS.index(wait.standing)))
    step.many(SQL["edge"], edges)
    _follow_ended(step, [edge[:3] for edge in edges if edge[3] == OPEN])


def _follow_ended(step: Step, edges: Sequence[tuple[int, int, bool]]) -> None:
    """See to open edges (parent, child, anyway) whose parents came before and have ended here."""
    ended = dict(step.rows(SQL["ended"], (as_json([parent for parent, _, _ in edges]),)))
    ending.follow(step, ended, [edge for edge in edges if edge[0] in ended])
