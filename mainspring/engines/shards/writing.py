"""Writing: inserts and what operators do, over several stores."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

from msgspec.structs import replace

from mainspring.engines.shards.placing import place
from mainspring.engines.shards.ring import Ring, outer
from mainspring.engines.shards.shard import Shard
from mainspring.errors import (
    ForeignConnection,
    PartlyUnavailable,
    StoreUnavailable,
    Unsupported,
)
from mainspring.job import Changed, Inserted, NewJob, Now, Select
from mainspring.store import QueueInfo, Settings, Store, Wanted


class Verb(Protocol):
    """What is done to a selection in one store."""

    def __call__(self, store: Store, select: Select) -> Changed: ...


def insert(
    ring: Ring, jobs: Sequence[NewJob[Any]], connection: Any, now: Now | None, opened_ms: int
) -> list[Inserted]:
    """All or none at each shard; `PartlyUnavailable` if one of several does not answer."""
    groups: dict[Shard, list[int]] = {}
    for at, shard in enumerate(place(ring, jobs, opened_ms)):
        groups.setdefault(shard, []).append(at)
    if connection is not None:
        _must_be_one(groups, jobs)
    answers: dict[int, Inserted] = {}
    trouble: StoreUnavailable | None = None
    missed: list[NewJob[Any]] = []
    # What may be refused goes first, so that in most cases nothing is stored when something is.
    for shard in sorted(groups, key=lambda shard: not _risky([jobs[at] for at in groups[shard]])):
        mine = [jobs[at] for at in groups[shard]]
        try:
            stored = _insert(shard, mine, connection, now)
        except StoreUnavailable as error:
            trouble = error
            missed += mine
            continue
        for at, answer in zip(groups[shard], stored, strict=True):
            answers[at] = outer(shard, answer)
            if answer.duplicate_of is None:
                ring.remember(answer.id, shard, jobs[at].queue)
    if trouble is not None and answers:
        told = f"{trouble}; {len(answers)} of {len(jobs)} jobs were stored, by other shards"
        raise PartlyUnavailable(told, [answers.get(at) for at in range(len(jobs))], missed)
    if trouble is not None:
        raise trouble
    return [answers[at] for at in range(len(jobs))]


def _insert(
    shard: Shard, jobs: Sequence[NewJob[Any]], connection: Any, now: Now | None
) -> list[Inserted]:
    try:
        return shard.do(lambda store: store.insert(jobs, connection=connection, now=now))
    except ForeignConnection as error:
        raise Unsupported(
            f"queue {jobs[0].queue!r} is in shard {shard.name!r}, and a transaction reaches only"
            f" the shard it was begun on: {error}"
        ) from error


def _must_be_one(groups: dict[Shard, list[int]], jobs: Sequence[NewJob[Any]]) -> None:
    if len(groups) > 1:
        places = ", ".join(
            f"queue {jobs[at[0]].queue!r} in shard {shard.name!r}" for shard, at in groups.items()
        )
        raise Unsupported(
            f"a transaction reaches only one shard, these are several: {places}; nothing was stored"
        )


def _risky(jobs: Sequence[NewJob[Any]]) -> bool:
    return any(job.edges or job.unique is not None for job in jobs)


def change(ring: Ring, select: Select, verb: Verb) -> Changed:
    """Do this to the jobs that are selected, wherever they are.

    `PartlyUnavailable` if a shard that may have some does not answer.
    """
    ids: list[bytes] = []
    refused: dict[bytes, str] = {}
    trouble: StoreUnavailable | None = None
    answered = False
    for shard, mine in _selections(ring, select):
        try:
            changed = shard.do(partial(verb, select=mine))
        except StoreUnavailable as error:
            trouble = error
            continue
        answered = True
        ids += changed.ids
        refused |= changed.refused
    done = Changed(tuple(ids), refused)
    if trouble is not None and answered:
        raise PartlyUnavailable(str(trouble), done, select.ids or ())
    if trouble is not None:
        raise trouble
    return done


def _selections(ring: Ring, select: Select) -> list[tuple[Shard, Select]]:
    """Which part of a selection concerns which shard."""
    if select.ids is None:
        return [(shard, select) for shard in ring.shards]
    stray = [id for id in select.ids if ring.seen(id) is None]
    parts = []
    for shard in ring.shards:
        mine = [id for id in select.ids if (seen := ring.seen(id)) and seen[0] is shard]
        if mine or stray:
            parts.append((shard, replace(select, ids=(*mine, *stray))))
    return parts or [(ring.shards[0], select)]


def configure(ring: Ring, queue: str, settings: Settings) -> QueueInfo:
    """Change the settings at the queue's home and wherever it is already."""
    homes = ring.homes(queue)
    info: QueueInfo | None = None
    trouble: StoreUnavailable | None = None
    for shard in ring.shards:
        try:
            if shard not in homes and not _is_there(shard, queue):
                continue
            told = shard.do(lambda store: store.configure(queue, settings))
        except StoreUnavailable as error:
            trouble = error
            continue
        if info is None or shard in homes:
            info = told
    if trouble is not None and info is not None:
        raise PartlyUnavailable(str(trouble), info, [queue])
    if info is None:
        raise trouble or homes[0].unavailable()
    return info


def instruct(ring: Ring, workers: Sequence[str], wanted: Wanted) -> list[str]:
    """Tell every shard: a worker that is known to one is known to all that it could reach.

    `PartlyUnavailable` if one does not answer.
    """
    known: set[str] = set()
    trouble: StoreUnavailable | None = None
    answered = False
    for shard in ring.shards:
        try:
            known.update(shard.do(lambda store: store.instruct(workers, wanted)))
            answered = True
        except StoreUnavailable as error:
            trouble = error
    told = [id for id in dict.fromkeys(workers) if id in known]
    if trouble is not None and answered:
        raise PartlyUnavailable(str(trouble), told, workers)
    if trouble is not None:
        raise trouble
    return told


def _is_there(shard: Shard, queue: str) -> bool:
    return any(info.name == queue for info in shard.do(lambda store: store.queues()))
