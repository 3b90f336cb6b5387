"""Insert: many jobs at once, whole or not at all, repeatable."""

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeAlias
from uuid import UUID

import msgspec

from mainspring.engines.common.queues import full
from mainspring.engines.redis.body import pack_job, policy_id
from mainspring.engines.redis.client import Client
from mainspring.errors import IdConflict, InvalidArguments, UniqueTaken, UnknownDependency
from mainspring.job import MESSAGE, Inserted, NewJob, Now, Policy, encode_policy

Job: TypeAlias = NewJob[Any]

_encode = msgspec.msgpack.Encoder().encode


def insert(client: Client, jobs: Sequence[Job], now: Now | None = None) -> list[Inserted]:
    """Store the jobs; the answers in their order."""
    if not jobs:
        return []
    if any(job.edges for job in jobs):
        _refuse_circles(jobs)
    blobs: list[bytes] = []
    head = heading(jobs, blobs)
    kind, *answers = client.run("insert", *head, *blobs, now=now)
    if kind == b"first":
        first, wall = map(int, answers)
        return [Inserted(job.id, number, created=wall) for number, job in enumerate(jobs, first)]
    if kind == b"each":
        wall, told = int(answers[0]), answers[1:]
        return [
            Inserted(job.id, int(number), duplicate_of or None, bool(repeated))
            if duplicate_of or repeated
            else Inserted(job.id, int(number), created=wall)
            for job, number, duplicate_of, repeated in zip(
                jobs, told[::3], told[1::3], told[2::3], strict=True
            )
        ]
    raise _refusal(kind, jobs, *answers)


def heading(jobs: Sequence[Job], blobs: list[bytes]) -> list[Any]:
    """What stands before jobs that are to be stored; each job is added to `blobs`."""
    queues: dict[str, bool] = {}
    policies: dict[bytes, bytes] = {}
    known: dict[int, tuple[Policy, bytes]] = {}
    for job in jobs:
        # Jobs of one task mostly share the policy object, so that it need not be compared.
        if (found := known.get(id(job.policy))) is None:
            found = known[id(job.policy)] = job.policy, policy_id(job.policy)
            policies[found[1]] = encode_policy(job.policy)
        if job.task == MESSAGE:
            queues[job.queue] = True
        elif job.queue not in queues:
            queues[job.queue] = False
        blobs.append(pack_job(job, found[1]))
    listed = [part for pair in policies.items() for part in pair]
    return [len(policies), _encode(list(queues.items())), *listed]


def _refuse_circles(jobs: Sequence[Job]) -> None:
    within = {job.id: [edge.parent for edge in job.edges] for job in jobs}
    try:
        TopologicalSorter(within).prepare()
    except CycleError as error:
        ids = " → ".join(str(UUID(bytes=each)) for each in error.args[1])
        raise InvalidArguments(f"dependencies: these jobs wait for each other: {ids}") from None


def _refusal(kind: bytes, jobs: Sequence[Job], id: bytes, other: bytes = b"") -> Exception:
    if kind == b"full":
        return full(id.decode(), int(other))
    name = UUID(bytes=id)
    if kind == b"conflict":
        return IdConflict(f"job {name} exists already, with other content; nothing was stored")
    if kind == b"unknown":
        return UnknownDependency(f"job {name} waits for {UUID(bytes=other)}, which does not exist")
    unique = next(job.unique for job in jobs if job.id == id)
    return UniqueTaken(
        f"unique key {unique!r} is held by job {UUID(bytes=other)}; nothing was stored", other
    )
