"""Moving: all jobs out of several stores in one order, and into them, each to its shard."""

from collections.abc import Sequence
from uuid import UUID

from mainspring.dossier import Dossier
from mainspring.engines.shards.placement import parts
from mainspring.engines.shards.ring import Ring, outer
from mainspring.engines.shards.shard import Shard
from mainspring.errors import StoreUnavailable, Unsupported


def dump(ring: Ring, after: int, limit: int) -> list[Dossier]:
    """By the numbers they have among all shards."""
    number, slot = parts(after)
    found: list[Dossier] = []
    for shard in ring.shards:
        below = number - (shard.slot > slot)
        page = shard.do(lambda store, below=below: store.dump(below, limit))  # type: ignore[misc]
        found += [outer(shard, dossier) for dossier in page]
    return sorted(found, key=lambda dossier: dossier.number)[:limit]


def restore(ring: Ring, dossiers: Sequence[Dossier]) -> int:
    """Where they are, or where they belong; `Unsupported` if one waits for a job elsewhere."""
    ids = [each.job.id for each in dossiers]
    found, away = ring.locate([*ids, *(wait.parent for each in dossiers for wait in each.waits)])
    if away:
        raise StoreUnavailable(f"{away}; jobs to be moved may be there")
    shards = {id: shard for id, (shard, _) in found.items()}
    groups: dict[Shard, list[Dossier]] = {}
    for each in dossiers:
        shard = shards.setdefault(each.job.id, ring.home_of(each.job))
        groups.setdefault(shard, []).append(each)
    for shard, mine in groups.items():
        for each in mine:
            for wait in each.waits:
                if shards.get(wait.parent, shard) is not shard:
                    raise Unsupported(
                        f"job {each.job.uuid} of queue {each.job.queue!r} belongs into shard"
                        f" {shard.name!r}, and waits for {UUID(bytes=wait.parent)} in shard"
                        f" {shards[wait.parent].name!r}"
                    )
    new = 0
    for shard, mine in groups.items():
        new += shard.do(lambda store, mine=mine: store.restore(mine))  # type: ignore[misc]
        for each in mine:
            ring.remember(each.job.id, shard, each.job.queue)
    return new
