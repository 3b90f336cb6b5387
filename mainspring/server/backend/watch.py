"""Watch: looks at jobs on behalf of all who follow them, once for all at each hint of the store."""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from mainspring.errors import StoreUnavailable
from mainspring.job import Record, Select, State
from mainspring.results import MANY, PAGE, POLL, Bell
from mainspring.server.backend.service import Service
from mainspring.server.forms.problems import Problem
from mainspring.store import Line, News, Store

log = logging.getLogger("mainspring.server")


class Sight(Struct, frozen=True):
    """A job as it stood at one look, None if there is none, and its log: each line with a name
    that tells it from all others of that job."""

    job: Record | None
    lines: tuple[tuple[str, Line], ...] = ()


class Follower:
    """Somebody who wants to know of changes of one job; `dropped` when there will be none."""

    def __init__(self) -> None:
        self.dropped = False
        self.sight: Sight | None = None
        self.changed = asyncio.Event()

    async def next(self, timeout: float) -> Sight | None:
        """The next sight that differs from the last, None if there is none within `timeout`."""
        try:
            async with asyncio.timeout(timeout):
                await self.changed.wait()
        except TimeoutError:
            return None
        self.changed.clear()
        return self.sight


class Watch:
    """Its one coroutine runs while somebody follows."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._followers: dict[bytes, set[Follower]] = {}
        self._sights: dict[bytes, Sight] = {}
        self._bell: Bell | None = None
        self._looking: asyncio.Task[None] | None = None
        self._turn = 0

    @contextmanager
    def follow(self, id: bytes) -> Iterator[Follower]:
        """Follow the job; `Problem` if too many follow others."""
        follower = Follower()
        with self._service.waiting():
            self._followers.setdefault(id, set()).add(follower)
            if known := self._sights.get(id):
                _show(follower, known)
            if self._bell is not None:
                self._bell.wake()
            if self._looking is None:
                self._looking = asyncio.create_task(self._look_on())
            try:
                yield follower
            finally:
                self._forget(id, follower)

    def _forget(self, id: bytes, follower: Follower) -> None:
        followers = self._followers[id]
        followers.discard(follower)
        if not followers:
            del self._followers[id]
            self._sights.pop(id, None)

    async def _look_on(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            with self._service.app.waiter.bell(News.JOBS) as self._bell:
                while self._followers:
                    began = loop.time()
                    await self._look()
                    # Under load there are hints all the time: half of one thread is enough for us.
                    await asyncio.sleep(loop.time() - began)
                    await self._bell.rung(POLL)
        except Exception:
            log.exception("jobs that are followed cannot be looked at")
            for follower in [each for of in self._followers.values() for each in of]:
                follower.dropped = True
                follower.changed.set()
        finally:
            self._bell = self._looking = None

    async def _look(self) -> None:
        ids = list(self._followers)
        self._turn = (self._turn + MANY) % len(ids)
        turn = {*ids[self._turn : self._turn + MANY]} if len(ids) > MANY else {*ids}
        known = self._sights
        try:
            sights = await self._service.ask(_sights, self._service.app.store, ids, turn, known)
        except (StoreUnavailable, Problem):
            return  # it is looked at again; until then nobody is told anything
        for id, sight in sights.items():
            followers = self._followers.get(id)
            if followers and self._sights.get(id) != sight:
                self._sights[id] = sight
                for follower in followers:
                    _show(follower, sight)


def _show(follower: Follower, sight: Sight) -> None:
    follower.sight = sight
    follower.changed.set()


def _sights(
    store: Store, ids: list[bytes], turn: set[bytes], known: dict[bytes, Sight]
) -> dict[bytes, Sight]:
    """How those of the jobs stand of which something may be new, and those whose turn it is. Logs
    are read of those that run, or have changed."""
    found = {}
    if len(turn) < len(ids):
        still = _unmoved(store, [id for id in ids if id not in turn], known)
        ids = [id for id in ids if id not in still]
    for id, job in zip(ids, store.get(ids), strict=True):
        before = known.get(id)
        if job is None:
            found[id] = Sight(None)
        elif before and before.job == job and job.state is not State.RUNNING:
            found[id] = before
        else:
            found[id] = Sight(job, tuple(_named(store.logs(id))))
    return found


def _unmoved(store: Store, ids: list[bytes], known: dict[bytes, Sight]) -> set[bytes]:
    """Those that did not run, and are in the state they were in: to ask for that costs a fraction
    of reading them."""
    standing: dict[State, list[bytes]] = {}
    for id in ids:
        sight = known.get(id)
        if sight is not None and sight.job is not None and sight.job.state is not State.RUNNING:
            standing.setdefault(sight.job.state, []).append(id)
    unmoved: set[bytes] = set()
    for state, those in standing.items():
        others = tuple(each for each in State if each is not state)
        for some in (those[at : at + PAGE] for at in range(0, len(those), PAGE)):
            moved = store.find(Select(ids=tuple(some), states=others), limit=PAGE)
            unmoved.update(some)
            unmoved.difference_update(job.id for job in moved)
    return unmoved


def _named(lines: Iterable[Line]) -> Iterator[tuple[str, Line]]:
    last, n = (0, 0), 0
    for line in lines:
        place = (line.attempt, line.at)
        n = n + 1 if place == last else 0
        last = place
        yield f"{line.attempt}-{line.at}-{n}", line
