"""Placing: at which shard each job of an insert goes.

A job that waits for no other goes to the home of its queue, or in a partitioned queue by its unique
key or its id. Jobs that wait for each other, and what they wait for, must be at one shard.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias
from uuid import UUID

from mainspring.engines.shards.ring import Ring
from mainspring.engines.shards.shard import Shard
from mainspring.errors import StoreUnavailable, Unsupported
from mainspring.job import NewJob

Job: TypeAlias = NewJob[Any]
Where: TypeAlias = dict[bytes, tuple[Shard, str]]
"""Shard and queue of jobs that are stored, by their ids."""

MARGIN_MS = 60_000
"""An id made so shortly before the store was opened was made for it."""


def place(ring: Ring, jobs: Sequence[Job], opened_ms: int) -> list[Shard]:
    """The shard of each job; `Unsupported` if jobs that belong together would need two.

    A job that may be stored already, because its id is older than the store's opening, is looked
    for everywhere: the shards may have been others when it was stored.
    """
    linked = {id for job in jobs if job.edges for id in (job.id, *_parents(job))}
    old = [job.id for job in jobs if job.id not in linked and _made(job.id) < opened_ms]
    found: Where = {}
    if linked or old:
        found, away = ring.locate([*linked, *old])
        must_know = {id for id in (*linked, *old) if _made(id) < opened_ms - MARGIN_MS}
        if away and not must_know <= found.keys():
            raise StoreUnavailable(f"{away}; a job of this call may be there")
    shards: dict[bytes, Shard] = {}
    for job in jobs:
        if job.id not in linked:
            seen = found.get(job.id) or ring.seen(job.id)
            shards.setdefault(job.id, seen[0] if seen else ring.home_of(job))
    for flow in _flows([job for job in jobs if job.id in linked]):
        shard = _shard_of_flow(ring, flow, found)
        shards.update((job.id, shard) for job in flow)
    return [shards[job.id] for job in jobs]


def _made(id: bytes) -> int:
    """When the id was made (milliseconds); 0 if it does not tell."""
    return int.from_bytes(id[:6], "big") if id[6] >> 4 == 7 else 0


def _parents(job: Job) -> list[bytes]:
    return [edge.parent for edge in job.edges]


def _flows(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs that hang together, by whomever they wait for."""
    leader: dict[bytes, bytes] = {}

    def lead(id: bytes) -> bytes:
        while (above := leader.setdefault(id, id)) != id:
            leader[id] = id = leader[above]
        return id

    for job in jobs:
        for parent in _parents(job):
            leader[lead(parent)] = lead(job.id)
    flows: dict[bytes, list[Job]] = {}
    for job in jobs:
        flows.setdefault(lead(job.id), []).append(job)
    return list(flows.values())


def _shard_of_flow(ring: Ring, flow: Sequence[Job], found: Where) -> Shard:
    ids = {id for job in flow for id in (job.id, *_parents(job))}
    stored = {id: found[id] for id in sorted(ids) if id in found}
    wanted: dict[Shard, str] = {}
    for id, (shard, queue) in stored.items():
        wanted.setdefault(shard, f"job {UUID(bytes=id)} of queue {queue!r}")
    moved = len(wanted) == 1 and any(shard not in ring.homes(q) for shard, q in stored.values())
    for job in flow:
        bound = job.queue not in ring.partitioned or job.unique is not None
        if not bound or job.id in stored:
            continue
        if moved and next(iter(wanted)).has(job.queue):
            # What it waits for was left behind when its queue got another home, as this job's did.
            continue
        wanted.setdefault(ring.home_of(job), f"queue {job.queue!r}")
    if len(wanted) > 1:
        places = ", ".join(f"{what} in shard {shard.name!r}" for shard, what in wanted.items())
        raise Unsupported(
            f"jobs that wait for each other must be in one shard, these are not: {places};"
            " nothing was stored"
        )
    return next(iter(wanted), None) or ring.home_of_id(min(job.id for job in flow))
