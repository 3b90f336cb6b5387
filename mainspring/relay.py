"""Relay: one thread that reads what is posted, for all who listen in this process.

However many listen, the store sees one listener and one reader. Each has an inbox that holds so
much and no more: one that is not emptied in time is closed, so that nobody waits for the slowest.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mainspring.errors import InvalidState, SlowSubscriber, StoreUnavailable
from mainspring.patterns import Audience
from mainspring.posts import Cursor, Posted
from mainspring.results import POLL, tell
from mainspring.store import News, Signal, Store

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

PAGE = 100
"""Posts that are read at once."""

MOST_WAITING, MOST_BYTES = 1024, 16_000_000
"""Posts in an inbox, and bytes of their bodies."""

LONGEST_PAUSE = 0.05


class Inbox:
    """What one listener has yet to take."""

    def __init__(
        self,
        patterns: Sequence[str],
        wake: Callable[[], None],
        loop: "AbstractEventLoop | None" = None,
        knows: Callable[[str], bool] | None = None,
    ) -> None:
        self.patterns = patterns
        self.wake = wake
        self.loop = loop
        self._knows = knows
        self._lock = threading.Lock()
        self._posts: deque[Posted] = deque()
        self._bytes = 0
        self._missed = 0
        self._error: Exception | None = None

    def put(self, post: Posted) -> bool:
        """Take it in, unless the listener may not know of it or is too slow; whether to wake it."""
        if self._knows is not None and not self._knows(post.topic):
            return False
        with self._lock:
            full = len(self._posts) >= MOST_WAITING or self._bytes >= MOST_BYTES
            if self._missed or full:
                self._missed += 1
                return False
            self._posts.append(post)
            self._bytes += len(post.body)
            return True

    def miss(self, n: int) -> None:
        """So many are gone that nobody has read."""
        with self._lock:
            self._missed += n

    def end(self, error: Exception) -> None:
        """Nothing more will come."""
        with self._lock:
            self._error = self._error or error

    def take(self) -> list[Posted]:
        """What has come since; when that is nothing, the error why nothing more will."""
        with self._lock:
            if self._posts:
                posts = list(self._posts)
                self._posts.clear()
                self._bytes = 0
                return posts
            if self._missed:
                raise SlowSubscriber(
                    f"the subscription to {', '.join(self.patterns)} was ended: it was too slow for"
                    f" what was published, and has missed {self._missed:,} posts",
                    self._missed,
                )
            if self._error is not None:
                raise self._error
            return []


class Relay:
    """Its thread starts with the first who listens, and reads while anybody does."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self._name = name
        self._lock = threading.Lock()
        self._audience: Audience[Inbox] = Audience()
        self._inboxes: set[Inbox] = set()
        self._needed = threading.Event()
        self._signal: Signal | None = None
        self._thread: threading.Thread | None = None
        self._cursor: Cursor | None = None
        self._closed = False

    def join(self, inbox: Inbox) -> Cursor:
        """Have everything behind the cursor that is returned put there."""
        with self._lock:
            if self._closed:
                raise InvalidState("the app was closed")
            if self._signal is None:
                self._signal = self.store.listen(News.POSTS)
            if self._cursor is None:
                self._cursor = self.store.last_post()
            self._start(self._signal)
            self._inboxes.add(inbox)
            for pattern in inbox.patterns:
                self._audience.add(pattern, inbox)
            cursor = self._cursor
        self._needed.set()
        return cursor

    def leave(self, inbox: Inbox) -> None:
        """Put nothing more there. Repeatable."""
        with self._lock:
            self._inboxes.discard(inbox)
            for pattern in inbox.patterns:
                self._audience.discard(pattern, inbox)

    @property
    def cursor(self) -> Cursor:
        """What lies before it has been put wherever it belongs."""
        return self._cursor or {}

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._inboxes)

    def close(self) -> None:
        """End the thread. Who still listens is told."""
        with self._lock:
            self._closed = True
            thread, signal = self._thread, self._signal
        self._needed.set()
        if signal is not None:
            signal.wake()
            if thread is not None:
                thread.join()
            signal.close()
        self._end_all(InvalidState("the app was closed"))

    def _start(self, signal: Signal) -> None:
        if self._thread is None:
            name = f"{self._name} topics"
            self._thread = threading.Thread(
                target=self._run, args=(signal,), name=name, daemon=True
            )
            self._thread.start()

    def _run(self, signal: Signal) -> None:
        while not self._closed:
            if not self._inboxes:
                self._rest()
                continue
            began = time.monotonic()
            try:
                full = self._read()
            except StoreUnavailable:
                full = False
            except Exception as error:
                self._end_all(error)
                continue
            # Under load there are hints all the time: half of one core is enough for us.
            time.sleep(min(LONGEST_PAUSE, time.monotonic() - began))
            if not full:
                signal.wait(POLL)

    def _rest(self) -> None:
        """Wait until somebody listens."""
        self._needed.clear()
        with self._lock:
            idle = not self._inboxes and not self._closed
            if idle:
                self._cursor = None
        if idle:
            self._needed.wait()

    def _read(self) -> bool:
        """Read a page and hand it round; whether there may be more."""
        with self._lock:
            cursor = self._cursor
        if cursor is None:
            return False
        page = self.store.posts(cursor, limit=PAGE)
        with self._lock:
            woken = {
                inbox: None
                for post in page.posts
                for inbox in self._audience.of(post.topic)
                if inbox.put(post)
            }
            if page.missed:
                for inbox in self._inboxes:
                    inbox.miss(page.missed)
                woken = dict.fromkeys(self._inboxes)
            self._cursor = page.after
        tell((inbox.loop, inbox.wake) for inbox in woken)
        return len(page.posts) >= PAGE

    def _end_all(self, error: Exception) -> None:
        with self._lock:
            inboxes, self._inboxes = self._inboxes, set()
            self._audience = Audience()
        for inbox in inboxes:
            inbox.end(error)
        tell((inbox.loop, inbox.wake) for inbox in inboxes)
