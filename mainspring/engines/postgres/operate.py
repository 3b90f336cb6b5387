"""Operating on selections: cancel, replay, delete, and what takes a job out for good.

Each function here is one slice, one transaction: `select` bounded to a number of jobs.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias
from uuid import UUID

from mainspring.engines.common.codes import (
    CANCELLED,
    COMPLETED,
    KEY,
    MARKED,
    REMOVED,
    RUNNING,
    STATE,
    TAG,
)
from mainspring.engines.common.extra import decode_extra
from mainspring.engines.common.sections import sections
from mainspring.engines.postgres import ending
from mainspring.engines.postgres.arrays import bigints, blobs, plain
from mainspring.engines.postgres.places import Place, places
from mainspring.engines.postgres.step import Step

SQL = sections(__file__)


class Slice(NamedTuple):
    """What became of some jobs: ids changed, and ids refused with the words why."""

    ids: list[bytes]
    refused: dict[bytes, str]


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
        step.run(SQL["ask"], (plain(reason), bigints([job.number for job in running])))
    if waiting:
        ending.end_waiting(step, waiting, CANCELLED, plain(reason) or None)
    return answer


def delete(step: Step, numbers: Sequence[int]) -> Slice:
    """Take out what does not run and is not waited for."""
    answer = Slice([], {})
    # Locked first, so that nobody gives them a dependent that is not seen below.
    step.rows(SQL["lock"], (bigints(numbers),))
    found = places(step, numbers)
    waiting = [job for job in found if job.state < COMPLETED and job.state != RUNNING]
    if waiting:
        ending.end_waiting(step, waiting, CANCELLED, None, budget=None)
    ended = bigints([job.number for job in found if job.state >= COMPLETED])
    awaited = dict(step.rows(SQL["awaited"], (ended,)))
    gone = []
    for job in found:
        if job.state == RUNNING:
            answer.refused[job.id] = "the job is running; cancel it first"
        elif job.number in awaited:
            child = UUID(bytes=awaited[job.number])
            answer.refused[job.id] = f"job {child}, which depends on it, has not ended"
        else:
            answer.ids.append(job.id)
            gone.append(job.number)
    remove(step, gone)
    return answer


def remove(step: Step, numbers: Sequence[int]) -> None:
    """Take ended jobs, and all that is known of them, out of the database."""
    if not numbers:
        return
    listed = bigints(numbers)
    for queue, state, n in step.rows(SQL["ended_by_queue"], (listed,)):
        step.moved[queue, state] -= n
        step.moved[-queue, state] += n
        step.moved[-queue, REMOVED] += n
    marks = []
    for number, extra in step.rows(SQL["marked"], (MARKED, listed)):
        rare = decode_extra(extra)
        marks += [(TAG, tag.encode(), number) for tag in rare.tags]
        if rare.key is not None:
            marks.append((KEY, rare.key.encode(), number))
    if marks:
        kinds, values, owners = zip(*marks, strict=True)
        step.run(SQL["unmark"], (bigints(kinds), blobs(values), bigints(owners)))
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
    step.run(SQL["drop_new_edges"], (listed, listed))
