"""Posts: in the order of their numbers, which is that of their transactions.

A sequence would not give them in that order: whoever drew the lower number might commit later. So
they come from the one row that each transaction with posts changes.
"""

from collections.abc import Sequence
from itertools import accumulate

from mainspring.engines.common.posts import STREAM, begin, encode_headers, page, posted
from mainspring.engines.common.sections import sections
from mainspring.engines.postgres.arrays import bigints, blobs, texts
from mainspring.engines.postgres.reader import Reader
from mainspring.engines.postgres.step import Step
from mainspring.posts import KEPT, MOST_WEIGHT, SLICE, Cursor, NewPost, Page
from mainspring.store import News

SQL = sections(__file__)


def post(step: Step, posts: Sequence[NewPost]) -> list[int]:
    """Add these; their numbers."""
    upto = list(accumulate(each.weight for each in posts))
    named = {
        "n": len(posts),
        "weight": upto[-1],
        "at": step.wall,
        "upto": bigints(upto),
        "topics": texts(each.topic for each in posts),
        "headers": blobs([encode_headers(each.headers) for each in posts]),
        "bodies": blobs([each.body for each in posts]),
    }
    (before,) = step.row(SQL["post"], named)
    step.news |= News.POSTS
    if (before + len(posts)) // SLICE > before // SLICE:
        _prune(step, 2 * max(SLICE, len(posts)))
    return list(range(before + 1, before + len(posts) + 1))


def read(reader: Reader, after: Cursor, limit: int) -> Page:
    """A page of posts."""
    rows = reader.rows(SQL["posts"], (after.get(STREAM, 0), limit))
    begun, missed = begin(after, *rows[0][:2])
    return page([posted(*row[2:]) for row in rows if row[2]], begun, missed)


def last(reader: Reader) -> Cursor:
    """The cursor behind everything."""
    ((number,),) = reader.rows(SQL["last"])
    return {STREAM: number}


def any_old(reader: Reader, wall: int) -> bool:
    """Whether there is something to prune."""
    ((found,),) = reader.rows(SQL["any_old"], _bounds(wall))
    return bool(found)


def prune(step: Step, limit: int) -> int:
    """Remove some whose time has come; how many. Nobody can post before the transaction ends."""
    step.rows(SQL["lock"])
    return _prune(step, limit)


def _prune(step: Step, limit: int) -> int:
    (stays,) = step.row(SQL["stays"], _bounds(step.wall) | {"limit": limit})
    (n,) = step.row(SQL["prune"], {"stays": stays})
    return int(n)


def _bounds(wall: int) -> dict[str, int]:
    return {"old": wall - KEPT, "most": MOST_WEIGHT}
