"""Reading: the answers of several stores as those of one."""

import heapq
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from msgspec.structs import replace

from mainspring.engines.shards.placement import composed
from mainspring.engines.shards.ring import Ring, getting
from mainspring.engines.shards.shard import Shard
from mainspring.errors import PartlyUnavailable, StoreUnavailable
from mainspring.job import Record, Select, State
from mainspring.store import Counts, Health, Minute, Presence, QueueInfo, Store, Traffic

MOST_PAGES = 256


class _Below(NamedTuple):
    """Where a page goes on in a shard: below a number there, and before a moment."""

    number: int | None = None
    created: int | None = None


class Pages:
    """Finds page by page, newest first by the time of insertion, within a shard by number.

    Numbers of different shards are not comparable. Where each shard goes on after a page is
    remembered; for a page of another process it follows from when its last job was inserted.
    """

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._lock = threading.Lock()
        self._ends: dict[tuple[Select, int], dict[Shard, _Below]] = {}

    def find(self, select: Select, limit: int, after: int | None) -> list[Record]:
        """A page."""
        below = self._below(select, after)
        if below is None:
            return []
        streams = []
        for shard in self._ring.shards:
            number, created = below.get(shard, _Below())
            before = min((t for t in (select.before, created) if t is not None), default=None)
            mine = replace(select, before=before)

            def verb(
                store: Store, mine: Select = mine, number: int | None = number
            ) -> list[Record]:
                return store.find(mine, limit=limit, after=number)

            streams.append([(record, shard) for record in shard.do(verb)])
        merged = heapq.merge(*streams, key=lambda found: (-found[0].created, found[1].slot))
        page = list(islice(merged, limit))
        for record, shard in page:
            below[shard] = _Below(record.number, below.get(shard, _Below()).created)
            record.number = composed(record.number, shard.slot)
        if page:
            self._remember(select, page[-1][0].number, below)
        return [record for record, _ in page]

    def _remember(self, select: Select, number: int, below: dict[Shard, _Below]) -> None:
        with self._lock:
            while len(self._ends) >= MOST_PAGES:
                del self._ends[next(iter(self._ends))]
            self._ends[select, number] = below

    def _below(self, select: Select, after: int | None) -> dict[Shard, _Below] | None:
        """Where each shard goes on; None if that job is not known."""
        if after is None:
            return {}
        if (known := self._ends.get((select, after))) is not None:
            return dict(known)
        # Slots are even: what is odd is the number after a job's, and that job is meant, too.
        with_it = after & 1
        owner, number = self._ring.of_number(after - with_it)
        if owner is None:
            return None
        last = owner.do(lambda store: store.find(Select(), limit=1, after=number + 1))
        if not last:
            return None
        created = last[0].created
        return {
            shard: _Below(number + with_it)
            if shard is owner
            else _Below(created=created + (shard.slot > owner.slot))
            for shard in self._ring.shards
        }


def get(ring: Ring, ids: Sequence[bytes]) -> list[Record | None]:
    """Looked for where they were seen or hash to, then everywhere."""
    found: dict[bytes, Record] = {}
    guesses: dict[Shard, list[bytes]] = {}
    for id in dict.fromkeys(ids):
        seen = ring.seen(id)
        guesses.setdefault(seen[0] if seen else ring.home_of_id(id), []).append(id)
    trouble: StoreUnavailable | None = None
    wanted = len(set(ids))
    for whole in (False, True):
        for shard in ring.likely():
            asked = [id for id in dict.fromkeys(ids) if id not in found]
            if not whole:
                asked = guesses.get(shard, [])
            elif guesses.get(shard) == asked:
                continue
            if not asked:
                continue
            try:
                records = shard.do(getting(asked))
            except StoreUnavailable as error:
                trouble = error
                continue
            for record in filter(None, records):
                record.number = composed(record.number, shard.slot)
                found[record.id] = record
                ring.remember(record.id, shard, record.queue)
    answer = [found.get(id) for id in ids]
    if trouble is not None and len(found) < wanted:
        if not found:
            raise trouble
        raise PartlyUnavailable(str(trouble), answer, [id for id in ids if id not in found])
    return answer


def counts(ring: Ring) -> Counts:
    """The sums."""
    total: dict[str, dict[State, int]] = {}
    for _, counts in ring.each(lambda store: store.counts()):
        for queue, states in counts.items():
            into = total.setdefault(queue, dict.fromkeys(State, 0))
            for state, n in states.items():
                into[state] += n
    return dict(sorted(total.items()))


def queues(ring: Ring) -> list[QueueInfo]:
    """Each with the settings it has at its home, or where it is."""
    infos: dict[str, QueueInfo] = {}
    by_hand = set()
    for shard, found in ring.each(lambda store: store.queues()):
        for info in found:
            if info.name not in infos or shard in ring.homes(info.name):
                infos[info.name] = info
            if info.by_hand:
                by_hand.add(info.name)
    return [replace(infos[name], by_hand=name in by_hand) for name in sorted(infos)]


def traffic(ring: Ring, queue: str) -> Traffic:
    """The sums. A consumer that holds messages of several shards counts in each."""
    told = [each for _, each in ring.each(lambda store: store.traffic(queue))]
    names = Traffic.__struct_fields__
    return Traffic(**{name: sum(getattr(each, name) for each in told) for name in names})


def workers(everybody: Iterable[Presence]) -> list[Presence]:
    """Each as it was last heard of."""
    latest: dict[str, Presence] = {}
    for worker in everybody:
        known = latest.get(worker.id)
        if known is None or known.seen < worker.seen:
            latest[worker.id] = worker
    return [latest[id] for id in sorted(latest)]


def statistics(minutes: Iterable[Minute]) -> list[Minute]:
    """The sums."""
    total: dict[tuple[int, str, str], Minute] = {}
    sums = ("started", "completed", "failed", "retried", "waited", "ran")
    for minute in minutes:
        key = minute.start, minute.queue, minute.task
        if (known := total.get(key)) is not None:
            minute = replace(
                minute,
                **{name: getattr(known, name) + getattr(minute, name) for name in sums},
                wait_histogram=_added(known.wait_histogram, minute.wait_histogram),
                run_histogram=_added(known.run_histogram, minute.run_histogram),
            )
        total[key] = minute
    return sorted(total.values(), key=attrgetter("start", "queue", "task"))


def _added(one: Mapping[int, int], other: Mapping[int, int]) -> dict[int, int]:
    return dict(Counter(one) + Counter(other))


def check(ring: Ring) -> list[str]:
    """What is broken in each, and where they contradict each other."""
    broken = []
    infos: dict[str, dict[QueueInfo, list[str]]] = {}
    for shard in ring.shards:
        broken += [f"shard {shard.name}: {each}" for each in shard.do(lambda s: s.check())]
        for info in shard.do(lambda s: s.queues()):
            same = infos.setdefault(info.name, {})
            same.setdefault(replace(info, by_hand=False), []).append(shard.name)
    for queue, same in infos.items():
        if len(same) > 1:
            names = " and ".join(", ".join(names) for names in same.values())
            broken.append(f"queue {queue!r} has not the same settings in shards {names}")
    return broken


def health(ring: Ring) -> Health:
    """Each in words; one that does not answer is a warning."""
    told: dict[str, Health] = {}
    warnings = []
    for shard in ring.shards:
        try:
            told[shard.name] = health = shard.do(lambda store: store.health())
            warnings += [f"shard {shard.name}: {each}" for each in health.warnings]
        except StoreUnavailable as error:
            warnings.append(str(error))
    if not told:
        raise ring.shards[0].unavailable()
    return Health(
        engine="shards",
        version=_each(told, "version"),
        schema=max(each.schema for each in told.values()),
        durability=_each(told, "durability"),
        warnings=tuple(warnings),
        figures={
            f"{name}_{figure}": value
            for name, each in told.items()
            for figure, value in each.figures.items()
        },
    )


def _each(told: Mapping[str, Health], field: str) -> str:
    """Said once where all say the same."""
    same: dict[str, list[str]] = {}
    for name, health in told.items():
        same.setdefault(getattr(health, field), []).append(name)
    return "; ".join(f"{', '.join(names)}: {value}" for value, names in same.items())
