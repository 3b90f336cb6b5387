"""The shards store: several stores as one; every verb, handed to the module that does it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from msgspec.structs import replace

from mainspring.cells import Add, Cell, Put
from mainspring.dossier import Dossier
from mainspring.engines.shards import kv, moving, posts, reading, writing
from mainspring.engines.shards.address import address
from mainspring.engines.shards.ring import Ring
from mainspring.engines.shards.shard import Shard
from mainspring.engines.shards.signals import Ears
from mainspring.engines.shards.work import Work
from mainspring.errors import LeaseLost, StoreUnavailable
from mainspring.job import (
    FINAL,
    Changed,
    Claimed,
    Inserted,
    JobError,
    NewJob,
    Now,
    Record,
    Select,
    State,
    Transition,
)
from mainspring.posts import Cursor, NewPost, Page
from mainspring.sharded import ShardInfo, ShardQueue
from mainspring.store import (
    Claim,
    Counts,
    Exchanged,
    Grant,
    Health,
    Line,
    Minute,
    News,
    Note,
    Presence,
    Pulse,
    QueueInfo,
    Settings,
    Signal,
    Traffic,
    Wanted,
)


class ShardsStore:
    """Several stores as one. See `mainspring.store.Store` for what each verb promises, and
    docs/shards.md for what holds only within a shard."""

    def __init__(self, url: str) -> None:
        self._ring = Ring(address(url))
        self._work = Work(self._ring)
        self._pages = reading.Pages(self._ring)
        self._ears = Ears(self._ring.shards)
        self._opened_ms = 0

    # --- life -------------------------------------------------------------------------------

    def open(self) -> None:
        self._opened_ms = self._opened_ms or time.time_ns() // 1_000_000
        trouble: StoreUnavailable | None = None
        for shard in self._ring.shards:
            try:
                shard.open()
            except StoreUnavailable as error:
                trouble = error
            except BaseException:
                self.close()
                raise
        if trouble is not None and not any(shard.is_open for shard in self._ring.shards):
            self.close()
            raise trouble

    def close(self) -> None:
        self._ears.close()
        for shard in self._ring.shards:
            shard.close()

    def migrate(self) -> int:
        return max(version for _, version in self._ring.each(lambda store: store.migrate()))

    def check(self) -> list[str]:
        return reading.check(self._ring)

    def health(self) -> Health:
        return reading.health(self._ring)

    def shards(self) -> list[ShardInfo]:
        """Each shard, and what is in it; one that does not answer says why."""
        return [self._info(shard) for shard in self._ring.shards]

    def _info(self, shard: Shard) -> ShardInfo:
        info = ShardInfo(name=shard.name, url=shard.url, draining=shard.draining)
        try:
            counts = shard.do(lambda store: store.counts())
            entries = bool(shard.do(lambda store: store.kv_scan(limit=1)))
        except StoreUnavailable as error:
            return replace(info, away=str(error))
        queues = {
            queue: ShardQueue(
                home=shard in self._ring.homes(queue),
                waiting=sum(n for state, n in states.items() if state not in FINAL)
                - states[State.RUNNING],
                running=states[State.RUNNING],
                ended=sum(states[state] for state in FINAL),
            )
            for queue, states in counts.items()
        }
        return replace(info, entries=entries, queues=queues)

    # --- produce ----------------------------------------------------------------------------

    def insert(
        self, jobs: Sequence[NewJob[Any]], *, connection: Any = None, now: Now | None = None
    ) -> list[Inserted]:
        return writing.insert(self._ring, jobs, connection, now, self._opened_ms)

    # --- work -------------------------------------------------------------------------------

    def exchange(
        self,
        transitions: Sequence[Transition],
        claim: Claim | None = None,
        *,
        now: Now | None = None,
    ) -> Exchanged:
        return self._work.exchange(transitions, claim, now)

    def heartbeat(
        self,
        presence: Presence,
        tokens: Sequence[int],
        lease: int,
        notes: Sequence[Note] = (),
        *,
        now: Now | None = None,
    ) -> Pulse:
        return self._work.heartbeat(presence, tokens, lease, notes, now)

    def reclaim(self, grant: Grant, limit: int, *, now: Now | None = None) -> list[Claimed]:
        return self._work.reclaim(grant, limit, now)

    def held(self, tokens: Sequence[int]) -> list[Claimed]:
        return self._work.held(tokens)

    def transaction(
        self, job: Claimed, transition: Transition, *, lease: int, connection: Any = None
    ) -> AbstractContextManager[Any]:
        return self._transaction(job, transition, lease, connection)

    @contextmanager
    def _transaction(
        self, job: Claimed, transition: Transition, lease: int, connection: Any
    ) -> Iterator[Any]:
        shard, number = self._ring.of_number(job.number)
        if shard is None:
            raise LeaseLost(f"job #{job.number} is of no shard there is")
        mine, change = replace(job, number=number), replace(transition, number=number)
        lent = shard.do(
            lambda store: store.transaction(mine, change, lease=lease, connection=connection)
        )
        with lent as inner:
            yield inner

    def upkeep(self, limit: int = 1000, *, now: Now | None = None) -> int:
        done = self._ring.side_by_side(lambda store: store.upkeep(limit, now=now))
        return sum(touched for _, touched in done)

    # --- operate ----------------------------------------------------------------------------

    def cancel(self, select: Select, reason: str = "", *, now: Now | None = None) -> Changed:
        return writing.change(
            self._ring, select, lambda store, select: store.cancel(select, reason, now=now)
        )

    def replay(self, select: Select, *, now: Now | None = None) -> Changed:
        return writing.change(
            self._ring, select, lambda store, select: store.replay(select, now=now)
        )

    def delete(self, select: Select, *, now: Now | None = None) -> Changed:
        return writing.change(
            self._ring, select, lambda store, select: store.delete(select, now=now)
        )

    def configure(self, queue: str, settings: Settings) -> QueueInfo:
        return writing.configure(self._ring, queue, settings)

    def instruct(self, workers: Sequence[str], wanted: Wanted) -> list[str]:
        return writing.instruct(self._ring, workers, wanted)

    # --- read -------------------------------------------------------------------------------

    def get(self, ids: Sequence[bytes]) -> list[Record | None]:
        return reading.get(self._ring, ids)

    def find(self, select: Select, *, limit: int = 100, after: int | None = None) -> list[Record]:
        return self._pages.find(select, limit, after)

    def counts(self) -> Counts:
        return reading.counts(self._ring)

    def queues(self) -> list[QueueInfo]:
        return reading.queues(self._ring)

    def traffic(self, queue: str) -> Traffic:
        return reading.traffic(self._ring, queue)

    def position(self, id: bytes) -> int | None:
        shard = self._shard_of(id)
        return None if shard is None else shard.do(lambda store: store.position(id))

    def history(self, id: bytes) -> list[JobError]:
        shard = self._shard_of(id)
        return [] if shard is None else shard.do(lambda store: store.history(id))

    def logs(self, id: bytes, *, limit: int = 1000) -> list[Line]:
        shard = self._shard_of(id)
        return [] if shard is None else shard.do(lambda store: store.logs(id, limit=limit))

    def workers(self, *, now: Now | None = None) -> list[Presence]:
        told = self._ring.side_by_side(lambda store: store.workers(now=now))
        return reading.workers(worker for _, workers in told for worker in workers)

    def statistics(self, since: int) -> list[Minute]:
        told = self._ring.each(lambda store: store.statistics(since))
        return reading.statistics(minute for _, minutes in told for minute in minutes)

    def _shard_of(self, id: bytes) -> Shard | None:
        found, away = self._ring.locate([id])
        if not found and away:
            raise StoreUnavailable(away)
        return found[id][0] if found else None

    # --- key-value --------------------------------------------------------------------------

    def kv_get(self, keys: Sequence[str], *, now: Now | None = None) -> list[Cell | None]:
        return kv.get(self._ring, keys, now)

    def kv_set(self, puts: Sequence[Put], *, now: Now | None = None) -> list[int]:
        return kv.put(self._ring, puts, now)

    def kv_add(self, adds: Sequence[Add], *, now: Now | None = None) -> list[int]:
        return kv.add(self._ring, adds, now)

    def kv_touch(
        self, keys: Sequence[str], ttl: int | None, *, now: Now | None = None
    ) -> list[bool]:
        return kv.touch(self._ring, keys, ttl, now)

    def kv_delete(self, keys: Sequence[str], *, now: Now | None = None) -> int:
        return kv.delete(self._ring, keys, now)

    def kv_scan(
        self, prefix: str = "", *, after: str = "", limit: int = 1000, now: Now | None = None
    ) -> list[Cell]:
        return kv.scan(self._ring, prefix, after, limit, now)

    # --- topics -----------------------------------------------------------------------------

    def post(self, new: Sequence[NewPost], *, now: Now | None = None) -> list[int]:
        return posts.post(self._ring, new, now)

    def posts(self, after: Cursor, *, limit: int = 100) -> Page:
        return posts.read(self._ring, after, limit)

    def last_post(self) -> Cursor:
        return posts.last(self._ring)

    # --- move -------------------------------------------------------------------------------

    def dump(self, after: int = 0, limit: int = 1000) -> list[Dossier]:
        return moving.dump(self._ring, after, limit)

    def restore(self, dossiers: Sequence[Dossier]) -> int:
        return moving.restore(self._ring, dossiers)

    # --- signals ----------------------------------------------------------------------------

    def listen(self, news: News = News.JOBS) -> Signal:
        return self._ears.listen(news)
