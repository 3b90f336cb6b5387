"""Results: one thread that listens to the store on behalf of all who wait for a job's end.

However many wait, the store sees one listener, and one `get` per hint.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mainspring.errors import InvalidState, PartlyUnavailable, StoreUnavailable
from mainspring.job import FINAL, Record, Select
from mainspring.store import News, Signal, Store

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

POLL = 1.0
"""Seconds after which the store is asked even without a hint."""

MANY = 500
"""Jobs up to which one look reads all that are awaited as they stand. Of more it asks which have
ended, which costs a tenth, and reads so many by turns, in case one was deleted."""

PAGE = 1000
"""Of how many the store is asked at once."""

LONGEST_PAUSE = 0.05
"""After a look the thread rests for as long as the look took, at most so many seconds."""

_ALL = ~News(0)


class Waiter:
    """Waits for ends of jobs, and for other news. Its thread starts with the first who waits."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._lock = threading.Lock()
        self._waits: dict[bytes, list[_Wait]] = {}
        self._new: list[bytes] = []
        self._bells: set[Bell] = set()
        self._needed = threading.Event()
        self._signal: Signal | None = None
        self._news = News(0)
        self._thread: threading.Thread | None = None
        self._closed = False
        self._turn = 0

    def wait(self, id: bytes, timeout: float | None) -> Record | None:
        """The record of the job once it has ended, None if there is no such job.

        `TimeoutError` after `timeout` seconds, `InvalidState` if the app is closed meanwhile.
        """
        done = threading.Event()
        wait = _Wait(None, done.set)
        self._add(id, wait)
        try:
            if not done.wait(timeout):
                raise TimeoutError
        finally:
            self._remove(id, wait)
        return wait.answered()

    async def await_(self, id: bytes, timeout: float | None) -> Record | None:
        """The same on an event loop."""
        import asyncio

        done = asyncio.Event()
        wait = _Wait(asyncio.get_running_loop(), done.set)
        self._add(id, wait)
        try:
            async with asyncio.timeout(timeout):
                await done.wait()
        finally:
            self._remove(id, wait)
        return wait.answered()

    def bell(self, news: News) -> "Bell":
        """A signal for the running event loop."""
        bell = Bell(news, self._forget)
        with self._lock:
            self._start(news)
            self._bells.add(bell)
        self._needed.set()
        return bell

    def close(self) -> None:
        """End the thread. Who still waits is told."""
        with self._lock:
            self._closed = True
            thread, signal = self._thread, self._signal
        self._needed.set()
        if signal and thread:
            signal.wake()
            thread.join()
            signal.close()
        self._answer(dict.fromkeys(self._waits, InvalidState("the app was closed")))

    def _add(self, id: bytes, wait: "_Wait") -> None:
        with self._lock:
            signal = self._start(News.ENDS)
            self._waits.setdefault(id, []).append(wait)
            self._new.append(id)
        self._needed.set()
        signal.wake()

    def _remove(self, id: bytes, wait: "_Wait") -> None:
        with self._lock:
            waits = self._waits.get(id, [])
            if wait in waits:
                waits.remove(wait)
            if not waits:
                self._waits.pop(id, None)

    def _forget(self, bell: "Bell") -> None:
        with self._lock:
            self._bells.discard(bell)

    def _start(self, news: News) -> Signal:
        if self._closed:
            raise InvalidState("the app was closed")
        if self._signal is None:
            self._signal, self._news = self._store.listen(news), news
        elif news not in self._news:
            self._signal.add(news)
            self._news |= news
        if self._thread is None:
            name = f"{self._name} results"
            self._thread = threading.Thread(
                target=self._listen, args=(self._signal,), name=name, daemon=True
            )
            self._thread.start()
        return self._signal

    def _listen(self, signal: Signal) -> None:
        news, polled = _ALL, 0.0
        while not self._closed:
            if not self._waits and not self._bells:
                self._needed.wait()
                self._needed.clear()
                news = _ALL
            began = time.monotonic()
            whole = News.ENDS in news or began - polled >= POLL
            with self._lock:
                ids, self._new = list(self._waits) if whole else self._new, []
                bells = [(bell, told) for bell in self._bells if (told := bell.news & news)]
            self._look(ids)
            tell((bell.loop, partial(bell.ring, told)) for bell, told in bells)
            done = time.monotonic()
            polled = done if whole else polled
            if whole or bells:
                # Under load there is a hint every millisecond: half of one core is enough for us.
                time.sleep(min(LONGEST_PAUSE, done - began))
            news = signal.wait(POLL)

    def _look(self, ids: list[bytes]) -> None:
        if not ids:
            return
        if len(ids) > MANY and self._answer_ended(ids):
            self._turn = (self._turn + MANY) % len(ids)
            ids = ids[self._turn : self._turn + MANY]
        missed: Sequence[bytes] = ()
        try:
            records = self._store.get(ids)
        except PartlyUnavailable as error:
            records, missed = error.answer, error.missed
        except StoreUnavailable:
            return
        except Exception as error:
            self._answer(dict.fromkeys(ids, error))
            return
        found = [pair for pair in zip(ids, records, strict=True) if pair[0] not in missed]
        self._answer({id: each for id, each in found if each is None or each.state.final})

    def _answer_ended(self, ids: list[bytes]) -> bool:
        """Answer whoever waits for one of these that has ended; whether the store could tell."""
        try:
            for some in (ids[at : at + PAGE] for at in range(0, len(ids), PAGE)):
                select = Select(ids=tuple(some), states=tuple(FINAL))
                self._answer({job.id: job for job in self._store.find(select, limit=PAGE)})
        except Exception:
            return False  # what is wrong, reading them will say
        return True

    def _answer(self, answers: "dict[bytes, Record | Exception | None]") -> None:
        with self._lock:
            waits = [(wait, answers[id]) for id in answers for wait in self._waits.pop(id, ())]
        for wait, answer in waits:
            wait.answer = answer
        tell((wait.loop, wait.wake) for wait, _ in waits)


class Bell:
    """A hint for coroutines that something may have changed: look, then wait for it to ring."""

    def __init__(self, news: News, forget: "Callable[[Bell], None]") -> None:
        import asyncio

        self.news = news
        self.loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._forget = forget
        self._rung = News(0)
        self.wake = self._event.set

    def ring(self, news: News) -> None:
        """There are such news."""
        self._rung |= news
        self._event.set()

    async def rung(self, timeout: float) -> News:
        """Wait for a ring, or for being woken, at most `timeout` seconds; what has been rung for
        since the last wait."""
        import asyncio

        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._event.wait()
        self._event.clear()
        rung, self._rung = self._rung, News(0)
        return rung

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._forget(self)


class _Wait:
    __slots__ = ("answer", "loop", "wake")

    def __init__(self, loop: "AbstractEventLoop | None", wake: Callable[[], None]) -> None:
        self.loop = loop
        self.wake = wake
        self.answer: Record | Exception | None = None

    def answered(self) -> Record | None:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def tell(calls: "Iterable[tuple[AbstractEventLoop | None, Callable[[], None]]]") -> None:
    """Make the calls, each on its own event loop; every loop is woken once."""
    by_loop: dict[Any, list[Callable[[], None]]] = {}
    for loop, call in calls:
        by_loop.setdefault(loop, []).append(call)
    for loop, todo in by_loop.items():
        if loop is None:
            _all(todo)
            continue
        try:
            loop.call_soon_threadsafe(_all, todo)
        except RuntimeError:
            continue  # the loop was closed: nobody waits on it any more


def _all(calls: list[Callable[[], None]]) -> None:
    for call in calls:
        call()
