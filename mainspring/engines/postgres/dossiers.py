"""Dossiers: jobs as they stand, taken out for another store, or taken in from one."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any
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
from mainspring.engines.postgres import ending, keys
from mainspring.engines.postgres.arrays import bigints, blobs, plain, texts
from mainspring.engines.postgres.insert import flags_of, numbers_of
from mainspring.engines.postgres.reader import Reader
from mainspring.engines.postgres.step import Step
from mainspring.errors import UniqueTaken, UnknownDependency
from mainspring.job import JobError, State
from mainspring.store import News

SQL = sections(__file__)

_decode_error = msgspec.msgpack.Decoder(JobError).decode
_encode_error = msgspec.msgpack.Encoder().encode


# --- out ----------------------------------------------------------------------------------------


def dump(reader: Reader, after: int, limit: int) -> list[Dossier]:
    """Jobs with higher numbers than `after`, in their order."""
    rows = reader.rows(SQL["jobs"], (after, limit))
    numbers = (bigints([row[0] for row in rows]),)
    waits: defaultdict[int, list[Wait]] = defaultdict(list)
    for child, parent, anyway, state in reader.rows(SQL["waits"], numbers):
        waits[child].append(Wait(parent, anyway, STANDINGS[state]))
    errors: defaultdict[int, list[JobError]] = defaultdict(list)
    for number, body in reader.rows(SQL["errors"], numbers):
        errors[number].append(_decode_error(body))
    lines: defaultdict[int, list[tuple[int, int, str]]] = defaultdict(list)
    for number, at, attempt, text in reader.rows(SQL["lines"], numbers):
        lines[number].append((at, attempt, text))
    return [
        dossier(row, waits.get(row[0], ()), errors.get(row[0], ()), lines.get(row[0], ()))
        for row in rows
    ]


# --- in -----------------------------------------------------------------------------------------


def restore(step: Step, dossiers: Sequence[Dossier]) -> int:
    """Take in the jobs that are not there yet, as they stood, and what they wait for; how many."""
    known = _known(step, [each.job.id for each in dossiers])
    fresh = {each.job.id: each for each in dossiers if each.job.id not in known}
    if fresh:
        step.news |= News.JOBS
        numbers = [number for (number,) in step.rows(SQL["numbers"], (len(fresh),))]
        jobs = list(zip(numbers, fresh.values(), strict=True))
        known |= {each.job.id: number for number, each in jobs}
        _take_in(step, jobs)
    _tie(step, dossiers, known)
    return len(fresh)


def _known(step: Step, ids: Sequence[bytes]) -> dict[bytes, int]:
    return dict(step.rows(SQL["known"], (blobs(ids),))) if ids else {}


Jobs = Sequence[tuple[int, Dossier]]
"""Dossiers with the numbers they got here."""


def _take_in(step: Step, jobs: Jobs) -> None:
    _hold_keys(step, jobs)
    bodies = []
    for number, each in jobs:
        job = each.job
        queue, task, policy, flags = numbers_of(step.names, job)
        flags |= flags_of(job)
        bodies.append(
            (
                *(number, each.created, each.lift, each.expires, queue, task, policy),
                *(job.priority, flags, job.id, job.payload, encode_headers(job), encode_extra(job)),
            )
        )
        step.moved[queue, CODE[each.state]] += 1
    columns = list(zip(*bodies, strict=True))
    step.run(SQL["job"], (*map(bigints, columns[:9]), *map(blobs, columns[9:])))
    _place(step, jobs)
    _describe(step, jobs)


def _hold_keys(step: Step, jobs: Jobs) -> None:
    wanted = [
        (each.job.unique, number, each)
        for number, each in jobs
        if each.job.unique is not None and still_holds(each, step.wall)
    ]
    if not wanted:
        return
    keys.reserve(step, [key for key, _, _ in wanted])
    for key, _, each in wanted:
        if (holder := keys.holder(step, key)) is not None:
            raise UniqueTaken(
                f"unique key {key!r} of job {each.job.uuid} is held here by job"
                f" {UUID(bytes=holder.id)}; nothing was taken in",
                holder.id,
            )
    keys.take(step, [(key, number, each.unique_until or 0) for key, number, each in wanted])


def _place(step: Step, jobs: Jobs) -> None:
    ready, later, blocked, finished = [], [], [], []
    for number, each in jobs:
        queue, task, _, _ = numbers_of(step.names, each.job)
        lane = default_lane(queue) - each.suspect
        past = each.attempt, each.claims, each.losses
        match each.state:
            case State.PENDING:
                moved = is_moved(each)
                place = (each.score, number, each.lift, lane, task)
                ready.append((*place, *past, each.careful, moved, each.expires))
            case State.SCHEDULED | State.RETRYING:
                kept = each.score != each.due - each.lift
                at = (number, each.due, each.score, each.lift, each.expires, queue, lane, task)
                state = CODE[each.state]
                later.append((*at, *past, state, kept, each.careful, each.reason))
            case State.BLOCKED:
                blocked.append((number, each.due, each.expires, queue, each.claims))
            case _:
                refuse_running(each)
                end = (number, each.finished, each.took, each.keep, queue)
                told = (each.attempt, each.claims, CODE[each.state], each.reason, each.result)
                finished.append((*end, *told))
    if ready:
        step.run(SQL["ready"], (step.wall, *map(bigints, zip(*ready, strict=True))))
    if later:
        *numbers, reasons = zip(*later, strict=True)
        step.run(SQL["later"], (*map(bigints, numbers), texts(reasons)))
    if blocked:
        step.run(SQL["blocked"], tuple(map(bigints, zip(*blocked, strict=True))))
    if finished:
        *numbers, reasons, results = zip(*finished, strict=True)
        step.run(SQL["finished"], (*map(bigints, numbers), texts(reasons), blobs(results)))


def _describe(step: Step, jobs: Jobs) -> None:
    """What the jobs are found by, and what happened so far."""
    found = [(kind, value.encode(), number) for number, each in jobs for kind, value in marks(each)]
    if found:
        kinds, values, numbers = zip(*found, strict=True)
        step.run(SQL["mark"], (bigints(kinds), blobs(values), bigints(numbers)))
    # Each error ended another claim, and none that is still to come.
    errors = [
        (number, each.claims - len(each.errors) + 1 + n, _encode_error(error))
        for number, each in jobs
        for n, error in enumerate(each.errors)
    ]
    if errors:
        numbers, claims, bodies = zip(*errors, strict=True)
        step.run(SQL["error"], (bigints(numbers), bigints(claims), blobs(bodies)))
    if lines := [line for number, each in jobs for line in _lines(number, each)]:
        *columns, told = zip(*lines, strict=True)
        step.run(SQL["line"], (*map(bigints, columns), texts(told)))
    for number, each in jobs:
        if each.progress is not None:
            percent, text = each.progress
            step.run(SQL["progress"], (number, percent, plain(text)))


def _lines(number: int, each: Dossier) -> Iterator[tuple[Any, ...]]:
    size = 0
    for line, (at, attempt, text) in enumerate(each.lines, 1):
        size += len(text)
        yield number, line, at, attempt, size, text


def _tie(step: Step, dossiers: Sequence[Dossier], known: dict[bytes, int]) -> None:
    """Write what these wait for, unless that was done before or something became of them here
    since. `UnknownDependency` for a parent that is not here."""
    jobs = {known[each.job.id]: each for each in dossiers if each.waits}
    if not jobs:
        return
    waits = [
        (number, jobs[number].job, wait)
        for number, blocked, ended in step.rows(SQL["untied"], (bigints(jobs),))
        if stands_as_told(jobs[number], blocked, ended)
        for wait in jobs[number].waits
    ]
    parents = known | _known(step, [wait.parent for _, _, wait in waits])
    edges = []
    for number, job, wait in waits:
        if wait.parent not in parents:
            raise UnknownDependency(
                f"job {job.uuid} waits for {UUID(bytes=wait.parent)}, which is not here"
            )
        edge = parents[wait.parent], number, wait.run_anyway
        edges.append((*edge, STANDINGS.index(wait.standing)))
    if edges:
        step.run(SQL["edge"], tuple(map(bigints, zip(*edges, strict=True))))
    _follow_ended(step, [edge[:3] for edge in edges if edge[3] == OPEN])


def _follow_ended(step: Step, edges: Sequence[tuple[int, int, bool]]) -> None:
    """See to open edges (parent, child, anyway) whose parents came before and have ended here."""
    ended = dict(step.rows(SQL["ended"], (bigints({parent for parent, _, _ in edges}),)))
    ending.follow(step, ended, [edge for edge in edges if edge[0] in ended])
