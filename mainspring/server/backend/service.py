"""Service: what all routes share. The app, the threads that ask its store, and who waits."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from starlette.requests import Request

from mainspring.app import Mainspring
from mainspring.server.forms.problems import SOON, Problem
from mainspring.server.permissions.callers import ASKING, caller_of
from mainspring.server.terms import MOST_WAITS

P = ParamSpec("P")
R = TypeVar("R")

THREADS = 8
MOST_CALLS = 1000
"""Calls of the store that run or wait for a thread."""

MOST_WAITING = 10_000
"""Requests that wait for something to happen."""


class Service:
    """One for each event loop that serves an app."""

    def __init__(self, app: Mainspring, *, waits: int = MOST_WAITS) -> None:
        self.app = app
        self._waits = waits
        self._waits_by_key: Counter[str] = Counter()
        self.started = time.time()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"{app.name} server")
        self._calls = 0
        self.waiters = 0
        self._on_close: set[Callable[[], object]] = set()
        self.stopping = False
        self.trusts_callers = False
        """Whether callers may say what time it is, and bring what the library would not have made:
        those who try out a store do."""

    async def ask(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Make a call that blocks, on one of a few threads. A `Problem` if too many wait."""
        if self._calls >= MOST_CALLS:
            raise Problem(503, "busy", f"{MOST_CALLS} calls of the store are waiting", SOON)
        self._calls += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, lambda: call(*args, **kwargs))
        finally:
            self._calls -= 1

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Within it a request waits. A `Problem` if too many do, of all or by its key."""
        key = ASKING.get().key
        if self.waiters >= MOST_WAITING:
            raise Problem(503, "busy", f"{MOST_WAITING:,} requests are waiting", SOON)
        if key and self._waits_by_key[key] >= self._waits:
            detail = f"expected at most {self._waits:,} requests that wait by one key"
            raise Problem(429, "too-many-waits", detail, SOON)
        self.waiters += 1
        self._waits_by_key[key] += 1
        try:
            yield
        finally:
            self.waiters -= 1
            self._waits_by_key[key] -= 1
            if not self._waits_by_key[key]:
                del self._waits_by_key[key]

    @contextmanager
    def on_close(self, call: Callable[[], object]) -> Iterator[None]:
        """Within it, `call` is made when the server stops."""
        self._on_close.add(call)
        try:
            yield
        finally:
            self._on_close.discard(call)

    async def left(self, request: Request) -> None:
        """Return when there is nobody left to answer: the client has gone, its key holds no more,
        or the server stops."""
        gone = asyncio.ensure_future(_gone(request))
        over = request.app.keyring.on_end(caller_of(request), gone.cancel)
        try:
            with self.on_close(gone.cancel), over:
                if not self.stopping:
                    await asyncio.wait((gone,))
        finally:
            gone.cancel()

    def stop(self) -> None:
        """Have whoever waits answer now. On the event loop; repeatable."""
        self.stopping = True
        for call in list(self._on_close):
            call()

    def close(self) -> None:
        """Stop, and end the threads when their calls have ended."""
        self.stop()
        self._threads.shutdown(wait=False)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
