"""Insert: many jobs at once, whole or not at all, repeatable."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from mainspring.engines.common.codes import (
    BLOCKED,
    EDGES,
    EXPIRES,
    KEEPS,
    KEY,
    MARKED,
    OPEN,
    PENDING,
    SCHEDULED,
    SINGLE,
    TAG,
    UNIQUE,
    WAITING,
    default_lane,
)
from mainspring.engines.common.extra import encode_extra, encode_headers
from mainspring.engines.common.queues import full
from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite import ending, keys
from mainspring.engines.sqlite.step import Step, as_json
from mainspring.errors import IdConflict, InvalidArguments, UniqueTaken, UnknownDependency
from mainspring.job import MESSAGE, Inserted, NewJob, encode_policy
from mainspring.store import News

SQL = sections(__file__)

Job: TypeAlias = NewJob[Any]
Row: TypeAlias = tuple[Any, ...]
"""A row of the table `job`."""

MOST_REMEMBERED = 4096
"""Combinations of queue, task and policy whose numbers are remembered."""


def insert(step: Step, jobs: Sequence[Job]) -> list[Inserted]:
    """Store the jobs; the answers in their order."""
    if not jobs:
        return []
    step.news |= News.WORK
    if not any(job.unique is not None or job.edges for job in jobs):
        try:
            return _store(step, jobs)
        except _Taken:
            pass
    return _Call(step, jobs).insert()


class _Taken(Exception):
    """An id is there already."""


def _store(step: Step, jobs: Sequence[Job]) -> list[Inserted]:
    """Store jobs that collide with nothing but perhaps ids: then nothing is stored."""
    last, limited = step.row(SQL["number"], (len(jobs),))
    first = last - len(jobs) + 1
    rows = _bodies(step, jobs, first)
    if limited:
        _must_have_room(step, jobs, rows)
    try:
        step.many(SQL["job"], rows)
    except sqlite3.IntegrityError as error:
        step.run(SQL["undo"], (first, last))
        raise _Taken from error
    _put(step, jobs, rows)
    _mark(step, jobs, rows)
    wall = step.wall
    return [Inserted(job.id, number, created=wall) for number, job in enumerate(jobs, first)]


def _must_have_room(step: Step, jobs: Sequence[Job], rows: Sequence[Row]) -> None:
    """`QueueFull` if more would wait in a queue than may; `_Taken` if some wait there already."""
    for queue, new in Counter(row[2] for row in rows).items():
        most, waiting = step.row(SQL["room"], (queue, queue))
        waiting += sum(step.moved.get((queue, state), 0) for state in WAITING)
        if most and waiting + new > most:
            if _look_up(step, [job.id for job in jobs]):
                raise _Taken
            raise full(step.names.queue_name(step.run, queue), most)


# --- bodies and places --------------------------------------------------------------------------


def _bodies(step: Step, jobs: Sequence[Job], first: int) -> list[Row]:
    """The rows of `job`."""
    wall = step.wall
    aging: dict[int, int] = {}
    rows = []
    for number, job in enumerate(jobs, first):
        queue, task, policy, flags = numbers_of(step, job)
        flags |= flags_of(job)
        if job.priority and queue not in aging:
            (aging[queue],) = step.row(SQL["aging"], (queue,))
        plain = not flags & ~(KEEPS | SINGLE) and not job.delay and job.run_at is None
        rows.append(
            (
                number,
                job.id,
                queue,
                task,
                flags,
                wall,
                job.priority,
                job.priority and job.priority * aging[queue],
                policy,
                None if job.expires is None else wall + job.expires,
                job.payload,
                encode_headers(job),
                None if plain and job.label is None else encode_extra(job),
            )
        )
    return rows


def numbers_of(step: Step, job: Job) -> tuple[int, int, int, int]:
    """Queue, task, policy and the flags that the policy brings. Jobs of one task mostly share the
    policy object, so that it need not be compared."""
    memory = step.names.jobs
    key = job.queue, job.task, id(job.policy)
    if (known := memory.get(key)) is not None and known[0] is job.policy:
        return known[1]
    names, run = step.names, step.run
    flags = 0 if job.policy.keep is None else KEEPS
    if job.policy.retry.max_retries == 0:
        flags |= SINGLE
    numbers = (
        names.queue(run, job.queue),
        names.task(run, job.task),
        names.policy(run, encode_policy(job.policy)),
        flags,
    )
    if job.task == MESSAGE:
        step.run(SQL["by_hand"], numbers[:1])
    if len(memory) > MOST_REMEMBERED:
        memory.clear()
    memory[key] = job.policy, numbers
    return numbers


def flags_of(job: Job) -> int:
    """The flags that the job itself brings."""
    flags = 0
    if job.unique is not None:
        flags |= UNIQUE
    if job.expires is not None:
        flags |= EXPIRES
    if job.tags or job.key is not None:
        flags |= MARKED
    if job.edges:
        flags |= EDGES
    return flags


def _due(step: Step, job: Job) -> int:
    if job.run_at is not None:
        return max(job.run_at, step.wall)
    return step.wall + job.delay


def _put(step: Step, jobs: Sequence[Job], rows: Sequence[Row]) -> None:
    """Give each job its place: blocked, later or ready."""
    elsewhere: list[int] = []
    blocked, later = [], []
    for job, row in zip(jobs, rows, strict=True):
        number, queue, lift = row[0], row[2], row[7]
        due = step.wall if not job.delay and job.run_at is None else _due(step, job)
        if job.edges:
            blocked.append((number, queue, due))
            step.moved[queue, BLOCKED] += 1
        elif due > step.wall:
            careful = row[4] & SINGLE != 0
            later.append((number, queue, due, default_lane(queue), due - lift, lift, careful))
            step.moved[queue, SCHEDULED] += 1
        else:
            step.moved[queue, PENDING] += 1
            continue
        elsewhere.append(number)
    first, last = rows[0][0], rows[-1][0]
    if not elsewhere:
        step.run(SQL["ready"], (first, last))
        return
    if len(elsewhere) < len(rows):
        step.run(SQL["ready_but"], (first, last, as_json(elsewhere)))
    step.many(SQL["blocked"], blocked)
    step.many(SQL["later"], later)


def _mark(step: Step, jobs: Sequence[Job], rows: Sequence[Row]) -> None:
    """Write what is looked up by other things than a number."""
    marks, expiries = [], []
    for job, row in zip(jobs, rows, strict=True):
        if not row[4]:
            continue
        number = row[0]
        if job.expires is not None:
            expiries.append((row[2], row[9], number))
        if job.unique is not None:
            keys.take(step, job.unique, number, step.wall + job.unique_for)
        if job.key is not None:
            marks.append((KEY, job.key, number))
        marks += [(TAG, tag, number) for tag in dict.fromkeys(job.tags)]
    if marks:
        step.many(SQL["mark"], marks)
    if expiries:
        step.many(SQL["expiry"], expiries)


# --- jobs that may collide or wait --------------------------------------------------------------


class _Known(NamedTuple):
    """A stored job, as far as an insert must know it."""

    number: int
    content: tuple[Any, ...]


class _Call:
    """One insert that has to look before it writes."""

    def __init__(self, step: Step, jobs: Sequence[Job]) -> None:
        self._step = step
        self._jobs = jobs
        self._answers: dict[bytes, Inserted] = {}
        self._flow = False
        self._parents: dict[bytes, _Known] = {}

    def insert(self) -> list[Inserted]:
        known = _look_up(self._step, [job.id for job in self._jobs])
        again: list[bool] = []
        fresh: dict[bytes, Job] = {}
        for job in self._jobs:
            if (stored := known.get(job.id)) is not None:
                if stored.content != self._content(job):
                    raise _conflict(job)
                self._answers[job.id] = Inserted(job.id, stored.number, repeated=True)
            elif fresh.get(job.id, job) != job:
                raise _conflict(job)
            again.append(job.id in known or job.id in fresh)
            if job.id not in known:
                fresh[job.id] = job
        self._look_at_edges(known, fresh)
        self._store_all(list(fresh.values()))
        return [
            Inserted(job.id, self._answers[job.id].number, repeated=True)
            if repeated and self._answers[job.id].duplicate_of is None
            else self._answers[job.id]
            for job, repeated in zip(self._jobs, again, strict=True)
        ]

    def _content(self, job: Job) -> tuple[Any, ...]:
        names, run = self._step.names, self._step.run
        return (
            names.queue(run, job.queue),
            names.task(run, job.task),
            job.priority,
            names.policy(run, encode_policy(job.policy)),
            job.payload,
            encode_headers(job),
            encode_extra(job),
        )

    def _look_at_edges(self, known: dict[bytes, _Known], fresh: dict[bytes, Job]) -> None:
        within = {job.id: [edge.parent for edge in job.edges] for job in fresh.values()}
        self._flow = any(parent in within for parents in within.values() for parent in parents)
        try:
            TopologicalSorter(within).prepare()
        except CycleError as error:
            ids = " → ".join(str(UUID(bytes=each)) for each in error.args[1])
            raise InvalidArguments(f"dependencies: these jobs wait for each other: {ids}") from None
        outside = {
            parent for parents in within.values() for parent in parents if parent not in fresh
        }
        self._parents = {**known, **_look_up(self._step, [p for p in outside if p not in known])}
        for job in fresh.values():
            for edge in job.edges:
                if edge.parent not in fresh and edge.parent not in self._parents:
                    raise UnknownDependency(
                        f"job {job.uuid} waits for {UUID(bytes=edge.parent)}, which does not exist"
                    )

    def _store_all(self, fresh: Sequence[Job]) -> None:
        """Store them in runs: a job that replaces one of the same call begins a new run."""
        run: list[Job] = []
        taken: dict[str, Job] = {}
        duplicates: list[tuple[Job, Job]] = []
        for job in fresh:
            if job.unique is not None:
                if (mate := taken.get(job.unique)) is not None:
                    if self._flow or job.on_duplicate == "error":
                        raise _unique_taken(job, mate.id)
                    if job.on_duplicate == "return":
                        duplicates.append((job, mate))
                        continue
                    self._store_run(run)
                    run = []
                if not self._takes_key(job):
                    continue
                taken[job.unique] = job
            run.append(job)
        self._store_run(run)
        for job, mate in duplicates:
            number = self._answers[mate.id].number
            self._answers[job.id] = Inserted(job.id, number, duplicate_of=mate.id)

    def _takes_key(self, job: Job) -> bool:
        """Whether the unique key is free, or was made free; else the duplicate is answered."""
        step = self._step
        assert job.unique is not None
        if (holder := keys.holder(step, job.unique)) is None:
            return True
        if self._flow or job.on_duplicate == "error":
            raise _unique_taken(job, holder.id)
        waited = job.on_duplicate == "replace" and ending.cancel_waiting(
            step, holder.number, "replaced"
        )
        if waited:
            keys.free(step, holder.number)
        else:
            self._answers[job.id] = Inserted(job.id, holder.number, duplicate_of=holder.id)
        return waited

    def _store_run(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        for answer in _store(self._step, jobs):
            self._answers[answer.id] = answer
        self._store_edges(jobs)

    def _store_edges(self, jobs: Sequence[Job]) -> None:
        rows: dict[tuple[int, int], tuple[int, int, bool, int]] = {}
        outside = set()
        for job in jobs:
            child = self._answers[job.id].number
            for edge in job.edges:
                if (known := self._parents.get(edge.parent)) is not None:
                    parent = known.number
                    outside.add(parent)
                else:
                    parent = self._answers[edge.parent].number
                strict = rows.get((parent, child), (0, 0, True, 0))
                rows[parent, child] = parent, child, edge.run_anyway and strict[2], OPEN
        if rows:
            self._step.many(SQL["edge"], rows.values())
        if outside:
            ended = dict(self._step.rows(SQL["ended"], (as_json(list(outside)),)))
            edges = [(parent, child, anyway) for parent, child, anyway, _ in rows.values()]
            ending.follow(self._step, ended, [edge for edge in edges if edge[0] in ended])


def _look_up(step: Step, ids: Iterable[bytes]) -> dict[bytes, _Known]:
    ids = list(ids)
    if not ids:
        return {}
    rows = step.rows(SQL["known"], (len(ids), b"".join(ids)))
    return {row[0]: _Known(row[1], row[2:]) for row in rows}


def _conflict(job: Job) -> IdConflict:
    return IdConflict(f"job {job.uuid} exists already, with other content; nothing was stored")


def _unique_taken(job: Job, holder: bytes) -> UniqueTaken:
    return UniqueTaken(
        f"unique key {job.unique!r} is held by job {UUID(bytes=holder)}; nothing was stored",
        holder,
    )
