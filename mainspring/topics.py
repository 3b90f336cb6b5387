"""Topics: what one program says, all hear who listen at that time. `app.topics`."""

import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from msgspec import Struct

from mainspring import codec, patterns
from mainspring.durations import SECOND, Duration, instant, microseconds
from mainspring.errors import (
    InvalidArguments,
    InvalidState,
    PayloadTooLarge,
    SlowSubscriber,
)
from mainspring.opened import Opened
from mainspring.options import headers_of
from mainspring.posts import Cursor, NewPost, Posted
from mainspring.relay import PAGE, Inbox, Relay
from mainspring.results import tell

if TYPE_CHECKING:
    import asyncio

BEHIND_NOTHING = "0"
"""The position before everything that is kept."""


class Home(Protocol):
    """What topics need of the app they belong to."""

    @property
    def opened(self) -> Opened: ...

    max_payload: int


class Post(Struct, frozen=True):
    """What was published on a topic, and when it was stored.

    `number` is larger with every post on the topic; another subscription may go on behind
    `position`, which is the number, unless the store is made of several.
    """

    topic: str
    data: bytes
    headers: dict[str, str]
    number: int
    at: datetime
    position: str

    @property
    def body(self) -> Any:
        """What was said: plain JSON values, or bytes. `data` is how it is stored."""
        return codec.decode(self.data)


class Topics:
    """Publishing and subscribing, on the store of an app.

    A topic is a name of levels with dots between them, such as "orders.created"; it needs no
    declaration. A body is any JSON value or bytes, as a payload is. `InvalidArguments` for what
    does not fit.
    """

    def __init__(self, home: Home) -> None:
        self._home = home

    def publish(self, topic: str, body: Any, *, headers: Mapping[str, str] | None = None) -> int:
        """Tell all who are subscribed to the topic; the post's number.

        It is stored when this returns. `PayloadTooLarge` beyond the app's `max_payload`. After a
        `StoreUnavailable` it may have been published nevertheless.
        """
        [number] = self._home.opened.store.post([self.post(topic, body, headers)])
        return number

    async def apublish(
        self, topic: str, body: Any, *, headers: Mapping[str, str] | None = None
    ) -> int:
        """The async twin of `publish`; concurrent calls share a transaction."""
        [number] = await self._home.opened.posting.insert([self.post(topic, body, headers)])
        return number

    def post(self, topic: str, body: Any, headers: Mapping[str, str] | None = None) -> NewPost:
        """What `publish` stores."""
        name = patterns.topic(topic)
        data = codec.encode(body, f"topic {name!r}")
        if len(data) > self._home.max_payload:
            raise PayloadTooLarge(
                f"topic {name!r}: expected a body of at most {self._home.max_payload:,} bytes,"
                f" got {len(data):,}"
            )
        return NewPost(name, data, headers_of(headers or {}, "headers"))

    def subscribe(self, *topics: str, after: str | int | None = None) -> "Subscription":
        """Hear what is published from the moment on when this is entered, with `with` or `async
        with`, in the order in which it was stored.

        In a topic `*` stands for any one level (or, within one, for any characters) and `#`, as
        the last, for any number of levels. With `after`, the `position` or `number` of a post or
        the position of a subscription, it begins with what is kept behind that (0: with all that is
        kept).
        """
        return Subscription(self._home, topics, after)


class Subscription:
    """What is published on some topics. Entered by `with` it is for one thread at a time, by `async
    with` for coroutines of the running event loop.

    `missed` says how many posts lay behind `after` and are not kept any more. Topics that `knows`
    answers False for are passed over.
    """

    def __init__(
        self,
        home: Home,
        topics: Sequence[str],
        after: str | int | None = None,
        knows: Callable[[str], bool] | None = None,
    ) -> None:
        self.topics = patterns.patterns(topics)
        self.missed = 0
        self._home = home
        self._knows = knows
        self._after = None if after is None else _cursor(after)
        self._audience: patterns.Audience[None] = patterns.Audience()
        for topic in self.topics:
            self._audience.add(topic, None)
        self._lock = threading.Lock()
        self._relay: Relay | None = None
        self._inbox: Inbox | None = None
        self._pending: deque[Posted] = deque()
        self._told: Cursor = {}
        self._read: Cursor = {}
        self._joined = self._live = self._closed = False
        self._rung = threading.Event()
        self._arung: asyncio.Event | None = None

    @property
    def position(self) -> str:
        """Behind everything that was heard, and everything else that came before it."""
        if not self._pending:
            self._told = self._read
        return _text(self._told)

    def get(self, timeout: Duration | None = None) -> Post | None:
        """The next post; None if there is none within `timeout`.

        `SlowSubscriber` if more came than is kept for a subscription that does not take it; its
        `position` is where another one can go on.
        """
        if self._arung is not None:
            raise InvalidState("the subscription was entered by `async with`: expected aget")
        end = _end(timeout)
        while not self._pending:
            self._rung.clear()
            if not self._fill():
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self._rung.wait(None if left == float("inf") else left)
        return self._next()

    async def aget(self, timeout: Duration | None = None) -> Post | None:
        """The async twin of `get`."""
        import asyncio

        if (rung := self._arung) is None:
            raise InvalidState("the subscription was not entered: expected `async with`")
        end = _end(timeout)
        while not self._pending:
            rung.clear()
            found = self._fill() if self._live else await asyncio.to_thread(self._fill)
            if not found:
                left = end - time.monotonic()
                if left <= 0:
                    return None
                try:
                    async with asyncio.timeout(None if left == float("inf") else left):
                        await rung.wait()
                except TimeoutError:
                    return None
        return self._next()

    def close(self) -> None:
        """Hear no more. Repeatable."""
        self._closed = True
        if self._relay is not None and self._inbox is not None:
            self._relay.leave(self._inbox)
            self._inbox.end(InvalidState("the subscription was closed"))
            tell([(self._inbox.loop, self._inbox.wake)])

    def __iter__(self) -> Iterator[Post]:
        while (post := self.get()) is not None:
            yield post

    async def __aiter__(self) -> AsyncIterator[Post]:
        while (post := await self.aget()) is not None:
            yield post

    def __enter__(self) -> Self:
        self._begin(self._rung.set, None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        import asyncio

        self._arung = asyncio.Event()
        loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(self._begin, self._arung.set, loop)
        except asyncio.CancelledError:
            # The thread may still wait for the store, and this loop must not.
            loop.run_in_executor(None, self.close)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- reading ----------------------------------------------------------------------------

    def _begin(self, wake: Callable[[], None], loop: "asyncio.AbstractEventLoop | None") -> None:
        if self._inbox is not None:
            raise InvalidState("the subscription was entered before; make another one")
        self._relay = self._home.opened.relay
        self._inbox = Inbox(self.topics, wake, loop, self._knows)
        try:
            if self._after is None:
                joined = self._relay.join(self._inbox)
                self._read = _further(joined, self._relay.store.last_post())
                self._live = True
            else:
                self._read = self._told = self._after
                self._read_kept(first=True)
            if self._closed:  # whoever was to have it does not wait for it any more
                self._relay.leave(self._inbox)
        except BaseException:
            self._relay.leave(self._inbox)
            raise

    def _fill(self) -> bool:
        """Have something pending; whether there is, or may be at once."""
        if self._relay is None or self._inbox is None:
            raise InvalidState("the subscription was not entered: expected `with`")
        with self._lock:
            if self._closed:
                raise InvalidState("the subscription was closed")
            if not self._live:
                self._read_kept()
                return True
            before = self._relay.cursor
            for post in self._taken(self._inbox):
                if post.number > self._read.get(post.stream, 0):
                    self._pending.append(post)
            if self._pending:
                last = {post.stream: post.number for post in self._pending}
                self._told, self._read = self._read, _further(self._read, last)
                return True
            self._read = _further(self._read, before)
            return False

    def _taken(self, inbox: Inbox) -> list[Posted]:
        try:
            return inbox.take()
        except SlowSubscriber as error:
            error.position = self.position
            raise

    def _read_kept(self, *, first: bool = False) -> None:
        """The next page of what is kept. From the first that is not full on the relay has all that
        comes; with the one after that, nothing is left that it does not have."""
        assert self._relay is not None
        assert self._inbox is not None
        page = self._relay.store.posts(self._read, limit=PAGE)
        if page.missed and not first:
            told = f"{page.missed:,} posts went before they were read"
            raise SlowSubscriber(told, page.missed, self.position)
        self.missed += page.missed
        if len(page.posts) < PAGE:
            if self._joined:
                self._live = True
            else:
                self._relay.join(self._inbox)
                self._joined = True
                if self._closed:
                    self._relay.leave(self._inbox)
        self._told, self._read = self._read, page.after
        self._pending.extend(
            post
            for post in page.posts
            if self._audience.of(post.topic) and (self._knows is None or self._knows(post.topic))
        )

    def _next(self) -> Post:
        post = self._pending.popleft()
        self._told = {**self._told, post.stream: post.number}
        return Post(
            post.topic,
            post.body,
            post.headers,
            post.number,
            instant(post.at),
            _text(self._told),
        )


def _further(one: Cursor, other: Cursor) -> Cursor:
    return {stream: max(one.get(stream, 0), other.get(stream, 0)) for stream in {**one, **other}}


def _text(cursor: Cursor) -> str:
    """Numbers tell their stream, where there are several."""
    return ",".join(str(number) for number in cursor.values()) or BEHIND_NOTHING


def _cursor(after: object) -> Cursor:
    parts = str(after).split(",") if isinstance(after, str | int) else [""]
    if not all(part.isascii() and part.isdecimal() and len(part) < 20 for part in parts):
        raise InvalidArguments(
            f"after: expected the position of a post, such as '17', or 0, got {after!a}"
        )
    return {} if after in (0, BEHIND_NOTHING) else dict(enumerate(map(int, parts)))


def _end(timeout: Duration | None) -> float:
    if timeout is None:
        return float("inf")
    return time.monotonic() + microseconds(timeout, "timeout") / SECOND
