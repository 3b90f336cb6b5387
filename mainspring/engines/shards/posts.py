"""Posts over several stores: a topic has its home, and whoever reads goes on in each of them.

Numbers tell their shard, as those of jobs do, and each shard is a stream by its slot: so a cursor
says how far somebody is in each, and one that is away holds up no other.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from mainspring.engines.shards.placement import composed, parts
from mainspring.engines.shards.ring import Ring
from mainspring.engines.shards.shard import Shard
from mainspring.errors import PartlyUnavailable, StoreUnavailable
from mainspring.job import Now
from mainspring.posts import Cursor, NewPost, Page, Posted
from mainspring.store import Store


def post(ring: Ring, posts: Sequence[NewPost], now: Now | None) -> list[int]:
    """All or none at each shard; their numbers. `PartlyUnavailable` if one of several does not
    answer."""
    places: dict[Shard, list[int]] = {}
    for n, each in enumerate(posts):
        places.setdefault(ring.home_of_topic(each.topic), []).append(n)
    answers: dict[int, int] = {}
    trouble: StoreUnavailable | None = None
    for shard, mine in places.items():
        try:
            numbers = shard.do(_posting([posts[n] for n in mine], now))
        except StoreUnavailable as error:
            trouble = error
            continue
        answers.update(zip(mine, (composed(n, shard.slot) for n in numbers), strict=True))
    if trouble is not None and answers:
        told = f"{trouble}; {len(answers)} of {len(posts)} posts were stored, by other shards"
        missed = [each for n, each in enumerate(posts) if n not in answers]
        raise PartlyUnavailable(told, [answers.get(n) for n in range(len(posts))], missed)
    if trouble is not None:
        raise trouble
    return [answers[n] for n in range(len(posts))]


def read(ring: Ring, after: Cursor, limit: int) -> Page:
    """What lies behind the cursor in those that answer."""
    behind: dict[int, int] = {}
    for number in after.values():
        shard, _ = ring.of_number(number)
        if shard is not None:  # one that is not of this store any more is nowhere to be read
            behind[shard.slot] = max(number, behind.get(shard.slot, 0))
    pages = ring.each_its_own(lambda shard: _reading(behind.get(shard.slot), limit))
    return Page(
        [_outer(shard, each) for shard, page in pages for each in page.posts],
        behind | _cursor([(shard, page.after) for shard, page in pages]),
        sum(page.missed for _, page in pages),
    )


def last(ring: Ring) -> Cursor:
    """The cursor behind everything in those that answer."""
    return _cursor(ring.side_by_side(lambda store: store.last_post()))


def _cursor(cursors: Sequence[tuple[Shard, Cursor]]) -> dict[int, int]:
    return {
        shard.slot: composed(number, shard.slot)
        for shard, inner in cursors
        for number in inner.values()
    }


def _outer(shard: Shard, each: Posted) -> Posted:
    return replace(each, number=composed(each.number, shard.slot), stream=shard.slot)


def _reading(number: int | None, limit: int) -> Callable[[Store], Page]:
    after = {} if number is None else {0: parts(number)[0]}
    return lambda store: store.posts(after, limit=limit)


def _posting(posts: Sequence[NewPost], now: Now | None) -> Callable[[Store], list[int]]:
    return lambda store: store.post(posts, now=now)
