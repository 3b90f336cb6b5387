"""The PostgreSQL store: every verb, handed to the module that does it."""

import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any, TypeVar

from mainspring.cells import Add, Cell, Put
from mainspring.dossier import Dossier
from mainspring.engines.common.codes import SLICE
from mainspring.engines.common.queues import validate
from mainspring.engines.postgres import (
    check,
    dossiers,
    health,
    kv,
    leases,
    operate,
    posts,
    queues,
    read,
    replay,
    settle,
    statistics,
    traffic,
    upkeep,
)
from mainspring.engines.postgres import migrate as schema
from mainspring.engines.postgres.address import address
from mainspring.engines.postgres.arrays import plain
from mainspring.engines.postgres.claim import Floors, claim_plainly, held
from mainspring.engines.postgres.claim import claim as take
from mainspring.engines.postgres.connection import connect
from mainspring.engines.postgres.insert import learn
from mainspring.engines.postgres.parts import Parts
from mainspring.engines.postgres.reader import Reader
from mainspring.engines.postgres.selection import matching
from mainspring.engines.postgres.step import Step
from mainspring.engines.postgres.trouble import trouble
from mainspring.errors import StoreUnavailable
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

T = TypeVar("T")


class PostgresStore:
    """A store in one schema of a PostgreSQL database. See `mainspring.store.Store` for what each
    verb promises."""

    def __init__(self, url: str) -> None:
        self._address = address(url)
        self._opening = threading.Lock()
        self._open: Parts | None = None
        _prepare_for_forks(weakref.ref(self))

    # --- life -------------------------------------------------------------------------------

    def open(self) -> None:
        with self._opening:
            if self._open is None:
                self._open = Parts(self._address, self._set_up()[1])

    def close(self) -> None:
        with self._opening:
            parts, self._open = self._open, None
        if parts is not None:
            with suppress(StoreUnavailable):
                parts.writer.flush()
            parts.close()

    def migrate(self) -> int:
        return self._set_up()[0]

    def _set_up(self) -> tuple[int, str]:
        """Bring the schema up to date; its version, and by what this store is known."""
        address = self._address
        with trouble(address.place), connect(address.conninfo) as connection:
            return schema.migrate(connection, address), schema.identity(connection, address)

    def check(self) -> list[str]:
        return self._read(check.check)

    def health(self) -> Health:
        return self._read(lambda reader: health.health(reader, self._address))

    @property
    def _parts(self) -> Parts:
        if self._open is None:
            raise StoreUnavailable(f"{self._address.place}: the store is not open")
        return self._open

    def _after_fork_in_child(self) -> None:
        # Connections are the parent's: closing them here would end them there. So they stay
        # open: one reference is given that nobody gives back.
        old, self._opening = self._open, threading.Lock()
        if old is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(old))
            self._open = Parts(self._address, old.identity)

    def _read(self, look: Callable[[Reader], T]) -> T:
        return self._parts.writer.read(look)

    def _write(
        self, verb: Callable[[Step], T], now: Now | None = None, *, repeatable: bool = True
    ) -> T:
        parts = self._parts
        parts.callers.forbid()
        return parts.writer.run(verb, now, repeatable=repeatable)

    # --- produce ----------------------------------------------------------------------------

    def insert(
        self, jobs: Sequence[NewJob[Any]], *, connection: Any = None, now: Now | None = None
    ) -> list[Inserted]:
        parts = self._parts
        if connection is not None:
            return parts.callers.insert(connection, jobs, now)
        parts.callers.forbid()
        if now is not None:
            return parts.insert(jobs, now)
        return parts.gathering.insert(jobs)

    # --- work -------------------------------------------------------------------------------

    def exchange(
        self,
        transitions: Sequence[Transition],
        claim: Claim | None = None,
        *,
        now: Now | None = None,
    ) -> Exchanged:
        if not (transitions or claim):
            return Exchanged()
        parts = self._parts
        parts.callers.forbid()
        if claim is not None and not transitions:
            got = parts.writer.alone(lambda step: claim_plainly(step, claim, parts.floors), now)
            if got is not None:
                return got
        self._flush_if_due()
        verb = partial(_exchange, transitions=transitions, wish=claim, floors=parts.floors)
        return parts.writer.run(verb, now)

    def _flush_if_due(self) -> None:
        if self._parts.writer.statistics.due():
            self._parts.writer.flush()

    def heartbeat(
        self,
        presence: Presence,
        tokens: Sequence[int],
        lease: int,
        notes: Sequence[Note] = (),
        *,
        now: Now | None = None,
    ) -> Pulse:
        return self._write(lambda step: leases.heartbeat(step, presence, tokens, lease, notes), now)

    def reclaim(self, grant: Grant, limit: int, *, now: Now | None = None) -> list[Claimed]:
        present = now or self._parts.writer.now()
        if not self._read(lambda reader: leases.anything_to_reclaim(reader, grant, present)):
            return []
        return self._write(lambda step: leases.reclaim(step, grant, limit), now)

    def held(self, tokens: Sequence[int]) -> list[Claimed]:
        return self._read(lambda reader: held(reader, tokens))

    def transaction(
        self, job: Claimed, transition: Transition, *, lease: int, connection: Any = None
    ) -> AbstractContextManager[Any]:
        return self._parts.callers.lend(job, transition, lease, connection)

    def upkeep(self, limit: int = 1000, *, now: Now | None = None) -> int:
        parts = self._parts
        present = now or parts.writer.now()
        chores = self._read(lambda reader: upkeep.look(reader, present, parts.walk, limit))
        touched = 0
        if chores:
            touched = self._write(lambda step: upkeep.do(step, chores, limit), now)
        self._flush_if_due()
        if parts.vacuum.due():
            self._read(parts.vacuum.run)
        return touched

    # --- operate ----------------------------------------------------------------------------

    def cancel(self, select: Select, reason: str = "", *, now: Now | None = None) -> Changed:
        return self._by_slices(select, lambda step, found: operate.cancel(step, found, reason), now)

    def replay(self, select: Select, *, now: Now | None = None) -> Changed:
        return self._by_slices(select, replay.replay, now)

    def delete(self, select: Select, *, now: Now | None = None) -> Changed:
        return self._by_slices(select, operate.delete, now)

    def configure(self, queue: str, settings: Settings) -> QueueInfo:
        validate(settings)
        names = self._parts.writer.names
        if names.unknown("queue", [queue]):
            self._read(lambda reader: names.learn(reader.rows, "queue", queue))
        info = self._write(lambda step: queues.configure(step, queue, settings))
        after: int | None = 0 if settings.aging is not None else None
        while after is not None:
            after = self._write(partial(queues.rescore, name=queue, after=after))
        return info

    def instruct(self, workers: Sequence[str], wanted: Wanted) -> list[str]:
        return self._write(lambda step: leases.instruct(step, workers, wanted))

    def _by_slices(self, select: Select, operation: operate.Operation, now: Now | None) -> Changed:
        """Do this to all that match, so many at a time, each slice a transaction."""
        ids: list[bytes] = []
        refused: dict[bytes, str] = {}
        below: int | None = None
        while True:

            def verb(step: Step, below: int | None = below) -> tuple[list[int], operate.Slice]:
                numbers = matching(step, select, SLICE, below)
                return numbers, operation(step, numbers)

            numbers, done = self._write(verb, now, repeatable=False)
            ids += done.ids
            refused |= done.refused
            if len(numbers) < SLICE:
                return Changed(tuple(ids), refused)
            below = numbers[-1]

    # --- read -------------------------------------------------------------------------------

    def get(self, ids: Sequence[bytes]) -> list[Record | None]:
        return self._read(lambda reader: read.get(reader, ids))

    def find(self, select: Select, *, limit: int = 100, after: int | None = None) -> list[Record]:
        return self._read(
            lambda reader: read.records(reader, matching(reader, select, limit, after))
        )

    def counts(self) -> Counts:
        return self._read(read.counts)

    def queues(self) -> list[QueueInfo]:
        return self._read(queues.queues)

    def traffic(self, queue: str) -> Traffic:
        self._parts.writer.flush()
        return self._read(lambda reader: traffic.traffic(reader, plain(queue)))

    def position(self, id: bytes) -> int | None:
        return self._read(lambda reader: read.position(reader, id))

    def history(self, id: bytes) -> list[JobError]:
        return self._read(lambda reader: read.history(reader, id))

    def logs(self, id: bytes, *, limit: int = 1000) -> list[Line]:
        return self._read(lambda reader: read.logs(reader, id, limit))

    def workers(self, *, now: Now | None = None) -> list[Presence]:
        lease = (now or self._parts.writer.now()).lease
        return self._read(lambda reader: read.workers(reader, lease))

    def statistics(self, since: int) -> list[Minute]:
        self._flush_if_due()
        return self._read(lambda reader: statistics.read(reader, since))

    # --- key-value --------------------------------------------------------------------------

    def kv_get(self, keys: Sequence[str], *, now: Now | None = None) -> list[Cell | None]:
        return self._parts.writer.alone(lambda step: kv.get(step, keys), now)

    def kv_set(self, puts: Sequence[Put], *, now: Now | None = None) -> list[int]:
        repeatable = all(each.expected is None for each in puts)
        return self._write(lambda step: kv.put(step, puts), now, repeatable=repeatable)

    def kv_add(self, adds: Sequence[Add], *, now: Now | None = None) -> list[int]:
        return self._write(lambda step: kv.add(step, adds), now, repeatable=False)

    def kv_touch(
        self, keys: Sequence[str], ttl: int | None, *, now: Now | None = None
    ) -> list[bool]:
        return self._write(lambda step: kv.touch(step, keys, ttl), now)

    def kv_delete(self, keys: Sequence[str], *, now: Now | None = None) -> int:
        return self._write(lambda step: kv.delete(step, keys), now, repeatable=False)

    def kv_scan(
        self, prefix: str = "", *, after: str = "", limit: int = 1000, now: Now | None = None
    ) -> list[Cell]:
        return self._parts.writer.alone(lambda step: kv.scan(step, prefix, after, limit), now)

    # --- topics -----------------------------------------------------------------------------

    def post(self, new: Sequence[NewPost], *, now: Now | None = None) -> list[int]:
        parts = self._parts
        parts.callers.forbid()
        if not new:
            return []
        return parts.posting.insert(new) if now is None else parts.post(new, now)

    def posts(self, after: Cursor, *, limit: int = 100) -> Page:
        return self._read(lambda reader: posts.read(reader, after, limit))

    def last_post(self) -> Cursor:
        return self._read(posts.last)

    # --- move -------------------------------------------------------------------------------

    def dump(self, after: int = 0, limit: int = 1000) -> list[Dossier]:
        return self._read(lambda reader: dossiers.dump(reader, after, limit))

    def restore(self, jobs: Sequence[Dossier]) -> int:
        writer = self._parts.writer
        learn(writer.names, [each.job for each in jobs], writer.read)
        return self._write(lambda step: dossiers.restore(step, jobs))

    # --- signals ----------------------------------------------------------------------------

    def listen(self, news: News = News.JOBS) -> Signal:
        return self._parts.ear.listen(news)


def _exchange(
    step: Step, transitions: Sequence[Transition], wish: Claim | None, floors: Floors
) -> Exchanged:
    settled = settle.settle(step, transitions)
    got = Exchanged() if wish is None else take(step, wish, floors)
    return Exchanged(
        got.jobs, tuple(settled.lost), tuple(settled.cancelled), got.next_due, got.more
    )


def _prepare_for_forks(reference: "weakref.ref[PostgresStore]") -> None:
    def child() -> None:
        if (store := reference()) is not None:
            store._after_fork_in_child()

    os.register_at_fork(after_in_child=child)
