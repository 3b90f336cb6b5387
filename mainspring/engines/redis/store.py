"""The Redis store: every verb, handed to the module that does it."""

import os
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from mainspring.cells import Add, Cell, Put
from mainspring.dossier import Dossier
from mainspring.engines.redis import (
    check,
    dossiers,
    health,
    kv,
    operate,
    posts,
    queues,
    read,
    schema,
    statistics,
    traffic,
)
from mainspring.engines.redis.address import address
from mainspring.engines.redis.body import pack_number, pack_token, unpack_token
from mainspring.engines.redis.claim import claimed, pack_wish
from mainspring.engines.redis.insert import insert
from mainspring.engines.redis.parts import Parts
from mainspring.engines.redis.settle import Batch
from mainspring.engines.redis.trouble import first_contact, trouble
from mainspring.errors import StoreFull, StoreUnavailable, Unsupported
from mainspring.job import (
    Changed,
    Claimed,
    Inserted,
    JobError,
    NewJob,
    Now,
    Record,
    Select,
    Transition,
)
from mainspring.posts import Cursor, NewPost, Page
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

GRANTS_KEPT = 120_000_000
WORKERS_KEPT = 600_000_000
STATISTICS_KEPT = 14 * 86_400_000_000

_encode = msgspec.msgpack.Encoder().encode
_decode_wanted = msgspec.msgpack.Decoder(Wanted).decode


class RedisStore:
    """A store on a Redis or Valkey server. See `mainspring.store.Store` for what each verb
    promises."""

    def __init__(self, url: str) -> None:
        self._address = address(url)
        self._opening = threading.Lock()
        self._open: Parts | None = None
        _prepare_for_forks(weakref.ref(self))

    # --- life -------------------------------------------------------------------------------

    def open(self) -> None:
        with self._opening:
            if self._open is None:
                parts = Parts(self._address)
                try:
                    with first_contact(self._address.place):
                        found = health.server(parts.client)
                    health.refuse_eviction(parts.client, found)
                    schema.migrate(parts.client)
                except BaseException:
                    parts.client.close()
                    raise
                self._open = parts

    def close(self) -> None:
        with self._opening:
            parts, self._open = self._open, None
        if parts is not None:
            parts.close()

    def migrate(self) -> int:
        self.open()
        return schema.migrate(self._parts.client)

    def check(self) -> list[str]:
        return check.check(self._parts.client)

    def health(self) -> Health:
        return health.health(self._parts.client, self._address.replicas)

    @property
    def _parts(self) -> Parts:
        if self._open is None:
            raise StoreUnavailable(f"{self._address.place}: the store is not open")
        return self._open

    def _after_fork_in_child(self) -> None:
        self._opening = threading.Lock()
        if self._open is not None:
            self._open.after_fork()

    # --- produce ----------------------------------------------------------------------------

    def insert(
        self, jobs: Sequence[NewJob[Any]], *, connection: Any = None, now: Now | None = None
    ) -> list[Inserted]:
        if connection is not None:
            raise Unsupported(
                f"{self._address.place}: tx= needs a store in the caller's own database;"
                " Redis has no transaction to take part in"
            )
        parts = self._parts
        if now is not None:
            return insert(parts.client, jobs, now)
        return parts.gathering.insert(jobs)

    # --- work -------------------------------------------------------------------------------

    def exchange(
        self,
        transitions: Sequence[Transition],
        claim: Claim | None = None,
        *,
        now: Now | None = None,
    ) -> Exchanged:
        if not transitions and claim is None:
            return Exchanged()
        parts = self._parts
        batch = Batch(transitions, parts.handed)
        token = b"" if claim is None else pack_token(claim.grant.token)
        wish = b"" if claim is None else pack_wish(claim)
        told = self._exchange(token, wish, batch.arguments(), now)
        settled = batch.settled(told, parts.statistics)
        jobs: list[Claimed] = []
        more, next_due = 0, b""
        if claim is not None and told[5]:
            more, next_due, taken = told[5]
            jobs = claimed(parts.policies, claim.grant.token, taken)
            parts.hand_out(claim.grant.token, jobs, int(told[0]))
        parts.flush()
        return Exchanged(
            jobs, settled.lost, settled.cancelled, int(next_due) if next_due else None, bool(more)
        )

    def _exchange(
        self, token: bytes, wish: bytes, transitions: Sequence[Any], now: Now | None
    ) -> Any:
        client = self._parts.client
        try:
            return client.run("exchange", token, wish, 0, *transitions, now=now)
        except StoreFull:
            if not transitions:
                raise
            # What has ended is written although the memory is full; nothing more is begun.
            return client.run("exchange", b"", b"", 1, *transitions, now=now)

    def heartbeat(
        self,
        presence: Presence,
        tokens: Sequence[int],
        lease: int,
        notes: Sequence[Note] = (),
        *,
        now: Now | None = None,
    ) -> Pulse:
        started = "" if presence.state == "stopped" else presence.started
        told = self._parts.client.run(
            "heartbeat",
            *(presence.id, started, _encode(presence.tasks), _encode(presence)),
            *(lease, len(tokens)),
            *map(pack_token, tokens),
            *(part for note in notes for part in _note(note)),
            now=now,
            repeat=not notes,
        )
        lost, cancel, paused, wanted = told
        gone = tuple(map(unpack_token, lost))
        self._parts.handed.drop(gone)
        return Pulse(
            lost=gone,
            cancel=tuple(map(int, cancel)),
            paused=tuple(name.decode() for name in paused),
            wanted=_decode_wanted(wanted) if wanted else None,
        )

    def reclaim(self, grant: Grant, limit: int, *, now: Now | None = None) -> list[Claimed]:
        parts = self._parts
        told = parts.client.run(
            "reclaim", pack_token(grant.token), grant.worker, grant.lease, limit, now=now
        )
        return claimed(parts.policies, grant.token, told)

    def held(self, tokens: Sequence[int]) -> list[Claimed]:
        parts = self._parts
        told = parts.client.run("held", *map(pack_token, tokens), writes=False)
        return [
            job
            for token, each in zip(tokens, told, strict=True)
            for job in claimed(parts.policies, token, each)
        ]

    def transaction(
        self, job: Claimed, transition: Transition, *, lease: int, connection: Any = None
    ) -> AbstractContextManager[Any]:
        raise Unsupported(
            f"{self._address.place}: a job's own transaction needs a store in an SQL database;"
            " on Redis make the work repeatable instead"
        )

    def upkeep(self, limit: int = 1000, *, now: Now | None = None) -> int:
        self._parts.flush(at_once=True)
        kept = (GRANTS_KEPT, WORKERS_KEPT, STATISTICS_KEPT, *posts.BOUNDS)
        touched: int = self._parts.client.run("upkeep", limit, *kept, now=now)
        return touched

    # --- operate ----------------------------------------------------------------------------

    def cancel(self, select: Select, reason: str = "", *, now: Now | None = None) -> Changed:
        return operate.by_slices(self._parts.client, "cancel", select, now, reason)

    def replay(self, select: Select, *, now: Now | None = None) -> Changed:
        return operate.by_slices(self._parts.client, "replay", select, now)

    def delete(self, select: Select, *, now: Now | None = None) -> Changed:
        return operate.by_slices(self._parts.client, "delete", select, now)

    def configure(self, queue: str, settings: Settings) -> QueueInfo:
        return queues.configure(self._parts.client, queue, settings)

    def instruct(self, workers: Sequence[str], wanted: Wanted) -> list[str]:
        asked = dict.fromkeys(workers)
        told = self._parts.client.run("instruct", _encode(wanted), *asked)
        return [id.decode() for id in told]

    # --- read -------------------------------------------------------------------------------

    def get(self, ids: Sequence[bytes]) -> list[Record | None]:
        return read.get(self._parts.client, self._parts.policies, ids)

    def find(self, select: Select, *, limit: int = 100, after: int | None = None) -> list[Record]:
        parts = self._parts
        numbers = operate.matching(parts.client, select, limit, after)
        return read.records(parts.client, parts.policies, "number", numbers)

    def counts(self) -> Counts:
        return read.counts(self._parts.client)

    def queues(self) -> list[QueueInfo]:
        return queues.queues(self._parts.client)

    def traffic(self, queue: str) -> Traffic:
        self._parts.flush(at_once=True)
        return traffic.traffic(self._parts.client, queue)

    def position(self, id: bytes) -> int | None:
        place: int | None = self._parts.client.run("position", id, writes=False)
        return None if place is None else place + 1

    def history(self, id: bytes) -> list[JobError]:
        return read.history(self._parts.client, id)

    def logs(self, id: bytes, *, limit: int = 1000) -> list[Line]:
        return read.logs(self._parts.client, id, limit)

    def workers(self, *, now: Now | None = None) -> list[Presence]:
        client = self._parts.client
        with trouble(client.place):
            lease = client.server_time() if now is None else now.lease
            told = client.redis.hgetall(client.key("worker"))
        return read.workers(told, lease)

    def statistics(self, since: int) -> list[Minute]:
        self._parts.flush(at_once=True)
        return statistics.read(self._parts.client, since)

    # --- key-value --------------------------------------------------------------------------

    def kv_get(self, keys: Sequence[str], *, now: Now | None = None) -> list[Cell | None]:
        return kv.get(self._parts.client, keys, now)

    def kv_set(self, puts: Sequence[Put], *, now: Now | None = None) -> list[int]:
        return kv.put(self._parts.client, puts, now)

    def kv_add(self, adds: Sequence[Add], *, now: Now | None = None) -> list[int]:
        return kv.add(self._parts.client, adds, now)

    def kv_touch(
        self, keys: Sequence[str], ttl: int | None, *, now: Now | None = None
    ) -> list[bool]:
        return kv.touch(self._parts.client, keys, ttl, now)

    def kv_delete(self, keys: Sequence[str], *, now: Now | None = None) -> int:
        return kv.delete(self._parts.client, keys, now)

    def kv_scan(
        self, prefix: str = "", *, after: str = "", limit: int = 1000, now: Now | None = None
    ) -> list[Cell]:
        return kv.scan(self._parts.client, prefix, after, limit, now)

    # --- topics -----------------------------------------------------------------------------

    def post(self, new: Sequence[NewPost], *, now: Now | None = None) -> list[int]:
        parts = self._parts
        return parts.posting.insert(new) if now is None else posts.post(parts.client, new, now)

    def posts(self, after: Cursor, *, limit: int = 100) -> Page:
        return posts.read(self._parts.client, after, limit)

    def last_post(self) -> Cursor:
        return posts.last(self._parts.client)

    # --- move -------------------------------------------------------------------------------

    def dump(self, after: int = 0, limit: int = 1000) -> list[Dossier]:
        parts = self._parts
        return dossiers.dump(parts.client, parts.policies, after, limit)

    def restore(self, jobs: Sequence[Dossier]) -> int:
        return dossiers.restore(self._parts.client, jobs)

    # --- signals ----------------------------------------------------------------------------

    def listen(self, news: News = News.JOBS) -> Signal:
        return self._parts.bell.listen(news)


def _note(note: Note) -> tuple[Any, ...]:
    percent = b"" if note.percent is None else read.pack_percent(note.percent)
    return pack_number(note.number), pack_token(note.token), note.at, note.text, percent


def _prepare_for_forks(reference: "weakref.ref[RedisStore]") -> None:
    def told(act: Callable[[RedisStore], None]) -> Callable[[], None]:
        return lambda: act(store) if (store := reference()) is not None else None

    os.register_at_fork(after_in_child=told(RedisStore._after_fork_in_child))
