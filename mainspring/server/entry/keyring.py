"""Keyring: whom a server process lets in, by keys of which it asks the store every few seconds."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

from mainspring.durations import MINUTE
from mainspring.errors import MainspringError
from mainspring.keys import WRITTEN, Lock
from mainspring.server.backend.service import Service
from mainspring.server.forms.problems import Problem
from mainspring.server.permissions.callers import EVERYBODY, NOBODY, Caller

RENEWED = 2.0
"""Seconds after which a key that is used is asked for anew, while requests go on."""

STALE = 4.0
"""Seconds after which nothing that is known of keys is believed."""

LOOKED = 1.0
"""Seconds after which it is looked again whether those who wait may go on."""

MOST_KNOWN = 10_000


class Known(Struct):
    """What is known of a key since it was asked for (monotonic seconds); no lock: there is none."""

    lock: Lock | None
    caller: Caller
    asked: float
    marked: int = 0


class Keyring:
    """`needed` as in `Terms.keys`."""

    def __init__(self, service: Service, needed: bool | None) -> None:
        self._service = service
        self._needed = bool(needed)
        self._until_one_exists = needed is None
        self._looked = float("-inf")
        self._looking = asyncio.Lock()
        self._known: dict[str, Known] = {}
        self._renewals: dict[str, asyncio.Task[Known]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waiting: dict[Caller, set[Callable[[], object]]] = {}
        self._guarding = False

    def idle(self) -> bool:
        """Whether it is known that nobody needs a key."""
        return not self._needed and (
            not self._until_one_exists or time.monotonic() - self._looked < STALE
        )

    async def caller(self, authorization: bytes | None) -> Caller:
        """Who shows this; a `Problem` unless it is a key that holds, or none is needed."""
        if not (self._needed or await self._has_become_needed()):
            return EVERYBODY
        id, secret = _shown(authorization)
        known = await self._knowledge(id)
        lock = known.lock
        if lock is None or not lock.opens_to(secret):
            raise _unauthorized("expected a key that is known here", given=True)
        now = time.time_ns() // 1000
        if refusal := lock.refusal(now):
            raise _unauthorized(f"expected a key that holds, and of this one {refusal}", given=True)
        if now - max(known.marked, lock.used or 0) > MINUTE:
            known.marked = now
            self._beside(self._mark(id))
        return known.caller

    async def holds(self, caller: Caller) -> bool:
        """Whether one that was let in would be again. While the store is away, who is in stays."""
        try:
            if caller.key:
                lock = (await self._knowledge(caller.key)).lock
                return lock is not None and lock.refusal(time.time_ns() // 1000) is None
            return caller is NOBODY or not (self._needed or await self._has_become_needed())
        except (Problem, MainspringError):
            return True

    @contextmanager
    def on_end(self, caller: Caller, call: Callable[[], object]) -> Iterator[None]:
        """Within it, `call` is made once the caller would not be let in any more."""
        calls = self._waiting.setdefault(caller, set())
        calls.add(call)
        if not self._guarding:
            self._guarding = True
            self._beside(self._guard())
        try:
            yield
        finally:
            calls.discard(call)

    async def _guard(self) -> None:
        """Runs while somebody waits, and looks once for all who have the same key."""
        try:
            while self._waiting:
                await asyncio.sleep(LOOKED)
                for caller, calls in list(self._waiting.items()):
                    if not calls:
                        del self._waiting[caller]
                    elif not await self.holds(caller):
                        for call in list(calls):
                            call()
        finally:
            self._guarding = False

    async def _has_become_needed(self) -> bool:
        """Whether there is a key by now. Once there is one, none is enough no more."""
        if self.idle():
            return False
        async with self._looking:
            began = time.monotonic()
            if began - self._looked >= STALE and not self._needed:
                self._needed = await self._service.ask(self._service.app.keys.exist)
                self._looked = began
        return self._needed

    async def _knowledge(self, id: str) -> Known:
        known = self._known.get(id)
        age = STALE if known is None else time.monotonic() - known.asked
        if known is None or age >= STALE:
            return await asyncio.shield(self._renewal(id))
        if age >= RENEWED:
            self._renewal(id)
        return known

    def _renewal(self, id: str) -> asyncio.Task[Known]:
        if id not in self._renewals:
            self._renewals[id] = task = self._beside(self._renew(id))
            task.add_done_callback(lambda _: self._renewals.pop(id))
        return self._renewals[id]

    async def _renew(self, id: str) -> Known:
        asked = time.monotonic()
        lock = await self._service.ask(self._service.app.keys.lock, id)
        caller = NOBODY
        if lock is not None:
            caller = Caller(lock.name, frozenset(lock.permissions), lock.only, id)
        before = self._known.pop(id, None)
        known = Known(lock, caller, asked, before.marked if before else 0)
        self._known[id] = known
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]
        return known

    async def _mark(self, id: str) -> None:
        await self._service.ask(self._service.app.keys.mark, id)

    def _beside(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Have it done while requests go on; what fails is tried again by one of the next."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()


def _shown(authorization: bytes | None) -> tuple[str, str]:
    if authorization is None:
        raise _unauthorized("expected a key, as in Authorization: Bearer ms_…, got none")
    scheme, _, key = authorization.decode("latin-1").partition(" ")
    found = WRITTEN.fullmatch(key.strip())
    if scheme.lower() != "bearer" or found is None:
        raise _unauthorized(
            "expected a key, as in Authorization: Bearer ms_…, got something else", given=True
        )
    return found[1], found[2]


def _unauthorized(detail: str, *, given: bool = False) -> Problem:
    challenge = 'Bearer error="invalid_token"' if given else "Bearer"
    return Problem(401, "unauthorized", detail, {"WWW-Authenticate": challenge})
