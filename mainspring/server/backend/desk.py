"""Desk: consumers who wait for messages, in the order they came, and who claims for them.

However many wait, one coroutine looks for them at each hint of the store. It claims for the first
who waits, each under a lease of his own, and goes on as long as there is something to claim.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from itertools import count, islice
from typing import Any

from starlette.requests import Request

from mainspring.errors import MainspringError, StoreUnavailable
from mainspring.job import State
from mainspring.message import Message
from mainspring.results import POLL, Bell
from mainspring.server.backend.service import Service
from mainspring.server.forms.problems import Problem
from mainspring.server.permissions.callers import caller_of
from mainspring.store import Counts, News
from mainspring.taking import Taking, give_back, returned

log = logging.getLogger("mainspring.server")

AT_ONCE = 8
"""Claims at the same time for those of one line."""

FEW = 4
"""Lines up to which each is looked into, without asking first where there is something."""

LEAST_PATIENCE = 0.01
"""Seconds. What is due in a queue that is paused must not keep the desk busy."""

LATER = (State.SCHEDULED, State.RETRYING)

Found = list[Message[Any]]


class Place:
    """A consumer's place in a line. `answer` is done when there is something for him; once he is
    `leaving`, also when a claim that was under way for him has come to nothing."""

    def __init__(self, taking: Taking[Any]) -> None:
        self.taking = taking
        self.answer: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self.served = False
        self.leaving = False


class Line:
    """Those who wait for the same kinds of messages of one queue."""

    def __init__(self, queue: str, types: tuple[str, ...]) -> None:
        self.queue = queue
        self.types = types
        self.places: dict[Place, None] = {}
        self.patience = POLL
        self.trouble: Exception | None = None

    def first(self, n: int) -> list[Place]:
        """The first so many for whom no claim is under way."""
        return list(islice((place for place in self.places if not place.served), n))


class Desk:
    """Its coroutine runs while somebody waits."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lines: dict[tuple[str, tuple[str, ...]], Line] = {}
        self._bell: Bell | None = None
        self._work: asyncio.Task[None] | None = None

    async def take(
        self,
        taking: Taking[Any],
        queue: str,
        types: tuple[str, ...],
        timeout: float,
        request: Request,
    ) -> Found:
        """What this wish gets within `timeout` seconds, waiting behind those who came before.

        Nothing if the client has gone or its key has ended, to whom then nothing is lost, or if the
        server stops.
        """
        left = asyncio.ensure_future(self._service.left(request))
        try:
            found: Found = []
            if timeout <= 0 or (queue, types) not in self._lines:
                found = await self._claim(taking)
            if not found and timeout > 0 and not left.done():
                found = await self._wait(Place(taking), queue, types, timeout, left)
                if found and not await request.app.keyring.holds(caller_of(request)):
                    await self._return(found)
                    return []
            if found and left.done() and not self._service.stopping:
                await self._return(found)
                return []
            return found
        finally:
            left.cancel()

    async def _wait(
        self,
        place: Place,
        queue: str,
        types: tuple[str, ...],
        timeout: float,
        left: asyncio.Future[None],
    ) -> Found:
        with self._service.waiting():
            line = self._join(place, queue, types)
            try:
                await asyncio.wait(
                    (place.answer, left), timeout=timeout, return_when=asyncio.FIRST_COMPLETED
                )
                place.leaving = True
                if place.served or place.answer.done():
                    return await place.answer
            finally:
                place.leaving = True
                place.answer.cancel()
                line.places.pop(place, None)
                if not line.places:
                    self._lines.pop((queue, types), None)
        if line.trouble is not None and not left.done():
            raise line.trouble
        return []

    def _join(self, place: Place, queue: str, types: tuple[str, ...]) -> Line:
        line = self._lines.setdefault((queue, types), Line(queue, types))
        if not line.places and self._bell is not None:
            self._bell.wake()
        line.places[place] = None
        if self._work is None:
            self._work = asyncio.create_task(self._look_on())
        return line

    async def _look_on(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            with self._service.app.waiter.bell(News.WORK) as self._bell:
                while self._lines:
                    began = loop.time()
                    await asyncio.gather(*[self._serve(line) for line in await self._stocked()])
                    # Under load there are hints all the time: half of one thread is enough for us.
                    await asyncio.sleep(loop.time() - began)
                    await self._bell.rung(min(self._patiences(), default=POLL))
        except Exception as error:
            log.exception("nobody looks for those who wait for messages")
            for place in [place for line in self._lines.values() for place in line.places]:
                if not place.answer.done():
                    place.answer.set_exception(error)
        finally:
            self._bell = self._work = None

    def _patiences(self) -> Iterator[float]:
        return (line.patience for line in self._lines.values())

    async def _stocked(self) -> list[Line]:
        """The lines in which there may be something to claim."""
        lines = list(self._lines.values())
        if len(lines) <= FEW:
            return lines
        try:
            counts = await self._service.ask(self._counts)
        except (StoreUnavailable, Problem) as error:
            for line in lines:
                line.trouble = error
            return []
        for line in lines:
            line.patience = POLL
        return [line for line in lines if _promises(counts, line)]

    def _counts(self) -> Counts:
        self._service.app.leases.round()
        return self._service.app.store.counts()

    async def _serve(self, line: Line) -> None:
        """Claim for those in the line, until there is nothing more. For several at the same time
        only where there is enough for all, lest the last of them get what the first should."""
        for turn in count():
            n = 1 if turn < 2 or line.types else await self._pending(line.queue)
            places = line.first(min(n, AT_ONCE))
            for place in places:
                place.served = True
            found = await asyncio.gather(*[self._fetch(line, place) for place in places])
            if not (found and all(found)):
                return

    async def _pending(self, queue: str) -> int:
        with suppress(StoreUnavailable, Problem):
            counts = await self._service.ask(self._service.app.store.counts)
            return counts.get(queue, {}).get(State.PENDING, 0)
        return 0

    async def _fetch(self, line: Line, place: Place) -> bool:
        """Claim for this one; whether there was something."""
        found: Found = []
        try:
            found = await self._claim(place.taking)
            line.trouble = None
        except (StoreUnavailable, Problem) as error:
            line.trouble = error
        except MainspringError as error:
            if not place.answer.done():
                place.answer.set_exception(error)
        finally:
            place.served = False
        line.patience = max(LEAST_PATIENCE, place.taking.patience())
        if place.answer.done():
            await self._return(found)
        elif found or place.leaving:
            line.places.pop(place, None)
            place.answer.set_result(found)
        return bool(found)

    async def _claim(self, taking: Taking[Any]) -> Found:
        """If whoever waits for it is cancelled meanwhile, what was taken goes back."""
        claiming = asyncio.ensure_future(self._service.ask(taking.claim))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            claiming.add_done_callback(returned)
            raise

    async def _return(self, found: Found) -> None:
        """Give back what nobody waits for any more; if that fails, when its lease ends."""
        if found:
            with suppress(StoreUnavailable, Problem):
                await self._service.ask(give_back, found)


def _promises(counts: Counts, line: Line) -> bool:
    states = counts.get(line.queue)
    if states is None:
        return False
    return bool(states[State.PENDING] or any(states[state] for state in LATER))
