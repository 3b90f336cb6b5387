"""Pages: lists of jobs in parts that fit into memory, whatever the jobs hold."""

from mainspring.job import Record, Select
from mainspring.store import Store

LARGEST_PAGE = 8_000_000
"""Bytes of payloads and results after which a page ends; the last job may go beyond."""

AT_ONCE = 25
"""Jobs that are read before it is looked at how large they are."""


def page_of(
    store: Store, chosen: Select, limit: int, after: int | None
) -> tuple[list[Record], int | None]:
    """The newest of them below the number `after`, and the number below which the next page is,
    None if there is no more."""
    records: list[Record] = []
    size = 0
    while len(records) < limit:
        most = min(AT_ONCE, limit - len(records))
        found = store.find(chosen, limit=most, after=after)
        for record in found:
            records.append(record)
            size += len(record.payload) + len(record.result or b"")
            if size >= LARGEST_PAGE:
                return records, record.number
        if len(found) < most:
            return records, None
        after = found[-1].number
    return records, after
