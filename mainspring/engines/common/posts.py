"""Posts: what engines make of a cursor, and how headers are kept."""

from collections.abc import Mapping

import msgspec

from mainspring.codec import decode_headers
from mainspring.posts import Cursor, Page, Posted

_encode = msgspec.msgpack.Encoder().encode

STREAM = 0


def encode_headers(headers: Mapping[str, str]) -> bytes | None:
    """Headers as msgpack; nothing for none."""
    return _encode(dict(headers)) if headers else None


def posted(number: int, at: int, topic: str, headers: bytes | None, body: bytes) -> Posted:
    """A post as it was kept."""
    return Posted(number, at, topic, body, decode_headers(headers))


def begin(after: Cursor, last: int, first: int) -> tuple[int, int]:
    """Behind which number a page begins, and how many are missed before it."""
    seen = after.get(STREAM)
    if seen is None:
        return first - 1, 0
    if seen > last:
        return last, seen - last
    return max(seen, first - 1), max(0, first - 1 - seen)


def page(posts: list[Posted], begun: int, missed: int) -> Page:
    """These posts, which lie behind the number where the page began."""
    return Page(posts, {STREAM: posts[-1].number if posts else begun}, missed)
