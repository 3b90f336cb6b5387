"""Key-value over several stores: an entry stays in the shard where it was written.

A new one goes to its key's home. One that is not at its home is looked for in all shards, since
they may have been others when it was written: so each that may have it must answer. Versions tell
their shard, as the numbers of jobs do: that of an entry is never another's, wherever it is made.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias, TypeVar

from msgspec.structs import replace

from mainspring.cells import Add, Cell, Put
from mainspring.engines.common.cells import once, refusal
from mainspring.engines.shards.placement import composed, parts
from mainspring.engines.shards.ring import Ring
from mainspring.engines.shards.shard import Shard
from mainspring.errors import VersionConflict
from mainspring.job import Now
from mainspring.store import Store

T = TypeVar("T")

Places: TypeAlias = Mapping[Shard, Sequence[int]]
"""The places in a call of what concerns a shard."""

NEVER = -1
"""A version that no entry has."""


def get(ring: Ring, keys: Sequence[str], now: Now | None) -> list[Cell | None]:
    """The entries under these keys."""
    found = _locate(ring, keys, now)
    return [_outer(*found[key]) if key in found else None for key in keys]


def scan(ring: Ring, prefix: str, after: str, limit: int, now: Now | None) -> list[Cell]:
    """A page of entries, merged. Of what was copied from one shard to another, that at home."""
    found: dict[str, Cell] = {}
    for shard, cells in ring.each(
        lambda store: store.kv_scan(prefix, after=after, limit=limit, now=now)
    ):
        for cell in cells:
            if cell.key not in found or ring.home_of_entry(cell.key) is shard:
                found[cell.key] = _outer(shard, cell)
    return [found[key] for key in sorted(found)[:limit]]


def put(ring: Ring, puts: Sequence[Put], now: Now | None) -> list[int]:
    """All or none at each shard, those first that may be refused. `VersionConflict`."""
    places = _places(ring, once(each.key for each in puts), now)
    answers: dict[int, int] = {}
    for shard in sorted(places, key=lambda s: all(puts[n].expected is None for n in places[s])):
        mine = [_inner(shard, puts[n]) for n in places[shard]]
        try:
            versions = shard.do(_setting(mine, now))
        except VersionConflict as error:
            [given] = [each for each in puts if each.key == error.key]
            found = error.found and composed(error.found, shard.slot)
            raise refusal(error.key, given.expected or 0, found) from None
        for n, version in zip(places[shard], versions, strict=True):
            answers[n] = composed(version, shard.slot)
    return [answers[n] for n in range(len(puts))]


def add(ring: Ring, adds: Sequence[Add], now: Now | None) -> list[int]:
    """To all or none at each shard. `NotInteger`."""
    places = _places(ring, once(each.key for each in adds), now)
    return _gathered(
        places, lambda store, mine: store.kv_add([adds[n] for n in mine], now=now), len(adds)
    )


def touch(ring: Ring, keys: Sequence[str], ttl: int | None, now: Now | None) -> list[bool]:
    """Have these stay so long from now on; which were there."""
    places = _places(ring, once(keys), now)
    return _gathered(
        places, lambda store, mine: store.kv_touch([keys[n] for n in mine], ttl, now=now), len(keys)
    )


def delete(ring: Ring, keys: Sequence[str], now: Now | None) -> int:
    """Remove these; how many there were."""
    places = _places(ring, once(keys), now)
    return sum(shard.do(_deleting([keys[n] for n in mine], now)) for shard, mine in places.items())


def _gathered(
    places: Places, verb: Callable[[Store, Sequence[int]], Sequence[T]], count: int
) -> list[T]:
    """What the verb answers for each place, wherever that is."""
    answers: dict[int, T] = {}
    for shard, mine in places.items():
        told = shard.do(lambda store, mine=mine: verb(store, mine))  # type: ignore[misc]
        answers.update(zip(mine, told, strict=True))
    return [answers[n] for n in range(count)]


def _places(ring: Ring, keys: Sequence[str], now: Now | None) -> dict[Shard, list[int]]:
    """Where these are, or where they go if they are nowhere."""
    found = _locate(ring, keys, now)
    places: dict[Shard, list[int]] = {}
    for n, key in enumerate(keys):
        shard = found[key][0] if key in found else ring.home_of_entry(key)
        places.setdefault(shard, []).append(n)
    return places


def _locate(ring: Ring, keys: Iterable[str], now: Now | None) -> dict[str, tuple[Shard, Cell]]:
    """The entries that are there, each with its shard; `StoreUnavailable` if one may be in a shard
    that does not answer."""
    homes: dict[Shard, list[str]] = {}
    for key in dict.fromkeys(keys):
        homes.setdefault(ring.home_of_entry(key), []).append(key)
    found: dict[str, tuple[Shard, Cell]] = {}
    for home, mine in homes.items():
        _look(home, mine, found, now)
    for shard in ring.shards:
        strays = [key for home, mine in homes.items() if home is not shard for key in mine]
        _look(shard, [key for key in strays if key not in found], found, now)
    return found


def _look(
    shard: Shard, keys: Sequence[str], found: dict[str, tuple[Shard, Cell]], now: Now | None
) -> None:
    if keys:
        for cell in shard.do(lambda store: store.kv_get(keys, now=now)):
            if cell is not None:
                found[cell.key] = shard, cell


def _setting(puts: Sequence[Put], now: Now | None) -> Callable[[Store], list[int]]:
    return lambda store: store.kv_set(puts, now=now)


def _deleting(keys: Sequence[str], now: Now | None) -> Callable[[Store], int]:
    return lambda store: store.kv_delete(keys, now=now)


def _inner(shard: Shard, put: Put) -> Put:
    """The same with the version that is expected in the shard."""
    if not put.expected:
        return put
    version, slot = parts(put.expected)
    return replace(put, expected=version if slot == shard.slot else NEVER)


def _outer(shard: Shard, cell: Cell) -> Cell:
    """The same with the version it has among all shards."""
    return replace(cell, version=composed(cell.version, shard.slot))
