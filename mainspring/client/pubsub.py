"""Pub/sub: `client.pubsub`. What one program says on a topic, all hear who listen."""

import asyncio
import contextlib
import random
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from mainspring import codec
from mainspring.client.attempts import BASE, LONGEST
from mainspring.client.call import Call, body, form, place, raw
from mainspring.client.events import Event, Events
from mainspring.client.lines import LOST, AsyncLine, Line
from mainspring.client.verbs import Awaiting, Blocking, verb
from mainspring.durations import instant
from mainspring.errors import InvalidArguments, StoreUnavailable

QUIET = 30.0
"""Seconds, beyond the usual, after which a stream is given up on which nothing comes, not even the
sign of life that a server sends twice a minute or more."""


class Post(Struct, frozen=True):
    """What was published on a topic, and when (aware, UTC). `number` is larger with every post on
    the topic; behind `position` a subscription may go on."""

    topic: str
    message: Any
    headers: Mapping[str, str]
    number: int
    position: str
    at: datetime


class _Heard(Struct):
    topic: str
    headers: dict[str, str]
    number: int
    position: str
    at: int
    body: Raw | UnsetType = UNSET
    base64: str | UnsetType = UNSET

    @property
    def post(self) -> Post:
        """What was published."""
        is_bytes = self.base64 is not UNSET
        stored = b"null" if self.body is UNSET else bytes(self.body)
        said = b64decode(str(self.base64)) if is_bytes else codec.decode(stored)
        at = instant(self.at * 1000)
        return Post(self.topic, said, self.headers, self.number, self.position, at)


class _Connected(Struct):
    missed: int = 0


class _Number(Struct):
    number: int


_number = form(_Number)
_heard, _connected = msgspec.json.Decoder(_Heard).decode, msgspec.json.Decoder(_Connected).decode


class Verbs:
    """What can be said."""

    @verb
    def publish(
        self, topic: str, message: Any, headers: Mapping[str, str] | None = None
    ) -> Call[int]:
        """Tell all who are subscribed to the topic a JSON value, or bytes; the post's number.

        It is not sent again when its answer was lost: `StoreUnavailable`. `PayloadTooLarge`.
        """
        is_bytes = isinstance(message, bytes | bytearray | memoryview)
        said = body(
            body=None if is_bytes else raw(message, f"topic {topic!r}"),
            base64=b64encode(message).decode() if is_bytes else None,
            headers=dict(headers) if headers else None,
        )
        return Call(
            "POST",
            place("topics", topic, "publish"),
            lambda answer: _number(answer).number,
            body=said,
            repeatable=False,
        )


class PubSub(Verbs, Blocking):
    """Topics, as `app.topics` has them."""

    def subscribe(self, *topics: str, after: str | int | None = None) -> "Subscription":
        """Hear what is published from now on, in the order in which it was stored, for as long as
        one goes on: a line that breaks is made anew, and goes on behind what was heard.

        In a topic `*` stands for one level and `#`, as the last, for any number of them. With
        `after`, the `position` or `number` of a post, it begins with what is kept behind that.
        """
        return Subscription(self._line, _Story(topics, after))


class AsyncPubSub(Verbs, Awaiting):
    """The async twin of `PubSub`."""

    def subscribe(self, *topics: str, after: str | int | None = None) -> "AsyncSubscription":
        """The async twin of `PubSub.subscribe`."""
        return AsyncSubscription(self._line, _Story(topics, after))


class Subscription:
    """The posts on some topics, one after the other. Entered by `with` it has begun: whatever is
    published then is heard. For one thread at a time."""

    def __init__(self, line: Line, story: "_Story") -> None:
        self._line = line
        self._story = story
        self._posts = self._run()

    @property
    def missed(self) -> int:
        """How many posts could not be had any more when a line was made anew."""
        return self._story.missed

    @property
    def position(self) -> str:
        """Behind everything that was heard: `after` of another subscription."""
        return self._story.position

    def __iter__(self) -> Iterator[Post]:
        return (post for post in self._posts if post is not None)

    def __enter__(self) -> Self:
        next(self._posts, None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._posts.close()

    def _run(self) -> Generator[Post | None, None, None]:
        """All posts, and None each time the server says that it listens."""
        while True:
            trouble: Exception | None = None
            try:
                with self._line.stream(self._story.call()) as chunks:
                    for chunk in chunks:
                        yield from self._story.heard(chunk)
            except (*LOST, StoreUnavailable) as error:
                trouble = error
            time.sleep(self._story.pause(trouble, self._line.retries))


class AsyncSubscription:
    """The async twin of `Subscription`."""

    def __init__(self, line: AsyncLine, story: "_Story") -> None:
        self._line = line
        self._story = story
        self._posts = self._run()

    @property
    def missed(self) -> int:
        """How many posts could not be had any more when a line was made anew."""
        return self._story.missed

    @property
    def position(self) -> str:
        """Behind everything that was heard: `after` of another subscription."""
        return self._story.position

    async def __aiter__(self) -> AsyncIterator[Post]:
        async for post in self._posts:
            if post is not None:
                yield post

    async def __aenter__(self) -> Self:
        with contextlib.suppress(StopAsyncIteration):
            await anext(self._posts)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._posts.aclose()

    async def _run(self) -> AsyncGenerator[Post | None, None]:
        while True:
            trouble: Exception | None = None
            try:
                async with self._line.stream(self._story.call()) as chunks:
                    async for chunk in chunks:
                        for post in self._story.heard(chunk):
                            yield post
            except (*LOST, StoreUnavailable) as error:
                trouble = error
            await asyncio.sleep(self._story.pause(trouble, self._line.retries))


class _Story:
    """What was heard so far, over however many lines."""

    def __init__(self, topics: tuple[str, ...], after: str | int | None) -> None:
        if not topics or not all(isinstance(topic, str) and topic for topic in topics):
            raise InvalidArguments(f"topics: expected names or patterns, got {topics!r}")
        self.missed = 0
        self._topics = ",".join(topics)
        self._events = Events("" if after is None else str(after))
        self._begun = False
        self._failures = 0

    @property
    def position(self) -> str:
        """Behind everything that was heard."""
        return self._events.last_id

    def call(self) -> Call[None]:
        """The request for all that is behind that."""
        self._events = Events(self.position)
        headers = {"Accept": "text/event-stream"}
        if self.position:
            headers["Last-Event-ID"] = self.position
        query = {"topics": self._topics}
        return Call(
            "GET", "/topics/subscribe", lambda answer: None, query, headers=headers, wait=QUIET
        )

    def heard(self, chunk: bytes) -> Iterator[Post | None]:
        """The posts in these bytes, and None where the server says that it listens. A post counts
        as heard when it is taken: the program that takes it may be at its end behind it."""
        for event in self._events.feed(chunk):
            if event.kind == "message":
                yield _heard(event.data).post
            elif event.kind == "connected":
                self._connected(event)
                yield None

    def pause(self, trouble: Exception | None, retries: int) -> float:
        """Seconds until another line is made; `StoreUnavailable` if there never was one."""
        self._failures += 1
        if not self._begun and self._failures > retries:
            raise StoreUnavailable(f"the server does not answer: {trouble or 'it hung up'}")
        longest = min(LONGEST, BASE * 2.0 ** min(self._failures, 10))
        return longest * random.uniform(0.5, 1.0)

    def _connected(self, event: Event) -> None:
        self._begun, self._failures = True, 0
        self.missed += _connected(event.data).missed
