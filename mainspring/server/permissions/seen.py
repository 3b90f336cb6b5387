"""Seen: a store as one caller sees it. What has a name it may not use is for it as if not there.

Whoever may use all names sees all but the keys that are the product's own.
"""

import random
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar
from uuid import UUID

from msgspec.structs import replace

from mainspring.cells import BEHIND_OWN, OWN, Add, Cell, Put
from mainspring.dossier import Dossier
from mainspring.errors import InvalidArguments, PartlyUnavailable, UnknownDependency
from mainspring.job import (
    Changed,
    Claimed,
    Inserted,
    JobError,
    Lost,
    NewJob,
    Now,
    Record,
    Select,
    Transition,
)
from mainspring.keys import Permission
from mainspring.lifecycle import decide
from mainspring.posts import Cursor, NewPost, Page, Posted
from mainspring.server.forms.problems import Problem
from mainspring.server.forms.wishes import IDEMPOTENT
from mainspring.server.permissions.callers import Caller
from mainspring.server.permissions.narrow import hiding_holders, permit, taken
from mainspring.store import (
    Claim,
    Counts,
    Exchanged,
    Grant,
    Health,
    Line,
    Minute,
    Note,
    Presence,
    Pulse,
    QueueInfo,
    Settings,
    Store,
    Traffic,
    Wanted,
)
from mainspring.worker.crew.verdict import lost

T = TypeVar("T")

LEAST_SCANNED = 100
"""Entries that are read at once, lest few among many cost a call each."""

CUT_OFF = "its lease ended: the worker that held it is gone or was cut off"


class Seen:
    """Every verb whose arguments or answers have names; the others are the store's."""

    def __init__(self, store: Store, caller: Caller) -> None:
        self._store = store
        self._caller = caller
        self._knows = caller.knows

    # --- produce and work -------------------------------------------------------------------

    def admit(self, jobs: Sequence[NewJob[Any]], made: Collection[UUID] = ()) -> None:
        """`Problem` if a queue is not to be used, or a job would replace what may be in another;
        `UnknownDependency` if a job waits for one that is not seen; `InvalidArguments` for an id
        that is not `made` of this caller's Idempotency-Key but could be of another's."""
        for queue in {job.queue for job in jobs}:
            permit(self._caller, queue)
        for named in (UUID(bytes=job.id) for job in jobs):
            if named.version == IDEMPOTENT and named not in made:
                told = f"id: expected none of version {IDEMPOTENT}, as Idempotency-Keys make them"
                raise InvalidArguments(f"{told}, got {named}")
        if any(job.unique is not None and job.on_duplicate == "replace" for job in jobs):
            detail = "expected a key for all queues: a unique key may be held in any of them"
            raise Problem(403, "forbidden", detail)
        own = {job.id for job in jobs}
        parents = list({edge.parent for job in jobs for edge in job.edges} - own)
        for id, record in zip(parents, self._store.get(parents) if parents else (), strict=True):
            if record is None or not self._knows(record.queue):
                raise UnknownDependency(f"a job waits for {UUID(bytes=id)}, which does not exist")

    def hide_holders(self, stored: Sequence[Inserted]) -> None:
        """A `Problem` if one of these is a job that is not seen, which holds a unique key."""
        holders = [each.duplicate_of for each in stored if each.duplicate_of is not None]
        if holders and (hidden := self.get(holders).count(None)):
            raise taken(others_stored=hidden < len(stored))

    def insert(self, jobs: Sequence[NewJob[Any]], *, now: Now | None = None) -> list[Inserted]:
        self.admit(jobs)
        try:
            with hiding_holders(self._caller):
                stored = self._store.insert(jobs, now=now)
        except PartlyUnavailable as error:
            self.hide_holders([each for each in error.answer if each is not None])
            raise
        self.hide_holders(stored)
        return stored

    def exchange(
        self,
        transitions: Sequence[Transition],
        claim: Claim | None = None,
        *,
        now: Now | None = None,
    ) -> Exchanged:
        if claim is not None:
            queues = self._queues(claim.queues)
            claim = replace(claim, queues=queues) if queues else None
        return _told(
            lambda: self._store.exchange(transitions, claim, now=now),
            lambda answer: replace(answer, jobs=self._mine_of(answer.jobs)),
        )

    def _queues(self, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
        """Those of the wanted queues that are known; of all, in an order that favours none."""
        if wanted is not None:
            return tuple(filter(self._knows, wanted))
        open = [each.name for each in self.queues() if not (each.paused or each.by_hand)]
        random.shuffle(open)
        return tuple(open)

    def heartbeat(
        self,
        presence: Presence,
        tokens: Sequence[int],
        lease: int,
        notes: Sequence[Note] = (),
        *,
        now: Now | None = None,
    ) -> Pulse:
        for queue in presence.queues:
            permit(self._caller, queue)
        there = {each.id: each for each in self._store.workers(now=now)}.get(presence.id)
        if there is not None and there.queues and not self._caller.knows_worker(there):
            told = f"expected a worker of queues that this key may use, got {presence.id!a}"
            raise Problem(403, "forbidden", told)
        return _told(
            lambda: self._store.heartbeat(presence, tokens, lease, notes, now=now),
            lambda pulse: replace(pulse, paused=tuple(filter(self._knows, pulse.paused))),
        )

    def reclaim(self, grant: Grant, limit: int, *, now: Now | None = None) -> list[Claimed]:
        """Lost jobs of other queues are settled here and now, since nobody else might do it."""
        jobs = self._store.reclaim(grant, limit, now=now)
        others = [job for job in jobs if not self._knows(job.queue)]
        if others:
            self._store.exchange([decide(job, Lost(lost(job, CUT_OFF))) for job in others], now=now)
        return self._mine_of(jobs)

    def upkeep(self, limit: int = 1000, *, now: Now | None = None) -> int:
        """Whether to call again, and not how much was done for others."""
        touched = self._store.upkeep(limit, now=now)
        return limit if touched >= limit else 0

    def held(self, tokens: Sequence[int]) -> list[Claimed]:
        return _told(lambda: self._store.held(tokens), self._mine_of)

    def _mine_of(self, jobs: Sequence[Claimed]) -> list[Claimed]:
        return [job for job in jobs if self._knows(job.queue)]

    # --- operate ----------------------------------------------------------------------------

    def cancel(self, select: Select, reason: str = "", *, now: Now | None = None) -> Changed:
        return self._change(select, lambda mine: self._store.cancel(mine, reason, now=now))

    def replay(self, select: Select, *, now: Now | None = None) -> Changed:
        return self._change(select, lambda mine: self._store.replay(mine, now=now))

    def delete(self, select: Select, *, now: Now | None = None) -> Changed:
        return self._change(select, lambda mine: self._store.delete(mine, now=now))

    def _change(self, select: Select, verb: Callable[[Select], Changed]) -> Changed:
        mine = self._selected(select)
        return Changed() if mine is None else verb(mine)

    def check(self) -> list[str]:
        """Whether something is broken; what it is may be somebody else's."""
        wrong = self._store.check()
        return ["something is broken: a key for all names is told what"] if wrong else []

    def configure(self, queue: str, settings: Settings) -> QueueInfo:
        permit(self._caller, queue)
        return self._store.configure(queue, settings)

    def instruct(self, workers: Sequence[str], wanted: Wanted) -> list[str]:
        known = {each.id for each in self.workers()}
        return self._store.instruct([id for id in workers if id in known], wanted)

    # --- read -------------------------------------------------------------------------------

    def get(self, ids: Sequence[bytes]) -> list[Record | None]:
        """Who only reads is not told by which token a job is held: it could end it by that. Nor
        who may use some names only: jobs of others may be held by the same."""
        return _told(lambda: self._store.get(ids), self._shown_of)

    def _shown_of(self, found: Sequence[Record | None]) -> list[Record | None]:
        return [
            self._shown(each) if each is not None and self._knows(each.queue) else None
            for each in found
        ]

    def _shown(self, job: Record) -> Record:
        tells = self._caller.may(Permission.WORK) and not self._caller.only
        return job if tells else replace(job, token=None)

    def find(self, select: Select, *, limit: int = 100, after: int | None = None) -> list[Record]:
        mine = self._selected(select)
        found = [] if mine is None else self._store.find(mine, limit=limit, after=after)
        return list(map(self._shown, found))

    def counts(self) -> Counts:
        return {name: of for name, of in self._store.counts().items() if self._knows(name)}

    def queues(self) -> list[QueueInfo]:
        return [each for each in self._store.queues() if self._knows(each.name)]

    def position(self, id: bytes) -> int | None:
        return self._store.position(id) if self._sees(id) else None

    def history(self, id: bytes) -> list[JobError]:
        return self._store.history(id) if self._sees(id) else []

    def logs(self, id: bytes, *, limit: int = 1000) -> list[Line]:
        return self._store.logs(id, limit=limit) if self._sees(id) else []

    def workers(self, *, now: Now | None = None) -> list[Presence]:
        return [each for each in self._store.workers(now=now) if self._caller.knows_worker(each)]

    def statistics(self, since: int) -> list[Minute]:
        return [each for each in self._store.statistics(since) if self._knows(each.queue)]

    def traffic(self, queue: str) -> Traffic:
        return self._store.traffic(queue) if self._knows(queue) else Traffic()

    def health(self) -> Health:
        """How large it all is, and what goes wrong in it, is told to who may use all names."""
        return replace(self._store.health(), warnings=(), figures={})

    # --- topics -----------------------------------------------------------------------------

    def post(self, new: Sequence[NewPost], *, now: Now | None = None) -> list[int]:
        for each in new:
            permit(self._caller, each.topic, "a topic")
        return self._store.post(new, now=now)

    def posts(self, after: Cursor, *, limit: int = 100) -> Page:
        """Fewer than `limit` means that there were no more, so pages are read until there are as
        many."""
        found: list[Posted] = []
        missed = 0
        while True:
            wanted = limit - len(found)
            page = self._store.posts(after, limit=wanted)
            found += [each for each in page.posts if self._knows(each.topic)]
            after, missed = page.after, missed + page.missed
            if len(page.posts) < wanted or len(found) >= limit:
                return Page(found, after, missed)

    # --- move -------------------------------------------------------------------------------

    def dump(self, after: int = 0, limit: int = 1000) -> list[Dossier]:
        """An empty answer means the end, so it is looked on until there is something to show."""
        while page := self._store.dump(after, limit):
            if mine := [each for each in page if self._knows(each.job.queue)]:
                return mine
            after = page[-1].number
        return []

    def restore(self, dossiers: Sequence[Dossier]) -> int:
        for queue in {each.job.queue for each in dossiers}:
            permit(self._caller, queue)
        with hiding_holders(self._caller):
            return self._store.restore(dossiers)

    # --- entries ----------------------------------------------------------------------------

    def kv_get(self, keys: Sequence[str], *, now: Now | None = None) -> list[Cell | None]:
        cells = {each.key: each for each in self._store.kv_get(self._mine(keys), now=now) if each}
        return [cells.get(key) for key in keys]

    def kv_set(self, puts: Sequence[Put], *, now: Now | None = None) -> list[int]:
        for put in puts:
            self._must_have(put.key)
        return self._store.kv_set(puts, now=now)

    def kv_add(self, adds: Sequence[Add], *, now: Now | None = None) -> list[int]:
        for add in adds:
            self._must_have(add.key)
        return self._store.kv_add(adds, now=now)

    def kv_touch(
        self, keys: Sequence[str], ttl: int | None, *, now: Now | None = None
    ) -> list[bool]:
        mine = self._mine(keys)
        there = dict(zip(mine, self._store.kv_touch(mine, ttl, now=now), strict=True))
        return [there.get(key, False) for key in keys]

    def kv_delete(self, keys: Sequence[str], *, now: Now | None = None) -> int:
        return self._store.kv_delete(self._mine(keys), now=now)

    def kv_scan(
        self, prefix: str = "", *, after: str = "", limit: int = 1000, now: Now | None = None
    ) -> list[Cell]:
        """Fewer than `limit` means the end, so pages are read until there are as many."""
        found: list[Cell] = []
        after, most = max(after, BEHIND_OWN), max(limit, LEAST_SCANNED)
        while len(found) < limit:
            page = self._store.kv_scan(prefix, after=after, limit=most, now=now)
            found += [cell for cell in page if self._has(cell.key)]
            if len(page) < most:
                break
            after = page[-1].key
        return found[:limit]

    # --- what is known ----------------------------------------------------------------------

    def _selected(self, select: Select) -> Select | None:
        """What of a selection is known; None: nothing."""
        if select.ids is not None:
            ids = tuple(each.id for each in self.get(select.ids) if each is not None)
            return replace(select, ids=ids) if ids else None
        wanted = select.queues if select.queues is not None else tuple(self.counts())
        queues = tuple(filter(self._knows, wanted))
        return replace(select, queues=queues) if queues else None

    def _sees(self, id: bytes) -> bool:
        return self.get([id]) != [None]

    def _has(self, key: str) -> bool:
        return not key.startswith(OWN) and self._knows(key)

    def _mine(self, keys: Sequence[str]) -> list[str]:
        return [key for key in keys if self._has(key)]

    def _must_have(self, key: str) -> None:
        permit(self._caller, key, "an entry")
        if key.startswith(OWN):
            raise Problem(403, "forbidden", f"expected an entry of your own, got {key!a}")


KEYED = ("kv_get", "kv_set", "kv_add", "kv_touch", "kv_delete", "kv_scan")


TELLING = ("get", "find")
"""Verbs whose answers hold tokens."""


def seen_by(caller: Caller, store: Store, verb: str) -> Callable[..., Any]:
    """The verb as this caller may use it."""
    hides = verb in TELLING and not caller.may(Permission.WORK)
    if (caller.only or hides or verb in KEYED) and hasattr(Seen, verb):
        narrowed: Callable[..., Any] = getattr(Seen(store, caller), verb)
        return narrowed
    whole: Callable[..., Any] = getattr(store, verb)
    return whole


def _told(verb: Callable[[], T], seen: Callable[[T], T]) -> T:
    """What is seen of an answer, also where some of several stores give none."""
    try:
        return seen(verb())
    except PartlyUnavailable as error:
        raise PartlyUnavailable(str(error), seen(error.answer), error.missed) from None
