"""Posts: in the order of their numbers, which is that of their transactions."""

from collections.abc import Sequence
from sqlite3 import Connection

from mainspring.engines.common.posts import begin, encode_headers, page, posted
from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite.step import Step
from mainspring.posts import KEPT, MOST_WEIGHT, SLICE, Cursor, NewPost, Page
from mainspring.store import News

SQL = sections(__file__)


def post(step: Step, posts: Sequence[NewPost]) -> list[int]:
    """Add these; their numbers."""
    if not posts:
        return []
    weights = [each.weight for each in posts]
    last, upto = step.row(SQL["given"], {"n": len(posts), "weight": sum(weights)})
    upto -= sum(weights)
    first = last - len(posts) + 1
    rows = []
    for number, (each, weight) in enumerate(zip(posts, weights, strict=True), first):
        upto += weight
        headers = encode_headers(each.headers)
        rows.append((number, step.wall, upto, each.topic, headers, each.body))
    step.many(SQL["post"], rows)
    step.news |= News.POSTS
    if last // SLICE > (first - 1) // SLICE:
        prune(step, 2 * max(SLICE, len(posts)))
    return list(range(first, last + 1))


def read(connection: Connection, after: Cursor, limit: int) -> Page:
    """A page of posts."""
    begun, missed = begin(after, *_kept(connection))
    rows = connection.execute(SQL["posts"], (begun, limit))
    return page([posted(*row) for row in rows], begun, missed)


def last(connection: Connection) -> Cursor:
    """The cursor behind everything."""
    return {0: _kept(connection)[0]}


def any_old(connection: Connection, wall: int) -> bool:
    """Whether there is something to prune."""
    ((found,),) = connection.execute(SQL["any_old"], _bounds(wall)).fetchall()
    return bool(found)


def prune(step: Step, limit: int) -> int:
    """Remove some whose time has come; how many."""
    (first,) = step.row(SQL["stays"], _bounds(step.wall) | {"limit": limit})
    n = step.run(SQL["prune"], (first,)).rowcount
    if n:
        step.run(SQL["pruned"], (first,))
    return n


def _kept(connection: Connection) -> tuple[int, int]:
    ((last, first),) = connection.execute(SQL["kept"]).fetchall()
    return last, first


def _bounds(wall: int) -> dict[str, int]:
    return {"old": wall - KEPT, "most": MOST_WEIGHT}
