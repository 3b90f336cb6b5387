"""Posts: in the order of their numbers, which scripts give one after the other."""

import struct
from collections.abc import Sequence
from typing import Any

import msgspec

from mainspring.engines.common.posts import STREAM, begin, page
from mainspring.engines.redis.client import Client
from mainspring.errors import StoreDamaged
from mainspring.job import Now
from mainspring.posts import KEPT, MOST_WEIGHT, Cursor, NewPost, Page, Posted

BOUNDS = KEPT, MOST_WEIGHT

_moment = struct.Struct("<d")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[str, dict[str, str], bytes]).decode


def post(client: Client, posts: Sequence[NewPost], now: Now | None = None) -> list[int]:
    """Add these; their numbers."""
    if not posts:
        return []
    told = (part for each in posts for part in (each.weight, _kept(each)))
    before = int(client.run("post", *BOUNDS, *told, now=now, repeat=False))
    return list(range(before + 1, before + len(posts) + 1))


def read(client: Client, after: Cursor, limit: int) -> Page:
    """A page of posts."""
    told = client.run("posts_read", after.get(STREAM, 0), limit, writes=False)
    last, first, *rows = told
    begun, missed = begin(after, int(last), int(first))
    rows_of_three = zip(rows[::3], rows[1::3], rows[2::3], strict=True)
    return page([_posted(*row) for row in rows_of_three], begun, missed)


def last(client: Client) -> Cursor:
    """The cursor behind everything."""
    return {STREAM: int(client.run("posts_read", 0, 0, writes=False)[0])}


def _kept(post: NewPost) -> bytes:
    return _encode((post.topic, post.headers, post.body))


def _posted(number: Any, at: bytes, kept: bytes) -> Posted:
    try:
        topic, headers, body = _decode(kept)
        (moment,) = _moment.unpack(at)
    except (msgspec.MsgspecError, struct.error) as error:
        raise StoreDamaged(f"post #{int(number)} cannot be read: {error}") from error
    return Posted(int(number), int(moment), topic, body, headers)
