"""Insert: many jobs at once, whole or not at all, repeatable."""

from collections.abc import Callable, Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from psycopg import errors

from mainspring.engines.common.codes import (
    BLOCKED,
    EDGES,
    EXPIRES,
    KEEPS,
    KEY,
    MARKED,
    PENDING,
    SCHEDULED,
    SINGLE,
    TAG,
    UNIQUE,
)
from mainspring.engines.common.extra import encode_extra, encode_headers
from mainspring.engines.common.queues import full
from mainspring.engines.common.sections import sections
from mainspring.engines.postgres import ending, keys
from mainspring.engines.postgres.arrays import bigints, blobs
from mainspring.engines.postgres.names import MOST_REMEMBERED, Names
from mainspring.engines.postgres.reader import Reader
from mainspring.engines.postgres.step import Again, Step
from mainspring.errors import IdConflict, InvalidArguments, UniqueTaken, UnknownDependency
from mainspring.job import MESSAGE, Inserted, NewJob, encode_policy
from mainspring.store import News

SQL = sections(__file__)

Job: TypeAlias = NewJob[Any]


class Row(NamedTuple):
    """What a job becomes in the table `job`, and when it falls due."""

    number: int
    job: Job
    queue: int
    task: int
    flags: int
    lift: int
    due: int
    expires: int | None


def learn(
    names: Names, jobs: Sequence[Job], read: Callable[[Callable[[Reader], Any]], Any]
) -> None:
    """Have all names that these jobs use, before their own transaction begins. `read` gives a
    connection outside of any transaction."""
    wanted = {
        "queue": names.unknown("queue", {job.queue for job in jobs}),
        "task": names.unknown("task", {job.task for job in jobs}),
        "policy": names.unknown("policy", {encode_policy(job.policy) for job in jobs}),
    }
    by_hand = {job.queue for job in jobs if job.task == MESSAGE} - names.by_hand
    if not by_hand and not any(wanted.values()):
        return

    def look(reader: Reader) -> None:
        for table, values in wanted.items():
            for value in values:
                names.learn(reader.rows, table, value)
        for queue in by_hand:
            reader.run(SQL["by_hand"], (names.queue(queue),))

    read(look)
    names.by_hand.update(by_hand)


def insert(step: Step, jobs: Sequence[Job]) -> list[Inserted]:
    """Store the jobs, whose names are known; the answers in their order."""
    if not jobs:
        return []
    step.news |= News.WORK
    return _Call(step, jobs).insert()


def insert_plain(step: Step, jobs: Sequence[Job]) -> list[Inserted] | None:
    """The same by one statement, for jobs that collide with nothing; None, and the transaction is
    spoilt, if one is there already."""
    step.news |= News.WORK
    try:
        rows = _bodies(step, jobs, plain=True)
    except errors.UniqueViolation:
        return None
    return [Inserted(row.job.id, row.number, created=step.wall) for row in rows]


def are_plain(jobs: Sequence[Job]) -> bool:
    """Whether none of them needs more than a row in `job` and one in `ready`."""
    return not any(
        job.unique is not None
        or job.edges
        or job.delay
        or job.run_at is not None
        or job.tags
        or job.key is not None
        for job in jobs
    )


# --- bodies and places --------------------------------------------------------------------------


def _bodies(step: Step, jobs: Sequence[Job], *, plain: bool) -> list[Row]:
    """Write the rows of `job`, and if all are plain those of `ready`."""
    wall = step.wall
    aging: dict[int, int] = {}
    kinds: dict[tuple[int, ...], int] = {}
    which, expires, extras = [], [], []
    for job in jobs:
        queue, task, policy, flags = numbers_of(step.names, job)
        flags |= flags_of(job)
        lift = 0
        if job.priority:
            if queue not in aging:
                (aging[queue],) = step.row(SQL["aging"], (queue,))
            lift = job.priority * aging[queue]
        kind = (queue, task, policy, flags, job.priority, lift)
        which.append(kinds.setdefault(kind, len(kinds) + 1))
        expires.append(None if job.expires is None else wall + job.expires)
        bare = plain and job.label is None and job.expires is None
        extras.append(None if bare else encode_extra(job))
    headers = [encode_headers(job) if job.headers else None for job in jobs]
    step.finish()  # so that what this step has moved counts for the room there is
    ((numbers,),) = step.rows(
        SQL["store"],
        (
            wall,
            plain,
            blobs([job.id for job in jobs]),
            blobs([job.payload for job in jobs]),
            blobs(headers) if any(headers) else None,
            blobs(extras) if any(extras) else None,
            bigints(expires) if any(expires) else None,
            bigints(which) if len(kinds) > 1 else None,
            *map(bigints, zip(*kinds, strict=True)),
        ),
    )
    if numbers[0] < 0:
        name = step.names.queue_name(step.rows, -numbers[0])
        raise full(name, step.row(SQL["most"], (-numbers[0],))[0])
    order = list(kinds)
    rows = []
    for number, job, kind_at, until in zip(numbers, jobs, which, expires, strict=True):
        queue, task, _, flags, _, lift = order[kind_at - 1]
        rows.append(Row(number, job, queue, task, flags, lift, _due(wall, job), until))
    return rows


def numbers_of(names: Names, job: Job) -> tuple[int, int, int, int]:
    """Queue, task, policy and the flags that the policy brings. Jobs of one task mostly share the
    policy object, so that it need not be compared."""
    memory = names.jobs
    key = job.queue, job.task, id(job.policy)
    if (known := memory.get(key)) is not None and known[0] is job.policy:
        return known[1]
    flags = 0 if job.policy.keep is None else KEEPS
    if job.policy.retry.max_retries == 0:
        flags |= SINGLE
    numbers = (
        names.queue(job.queue),
        names.task(job.task),
        names.policy(encode_policy(job.policy)),
        flags,
    )
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


def _due(wall: int, job: Job) -> int:
    if job.run_at is not None:
        return max(job.run_at, wall)
    return wall + job.delay


def _put(step: Step, rows: Sequence[Row]) -> None:
    """Give each job its place: blocked, later or ready."""
    blocked, later, ready = [], [], []
    for row in rows:
        if row.job.edges:
            blocked.append((row.number, row.due, row.expires, row.queue))
            step.moved[row.queue, BLOCKED] += 1
        elif row.due > step.wall:
            careful = row.flags & SINGLE != 0
            later.append((row.number, row.due, row.lift, row.expires, row.queue, row.task, careful))
            step.moved[row.queue, SCHEDULED] += 1
        else:
            ready.append(row)
    if ready:
        step.run(SQL["ready"], (bigints([row.number for row in ready]),))
        for row in ready:
            step.moved[row.queue, PENDING] += 1
    if blocked:
        step.run(SQL["blocked"], tuple(map(bigints, zip(*blocked, strict=True))))
    if later:
        step.run(SQL["later"], tuple(map(bigints, zip(*later, strict=True))))


def _mark(step: Step, rows: Sequence[Row]) -> None:
    """Write what is looked up by other things than a number."""
    marks, taken = [], []
    for row in rows:
        if row.job.unique is not None:
            taken.append((row.job.unique, row.number, step.wall + row.job.unique_for))
        if row.job.key is not None:
            marks.append((KEY, row.job.key.encode(), row.number))
        marks += [(TAG, tag.encode(), row.number) for tag in dict.fromkeys(row.job.tags)]
    if marks:
        kinds, values, numbers = zip(*marks, strict=True)
        step.run(SQL["mark"], (bigints(kinds), blobs(values), bigints(numbers)))
    if taken:
        keys.take(step, taken)


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
        if wanted := {job.unique for job in fresh.values() if job.unique is not None}:
            keys.reserve(self._step, list(wanted))
        self._store_all(list(fresh.values()))
        return [
            Inserted(job.id, self._answers[job.id].number, repeated=True)
            if repeated and self._answers[job.id].duplicate_of is None
            else self._answers[job.id]
            for job, repeated in zip(self._jobs, again, strict=True)
        ]

    def _content(self, job: Job) -> tuple[Any, ...]:
        names = self._step.names
        return (
            names.queue(job.queue),
            names.task(job.task),
            job.priority,
            names.policy(encode_policy(job.policy)),
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
        # Locked, so that nobody deletes them before the edges are there.
        self._parents = _look_up(self._step, sorted(outside), "known_parents")
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
        if job.on_duplicate == "replace":
            if not keys.lock_holder(step, job.unique, holder.number):
                raise Again
            if ending.cancel_waiting(step, holder.number, "replaced"):
                keys.clear(step, job.unique)
                return True
        self._answers[job.id] = Inserted(job.id, holder.number, duplicate_of=holder.id)
        return False

    def _store_run(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        try:
            rows = _bodies(self._step, jobs, plain=False)
        except errors.UniqueViolation as error:
            raise Again from error
        _put(self._step, rows)
        _mark(self._step, rows)
        for row in rows:
            answer = Inserted(row.job.id, row.number, created=self._step.wall)
            self._answers[row.job.id] = answer
        self._store_edges(jobs)

    def _store_edges(self, jobs: Sequence[Job]) -> None:
        rows: dict[tuple[int, int], tuple[int, int, bool]] = {}
        outside = set()
        for job in jobs:
            child = self._answers[job.id].number
            for edge in job.edges:
                if (known := self._parents.get(edge.parent)) is not None:
                    parent = known.number
                    outside.add(parent)
                else:
                    parent = self._answers[edge.parent].number
                strict = rows.get((parent, child), (0, 0, True))
                rows[parent, child] = parent, child, edge.run_anyway and strict[2]
        if rows:
            self._step.run(SQL["edge"], tuple(map(bigints, zip(*rows.values(), strict=True))))
        if outside:
            ended = dict(self._step.rows(SQL["ended"], (bigints(outside),)))
            waiting = outside - ended.keys()
            ending.expect(self._step, [edge[:2] for edge in rows.values() if edge[0] in waiting])
            ending.follow(self._step, ended, [edge for edge in rows.values() if edge[0] in ended])


def _look_up(step: Step, ids: Iterable[bytes], name: str = "known") -> dict[bytes, _Known]:
    ids = list(ids)
    if not ids:
        return {}
    return {row[0]: _Known(row[1], row[2:]) for row in step.rows(SQL[name], (blobs(ids),))}


def _conflict(job: Job) -> IdConflict:
    return IdConflict(f"job {job.uuid} exists already, with other content; nothing was stored")


def _unique_taken(job: Job, holder: bytes) -> UniqueTaken:
    return UniqueTaken(
        f"unique key {job.unique!r} is held by job {UUID(bytes=holder)}; nothing was stored",
        holder,
    )
