"""Operating on selections: cancel, replay, delete, and what takes a job out for good.

Each function here is one slice, one transaction: `select` bounded to a number of jobs.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias
from uuid import UUID

from mainspring.engines.common.codes import (
    CANCELLED,
    COMPLETED,
    KEY,
    MARKED,
    REMOVED,
    RUNNING,
    SLICE,
    STATE,
    TAG,
)
from mainspring.engines.common.extra import decode_extra
from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite import ending
from mainspring.engines.sqlite.places import Place, places
from mainspring.engines.sqlite.step import Step, as_json

SQL = sections(__file__)


class Slice(NamedTuple):
    """What became of some jobs: ids changed, ids refused with the words why; and what is to be
    done with the rest, in a step of its own."""

    ids: list[bytes]
    refused: dict[bytes, str]
    rest: Callable[[Step], "Slice"] | None = None


Operation: TypeAlias = Callable[[Step, Sequence[int]], Slice]
"""What is done to jobs with these numbers."""


def cancel(step: Step, numbers: Sequence[int], reason: str) -> Slice:
    """End those that wait, ask those that run."""
    answer = Slice([], {})
    waiting: list[Place] = []
    running: list[Place] = []
    for job in places(step, numbers):
        if job.state >= COMPLETED:
            answer.refused[job.id] = f"the job has ended already: {STATE[job.state]}"
            continue
        answer.ids.append(job.id)
        (running if job.state == RUNNING else waiting).append(job)
    if running:
        step.run(SQL["ask"], (reason, as_json([job.number for job in running])))
    if waiting:
        ending.end_waiting(step, waiting, CANCELLED, reason or None)
    return answer


def delete(step: Step, numbers: Sequence[int]) -> Slice:
    """Take out what does not run and is not waited for."""
    found = places(step, numbers)
    ended = as_json([job.number for job in found if job.state >= COMPLETED])
    awaited = dict(step.rows(SQL["awaited"], (ended,)))
    refused: dict[bytes, str] = {}
    going: list[Place] = []
    for job in found:
        if job.state == RUNNING:
            refused[job.id] = "the job is running; cancel it first"
        elif job.number in awaited:
            child = UUID(bytes=awaited[job.number])
            refused[job.id] = f"job {child}, which depends on it, has not ended"
        else:
            going.append(job)
    if waiting := [job for job in going if job.state < COMPLETED]:
        ending.end_waiting(step, waiting, CANCELLED, None)
    return _take_out(step, going, refused)


def _take_out(step: Step, jobs: Sequence[Place], refused: dict[bytes, str]) -> Slice:
    """Remove ended jobs, but not before all their dependents are told of their end."""
    listed = as_json([job.number for job in jobs])
    owing = {parent for parent, _, _ in step.rows(SQL["owing"], (listed,))}
    gone = [job for job in jobs if job.number not in owing]
    remove(step, [job.number for job in gone])
    rest = partial(_tell_and_take_out, numbers=list(owing)) if owing else None
    return Slice([job.id for job in gone], refused, rest)


def _tell_and_take_out(step: Step, numbers: Sequence[int]) -> Slice:
    left = SLICE
    for parent, state, after in step.rows(SQL["owing"], (as_json(numbers),)):
        if left > 0:
            left -= ending.go_on(step, parent, state, after, left)
    found = places(step, numbers)
    refused = {job.id: "the job was replayed meanwhile" for job in found if job.state < COMPLETED}
    return _take_out(step, [job for job in found if job.state >= COMPLETED], refused)


def remove(step: Step, numbers: Sequence[int]) -> None:
    """Take ended jobs, and all that is known of them, out of the file."""
    listed = as_json(numbers)
    for queue, state, n in step.rows(SQL["ended_by_queue"], (listed,)):
        step.moved[queue, state] -= n
        step.moved[-queue, state] += n
        step.moved[-queue, REMOVED] += n
    marks = []
    for number, extra in step.rows(SQL["marked"], (MARKED, listed)):
        rare = decode_extra(extra)
        marks += [(TAG, tag, number) for tag in rare.tags]
        if rare.key is not None:
            marks.append((KEY, rare.key, number))
    if marks:
        step.many(SQL["unmark"], marks)
    for name in (
        "drop_body",
        "drop_finished",
        "drop_errors",
        "drop_progress",
        "drop_log",
        "drop_key",
        "drop_release",
        "drop_parents",
        "drop_children",
    ):
        step.run(SQL[name], (listed,))
