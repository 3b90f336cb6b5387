"""Shard: one of the stores, which may be away while the others go on.

A call that concerns this shard alone is made in the caller's thread, as if there were no others. A
call that is one of several is made in a thread of the shard's own, so that one can stop waiting for
it: the verbs are repeatable, so what became of it need not be known.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, TypeVar

from mainspring.engines import open_store
from mainspring.engines.shards.placement import slot
from mainspring.errors import StoreFull, StoreUnavailable
from mainspring.store import Note, Store

T = TypeVar("T")

log = logging.getLogger("mainspring")

PATIENCE, SHORT_PATIENCE = 3.0, 0.05
"""Seconds to wait for a shard among others, and for one that did not answer the last time."""

PAUSE = 0.25
"""Seconds before a shard that did not answer is asked again."""

QUEUES_KNOWN = 1.0
"""Seconds for which it is remembered which queues there are."""

THREADS = 8
MOST_UNTOLD = 10_000


class Asked(NamedTuple, Generic[T]):
    """A call under way, and how long it is waited for (monotonic seconds)."""

    future: "Future[T]"
    until: float


class Shard:
    """A store by its name."""

    def __init__(
        self, name: str, url: str, draining: bool, on_open: Callable[["Shard"], None]
    ) -> None:
        self.name = name
        self.url = url
        self.draining = draining
        self.slot = slot(name)
        self.away = ""
        """Why it did not answer the last time."""
        self._on_open = on_open
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._store: Store | None = None
        self._closed = True
        self._again_at = 0.0
        self._stuck: list[Future[Any]] = []
        self._untold: list[Note] = []
        self._threads: tuple[int, ThreadPoolExecutor] | None = None
        self._queues: tuple[float, frozenset[str]] = 0.0, frozenset()

    def __repr__(self) -> str:
        return f"<shard {self.name}>"

    # --- life -------------------------------------------------------------------------------

    def open(self) -> None:
        """Open the store, unless it is; `StoreUnavailable` if it is away, and then it is tried
        again by whoever needs it."""
        self._closed = False
        self.do(lambda store: None)

    def close(self) -> None:
        """Let go of it. Repeatable."""
        self._closed = True
        with self._lock:
            threads, self._threads = self._threads, None
        with self._opening:
            store, self._store = self._store, None
        if threads is not None and threads[0] == os.getpid():
            threads[1].shutdown(wait=False)
        if store is not None:
            store.close()

    @property
    def is_open(self) -> bool:
        """Whether it has been opened."""
        return self._store is not None

    def store(self) -> Store:
        """The store, opened."""
        store = self._store
        if store is None:
            with self._opening:
                if self._closed:
                    raise StoreUnavailable("the store is not open")
                is_new = self._store is None
                store = self._store = self._store or open_store(self.url)
            if is_new:
                self._on_open(self)
        return store

    # --- calls ------------------------------------------------------------------------------

    def do(self, verb: Callable[[Store], T]) -> T:
        """Call the store in this thread; `StoreUnavailable` names the shard."""
        try:
            answer = verb(self.store())
        except StoreUnavailable as error:
            self._goes(str(error))
            kind = StoreFull if isinstance(error, StoreFull) else StoreUnavailable
            raise kind(f"shard {self.name!r}: {error}") from error
        if self.away and not self._closed:
            self._comes()
        return answer

    def is_ready(self) -> bool:
        """Whether it is worth asking: it answers, or was left alone long enough."""
        self._stuck = [each for each in self._stuck if not each.done()]
        return not self._stuck and time.monotonic() >= self._again_at

    def begin(self, verb: Callable[[Store], T]) -> Asked[T]:
        """Call the store in a thread of its own."""
        patience = SHORT_PATIENCE if self.away else PATIENCE
        return Asked(self._pool().submit(self.do, verb), time.monotonic() + patience)

    def end(self, asked: Asked[T]) -> T:
        """The answer; `StoreUnavailable` if there is none in time."""
        try:
            return asked.future.result(max(0.0, asked.until - time.monotonic()))
        except TimeoutError:
            self._stuck = [*self._stuck, asked.future]
            self._goes(f"no answer in {PATIENCE:g} s")
            raise self.unavailable() from None

    def ask(self, verb: Callable[[Store], T]) -> T:
        """Both in one; `StoreUnavailable` at once if it is not ready."""
        if not self.is_ready():
            raise self.unavailable()
        return self.end(self.begin(verb))

    def unavailable(self) -> StoreUnavailable:
        """The error that says why it does not answer."""
        return StoreUnavailable(f"shard {self.name!r}: {self.away or 'does not answer'}")

    def has(self, queue: str) -> bool:
        """Whether the queue was there a second ago; as far as is known if it does not answer."""
        known_at, queues = self._queues
        if queue not in queues and time.monotonic() > known_at + QUEUES_KNOWN:
            try:
                queues = frozenset(info.name for info in self.ask(lambda store: store.queues()))
            except StoreUnavailable:
                return False
            self._queues = time.monotonic(), queues
        return queue in queues

    def leave_untold(self, notes: Sequence[Note]) -> None:
        """These are to be told when it answers again; of too many the newest."""
        with self._lock:
            self._untold = [*self._untold, *notes][-MOST_UNTOLD:]

    def take_untold(self) -> list[Note]:
        """What was left to be told."""
        if not self._untold:
            return []
        with self._lock:
            notes, self._untold = self._untold, []
        return notes

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._closed:
                raise StoreUnavailable(f"shard {self.name!r}: the store is not open")
            if self._threads is None or self._threads[0] != os.getpid():
                # A forked process has none of its parent's threads.
                name = f"mainspring-shard-{self.name}"
                self._threads = os.getpid(), ThreadPoolExecutor(THREADS, name)
            return self._threads[1]

    def _goes(self, why: str) -> None:
        if not self.away and not self._closed:
            log.warning("shard %s does not answer, the others go on: %s", self.name, why)
        self.away = why or "does not answer"
        self._again_at = time.monotonic() + PAUSE

    def _comes(self) -> None:
        self.away, self._again_at = "", 0.0
        log.warning("shard %s answers again", self.name)
