"""Pages: lists in parts that fit into memory, whatever is in them."""

from collections.abc import Callable
from typing import TypeVar

from mainspring.job import Record, Select
from mainspring.store import Store

T = TypeVar("T")
P = TypeVar("P")

LARGEST_PAGE = 8_000_000
"""Bytes of what is in it after which a page ends; the last may go beyond."""

AT_ONCE = 25
"""What is read before it is looked at how large it is."""


def page(
    read: Callable[[P, int], list[T]],
    after: P,
    limit: int,
    place: Callable[[T], P],
    size: Callable[[T], int],
) -> tuple[list[T], bool]:
    """What `read` finds behind `after`, at most so much, and whether there may be more behind it.
    `place` is where something is, `size` how many bytes are in it."""
    found: list[T] = []
    left = LARGEST_PAGE
    while len(found) < limit:
        most = min(AT_ONCE, limit - len(found))
        some = read(after, most)
        for each in some:
            found.append(each)
            left -= size(each)
            if left <= 0:
                return found, True
        if len(some) < most:
            return found, False
        after = place(some[-1])
    return found, True


def page_of(
    store: Store, chosen: Select, limit: int, after: int | None
) -> tuple[list[Record], int | None]:
    """The newest of the chosen jobs below the number `after`, and the number below which the next
    page is, None if there is no more."""

    def read(below: int | None, most: int) -> list[Record]:
        return store.find(chosen, limit=most, after=below)

    records, more = page(read, after, limit, number, weight)
    return records, records[-1].number if more and records else None


def number(job: Record) -> int:
    """Where a job is in a list."""
    return job.number


def weight(job: Record) -> int:
    """Bytes of what is in a job."""
    return len(job.payload) + len(job.result or b"")
