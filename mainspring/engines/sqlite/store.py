"""The SQLite store: every verb, handed to the module that does it."""

import os
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from sqlite3 import Connection
from typing import Any, TypeVar

from mainspring.cells import Add, Cell, Put
from mainspring.dossier import Dossier
from mainspring.engines.common.codes import SLICE
from mainspring.engines.common.queues import validate
from mainspring.engines.sqlite import (
    check,
    clock,
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
from mainspring.engines.sqlite import migrate as schema
from mainspring.engines.sqlite.address import address
from mainspring.engines.sqlite.claim import claim as take
from mainspring.engines.sqlite.claim import held, idle_claim
from mainspring.engines.sqlite.insert import insert
from mainspring.engines.sqlite.parts import Parts
from mainspring.engines.sqlite.selection import matching
from mainspring.engines.sqlite.step import Step
from mainspring.errors import MainspringError, StoreUnavailable, Unsupported
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


class SqliteStore:
    """A store in one SQLite file. See `mainspring.store.Store` for what each verb promises."""

    def __init__(self, url: str) -> None:
        self._address = address(url)
        self._opening = threading.Lock()
        self._open: Parts | None = None
        _prepare_for_forks(weakref.ref(self))

    # --- life -------------------------------------------------------------------------------

    def open(self) -> None:
        with self._opening:
            if self._open is None:
                self._open = Parts(self._address, create=True)

    def close(self) -> None:
        with self._opening:
            parts, self._open = self._open, None
        if parts is not None:
            parts.close()

    def migrate(self) -> int:
        if self._address.path is None:
            self.open()
            return schema.VERSION
        return schema.migrate_file(self._address)

    def check(self) -> list[str]:
        return self._read(check.check)

    def health(self) -> Health:
        return self._read(lambda connection: health.health(connection, self._address))

    @property
    def _parts(self) -> Parts:
        if self._open is None:
            raise StoreUnavailable(f"{self._address.place}: the store is not open")
        return self._open

    def _before_fork(self) -> None:
        self._opening.acquire()
        if self._open is not None:
            self._open.before_fork()

    def _after_fork_in_parent(self) -> None:
        if self._open is not None:
            self._open.after_fork_in_parent()
        self._opening.release()

    def _after_fork_in_child(self) -> None:
        if self._open is not None:
            self._open = self._open.after_fork_in_child()
        self._opening.release()

    def _read(self, look: Callable[[Connection], T]) -> T:
        with self._parts.reading() as connection:
            return look(connection)

    # --- produce ----------------------------------------------------------------------------

    def insert(
        self, jobs: Sequence[NewJob[Any]], *, connection: Any = None, now: Now | None = None
    ) -> list[Inserted]:
        if connection is None:
            return self._parts.insert(lambda step: insert(step, jobs), now)
        return self._parts.callers.insert(connection, jobs, now)

    # --- work -------------------------------------------------------------------------------

    def exchange(
        self,
        transitions: Sequence[Transition],
        claim: Claim | None = None,
        *,
        now: Now | None = None,
    ) -> Exchanged:
        if transitions:
            return self._parts.write(lambda step: _exchange(step, transitions, claim), now)
        if claim is None:
            return Exchanged()
        return self._parts.claim(
            lambda step: take(step, claim),
            lambda connection: idle_claim(connection, claim, now or clock.now()),
            now,
        )

    def heartbeat(
        self,
        presence: Presence,
        tokens: Sequence[int],
        lease: int,
        notes: Sequence[Note] = (),
        *,
        now: Now | None = None,
    ) -> Pulse:
        return self._parts.write(
            lambda step: leases.heartbeat(step, presence, tokens, lease, notes), now, first=True
        )

    def reclaim(self, grant: Grant, limit: int, *, now: Now | None = None) -> list[Claimed]:
        now = now or clock.now()
        with self._parts.reading() as connection:
            if not leases.anything_to_reclaim(connection, grant, now):
                return []
        return self._parts.write(lambda step: leases.reclaim(step, grant, limit), now)

    def held(self, tokens: Sequence[int]) -> list[Claimed]:
        return self._read(lambda connection: held(connection, tokens))

    def transaction(
        self, job: Claimed, transition: Transition, *, lease: int, connection: Any = None
    ) -> AbstractContextManager[Any]:
        if connection is not None:
            raise Unsupported(
                f"{self._address.place}: SQLite lends the connection of a job's own transaction,"
                " and to blocking code: `with current().transaction() as connection:`"
            )
        return self._parts.callers.lend(job, transition, lease)

    def upkeep(self, limit: int = 1000, *, now: Now | None = None) -> int:
        now = now or clock.now()
        parts = self._parts
        with parts.reading() as connection:
            chores = upkeep.look(connection, now, parts.walk, limit)
        touched = 0
        while chores:
            verb = partial(upkeep.do, chores=chores, limit=limit)
            done, chores = parts.write(verb, now)
            touched += done
        parts.writer.tend()
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
        info = self._parts.write(lambda step: queues.configure(step, queue, settings))
        after: int | None = 0 if settings.aging is not None else None
        while after is not None:
            after = self._parts.write(partial(queues.rescore, name=queue, after=after))
        return info

    def instruct(self, workers: Sequence[str], wanted: Wanted) -> list[str]:
        return self._parts.write(lambda step: leases.instruct(step, workers, wanted))

    def _by_slices(self, select: Select, operation: operate.Operation, now: Now | None) -> Changed:
        """Do this to all that match, so many at a time, each slice a transaction."""
        ids: list[bytes] = []
        refused: dict[bytes, str] = {}
        below: int | None = None
        while True:

            def verb(step: Step, below: int | None = below) -> tuple[list[int], operate.Slice]:
                numbers = matching(step.connection, select, SLICE, below)
                return numbers, operation(step, numbers)

            numbers, done = self._parts.write(verb, now)
            ids += done.ids
            refused |= done.refused
            while done.rest is not None:
                done = self._parts.write(done.rest, now)
                ids += done.ids
                refused |= done.refused
            if len(numbers) < SLICE:
                return Changed(tuple(ids), refused)
            below = numbers[-1]

    # --- read -------------------------------------------------------------------------------

    def get(self, ids: Sequence[bytes]) -> list[Record | None]:
        return self._read(lambda connection: read.get(connection, ids))

    def find(self, select: Select, *, limit: int = 100, after: int | None = None) -> list[Record]:
        with self._parts.reading() as connection:
            return read.records(connection, matching(connection, select, limit, after))

    def counts(self) -> Counts:
        return self._read(read.counts)

    def queues(self) -> list[QueueInfo]:
        return self._read(queues.queues)

    def traffic(self, queue: str) -> Traffic:
        self._parts.writer.flush()
        return self._read(lambda connection: traffic.traffic(connection, queue))

    def position(self, id: bytes) -> int | None:
        return self._read(lambda connection: read.position(connection, id))

    def history(self, id: bytes) -> list[JobError]:
        return self._read(lambda connection: read.history(connection, id))

    def logs(self, id: bytes, *, limit: int = 1000) -> list[Line]:
        return self._read(lambda connection: read.logs(connection, id, limit))

    def workers(self, *, now: Now | None = None) -> list[Presence]:
        lease = (now or clock.now()).lease
        return self._read(lambda connection: read.workers(connection, lease))

    def statistics(self, since: int) -> list[Minute]:
        self._parts.writer.tend()
        return self._read(lambda connection: statistics.read(connection, since))

    # --- key-value --------------------------------------------------------------------------

    def kv_get(self, keys: Sequence[str], *, now: Now | None = None) -> list[Cell | None]:
        wall = (now or clock.now()).wall
        return self._read(lambda connection: kv.get(connection, keys, wall))

    def kv_set(self, puts: Sequence[Put], *, now: Now | None = None) -> list[int]:
        return self._keep(lambda step: kv.put(step, puts), now)

    def kv_add(self, adds: Sequence[Add], *, now: Now | None = None) -> list[int]:
        return self._keep(lambda step: kv.add(step, adds), now)

    def kv_touch(
        self, keys: Sequence[str], ttl: int | None, *, now: Now | None = None
    ) -> list[bool]:
        return self._keep(lambda step: kv.touch(step, keys, ttl), now)

    def kv_delete(self, keys: Sequence[str], *, now: Now | None = None) -> int:
        return self._keep(lambda step: kv.delete(step, keys), now)

    def kv_scan(
        self, prefix: str = "", *, after: str = "", limit: int = 1000, now: Now | None = None
    ) -> list[Cell]:
        wall = (now or clock.now()).wall
        return self._read(lambda connection: kv.scan(connection, prefix, after, limit, wall))

    def _keep(self, verb: Callable[[Step], T | MainspringError], now: Now | None) -> T:
        """What is refused is an answer of the step: raised there, it would have all who share the
        transaction begin anew."""
        answer = self._parts.insert(verb, now)
        if isinstance(answer, MainspringError):
            raise answer
        return answer

    # --- topics -----------------------------------------------------------------------------

    def post(self, new: Sequence[NewPost], *, now: Now | None = None) -> list[int]:
        # On the disk before it shows, so that no number which somebody has seen is given again.
        return self._parts.write(lambda step: posts.post(step, new), now)

    def posts(self, after: Cursor, *, limit: int = 100) -> Page:
        return self._read(lambda connection: posts.read(connection, after, limit))

    def last_post(self) -> Cursor:
        return self._read(posts.last)

    # --- move -------------------------------------------------------------------------------

    def dump(self, after: int = 0, limit: int = 1000) -> list[Dossier]:
        return self._read(lambda connection: dossiers.dump(connection, after, limit))

    def restore(self, jobs: Sequence[Dossier]) -> int:
        return self._parts.write(lambda step: dossiers.restore(step, jobs))

    # --- signals ----------------------------------------------------------------------------

    def listen(self, news: News = News.JOBS) -> Signal:
        return self._parts.listen(news)


def _exchange(step: Step, transitions: Sequence[Transition], wish: Claim | None) -> Exchanged:
    settled = settle.settle(step, transitions)
    got = Exchanged() if wish is None else take(step, wish)
    return Exchanged(
        got.jobs, tuple(settled.lost), tuple(settled.cancelled), got.next_due, got.more
    )


def _prepare_for_forks(reference: "weakref.ref[SqliteStore]") -> None:
    def told(act: Callable[[SqliteStore], None]) -> Callable[[], None]:
        return lambda: act(store) if (store := reference()) is not None else None

    os.register_at_fork(
        before=told(SqliteStore._before_fork),
        after_in_parent=told(SqliteStore._after_fork_in_parent),
        after_in_child=told(SqliteStore._after_fork_in_child),
    )
