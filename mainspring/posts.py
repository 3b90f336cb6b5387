"""Posts: what is said on topics, as engines keep it for a while, and what stores promise of it."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from msgspec import Struct

from mainspring.durations import MINUTE
from mainspring.job import Now

KEPT = 5 * MINUTE
"""How long a post is kept, in microseconds."""

MOST_WEIGHT = 64_000_000
"""Of more than so many bytes of posts the oldest go before their time."""

OVERHEAD = 256
"""Bytes that a post counts besides its own."""

SLICE = 100
"""At every hundredth post those go whose time has come, twice as many at most: so there are never
many of them, whether anybody does the upkeep or not."""

Cursor: TypeAlias = Mapping[int, int]
"""How far somebody has read: the last number of each stream. A store has one stream, 0; one that is
made of several has one for each. Of a stream that is not named nothing was read."""


class NewPost(Struct, frozen=True):
    """Something to be said on a topic."""

    topic: str
    body: bytes
    headers: Mapping[str, str] = {}

    @property
    def weight(self) -> int:
        """How much of the room for posts it takes."""
        headers = sum(len(name) + len(value) for name, value in self.headers.items())
        return OVERHEAD + len(self.topic) + len(self.body) + headers


class Posted(Struct, frozen=True):
    """A post as it is kept. `number` is from 1, one more with each post of its stream; `at` in
    microseconds (wall clock)."""

    number: int
    at: int
    topic: str
    body: bytes
    headers: dict[str, str] = {}
    stream: int = 0


class Page(Struct, frozen=True):
    """What lies behind a cursor, and the cursor that lies behind that. `missed` is how many posts
    between the two are not kept any more; more than none also says it where the cursor is ahead of
    the store, which has lost what it had."""

    posts: list[Posted]
    after: Cursor
    missed: int = 0


class Posts(Protocol):
    """The verbs of topics.

    Whoever has seen a number of a stream never finds one below it later: posts are read in the
    order in which they were committed. They are kept for `KEPT`, or until they are too many
    (`MOST_WEIGHT`). A post is news to those who listen (`News.POSTS`).
    """

    def post(self, new: Sequence[NewPost], *, now: Now | None = None) -> list[int]:
        """Post all of these or none (in a store made of several: of those that go to the same);
        their numbers. What was answered is durable as an insert is. Not repeatable."""
        ...

    def posts(self, after: Cursor, *, limit: int = 100) -> Page:
        """What is kept behind a cursor, at most `limit` of each stream in the order of their
        numbers. Fewer than `limit` in all: there were no more."""
        ...

    def last_post(self) -> Cursor:
        """The cursor behind everything that has been posted."""
        ...
