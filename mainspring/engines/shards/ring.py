"""Ring: all shards of a store, where things belong among them, and which of them has what."""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from mainspring.engines.shards.address import Address
from mainspring.engines.shards.placement import (
    composed,
    highest,
    of_entry,
    of_id,
    of_key,
    of_queue,
    of_topic,
    parts,
)
from mainspring.engines.shards.shard import Shard
from mainspring.errors import MainspringError, StoreUnavailable
from mainspring.job import NewJob, Record
from mainspring.store import QueueInfo, Settings, Store

T = TypeVar("T")
N = TypeVar("N", bound=msgspec.Struct)

MOST_REMEMBERED = 20_000
"""Jobs whose shard is remembered, and names whose home is."""


class Ring:
    """The shards. Thread-safe."""

    def __init__(self, address: Address) -> None:
        self.shards = [
            Shard(name, url, name in address.draining, self._opened)
            for name, url in address.urls.items()
        ]
        self.partitioned = address.partitioned
        self._by_name = {shard.name: shard for shard in self.shards}
        self._by_slot = {shard.slot: shard for shard in self.shards}
        self._taking = [shard.name for shard in self.shards if not shard.draining]
        self._homes: dict[str, Shard] = {}
        self._seen: dict[bytes, tuple[Shard, str]] = {}
        self._turn = itertools.count()
        self._lock = threading.Lock()

    # --- where things belong ----------------------------------------------------------------

    def home(self, queue: str) -> Shard:
        """Where new jobs of the queue go, unless it is partitioned."""
        if (known := self._homes.get(queue)) is not None:
            return known
        home = self._by_name[highest(self._taking, of_queue(queue))]
        if len(self._homes) < MOST_REMEMBERED:
            self._homes[queue] = home
        return home

    def home_of(self, job: NewJob[Any]) -> Shard:
        """Where a job goes that waits for no other. In a partitioned queue a unique key is looked
        for where the key belongs."""
        if job.queue not in self.partitioned:
            return self.home(job.queue)
        return self.home_of_key(job.unique) if job.unique is not None else self.home_of_id(job.id)

    def home_of_id(self, id: bytes) -> Shard:
        """Where a job of a partitioned queue goes."""
        return self._by_name[highest(self._taking, of_id(id))]

    def home_of_key(self, unique: str) -> Shard:
        """Where jobs of partitioned queues with that key go."""
        return self._by_name[highest(self._taking, of_key(unique))]

    def home_of_entry(self, key: str) -> Shard:
        """Where a new entry of the key-value store goes."""
        return self._by_name[highest(self._taking, of_entry(key))]

    def home_of_topic(self, topic: str) -> Shard:
        """Where posts on the topic go."""
        return self._by_name[highest(self._taking, of_topic(topic))]

    def homes(self, queue: str) -> list[Shard]:
        """Where new jobs of the queue may go."""
        if queue in self.partitioned:
            return [shard for shard in self.shards if not shard.draining]
        return [self.home(queue)]

    # --- which has what ---------------------------------------------------------------------

    def of_number(self, number: int) -> tuple[Shard | None, int]:
        """The shard of a job's number, None if there is none such, and the number there."""
        local, slot = parts(number)
        return self._by_slot.get(slot), local

    def remember(self, id: bytes, shard: Shard, queue: str) -> None:
        """The job is there: jobs never move."""
        with self._lock:
            while len(self._seen) >= MOST_REMEMBERED:
                del self._seen[next(iter(self._seen))]
            self._seen[id] = shard, queue

    def seen(self, id: bytes) -> tuple[Shard, str] | None:
        """Where the job was seen, and in which queue."""
        return self._seen.get(id)

    def locate(self, ids: Iterable[bytes]) -> tuple[dict[bytes, tuple[Shard, str]], str]:
        """Where these jobs are, and in which queue, as far as they are anywhere; and why shards
        that may have the others do not answer, "" if all do."""
        wanted = dict.fromkeys(ids)
        found = {id: seen for id in wanted if (seen := self.seen(id))}
        away = ""
        for shard in self.likely():
            missing = [id for id in wanted if id not in found]
            if not missing:
                return found, ""
            try:
                records = shard.do(getting(missing))
            except StoreUnavailable as error:
                away = str(error)
                continue
            for record in records:
                if record is not None:
                    found[record.id] = shard, record.queue
                    self.remember(record.id, shard, record.queue)
        return found, away if len(found) < len(wanted) else ""

    def likely(self) -> list[Shard]:
        """All, those that do not answer last."""
        return sorted(self.shards, key=lambda shard: bool(shard.away))

    # --- all of them ------------------------------------------------------------------------

    def in_turn(self) -> list[Shard]:
        """All, starting with another one each time."""
        first = next(self._turn) % len(self.shards)
        return self.shards[first:] + self.shards[:first]

    def all_away(self) -> bool:
        """Whether none has answered lately."""
        return all(shard.away for shard in self.shards)

    def each(self, verb: Callable[[Store], T]) -> Iterator[tuple[Shard, T]]:
        """What each of them answers, in this thread; `StoreUnavailable` if one does not."""
        for shard in self.shards:
            yield shard, shard.do(verb)

    def side_by_side(self, verb: Callable[[Store], T]) -> list[tuple[Shard, T]]:
        """What those answer that do, asked at once; `StoreUnavailable` if none does."""
        return self.each_its_own(lambda shard: verb)

    def each_its_own(self, verb: Callable[[Shard], Callable[[Store], T]]) -> list[tuple[Shard, T]]:
        """The same where each is asked something else."""
        begun = [(shard, shard.begin(verb(shard))) for shard in self.shards if shard.is_ready()]
        answers: list[tuple[Shard, T]] = []
        trouble: StoreUnavailable | None = None
        for shard, asked in begun:
            try:
                answers.append((shard, shard.end(asked)))
            except StoreUnavailable as error:
                trouble = error
        if not answers:
            raise trouble or self.shards[0].unavailable()
        return answers

    # --- settings of queues -----------------------------------------------------------------

    def _opened(self, shard: Shard) -> None:
        """Give queues the settings they have elsewhere: a shard may be new, or have been away
        when they were changed for the first time."""
        try:
            known = {
                each: {info.name: info for info in each.store().queues()}
                for each in self.shards
                if each.is_open
            }
            for queue in {name for infos in known.values() for name in infos}:
                has = [infos[queue] for infos in known.values() if queue in infos]
                settings = changed(has)
                for each in self.homes(queue) if settings else ():
                    if each in known and queue not in known[each]:
                        each.store().configure(queue, settings or Settings())
        except MainspringError:
            return  # the next one that opens it, in this process or another, does it


def getting(ids: Sequence[bytes]) -> Callable[[Store], list[Record | None]]:
    """The verb that gets these jobs."""
    return lambda store: store.get(ids)


def changed(infos: Sequence[QueueInfo]) -> Settings | None:
    """The settings of a queue by the first shard where they are not the usual ones."""
    for info in infos:
        if info != QueueInfo(name=info.name):
            fields = {name: getattr(info, name) for name in Settings.__struct_fields__}
            return Settings(**fields)
    return None


def outer(shard: Shard, thing: N) -> N:
    """The same with the number it has among all shards."""
    number: int = thing.number  # type: ignore[attr-defined]
    return msgspec.structs.replace(thing, number=composed(number, shard.slot))
