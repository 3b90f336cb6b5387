"""Operating on selections: cancel, replay, delete, slice by slice, each slice one script."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from mainspring.engines.redis.client import Client
from mainspring.engines.redis.codes import ALL_STATES, CODE, SLICE, STATE
from mainspring.job import Changed, Now, Select

_encode = msgspec.msgpack.Encoder().encode

BEGUN = 0
"""In place of the selected states: what is to be done with these has begun."""


def states_of(select: Select) -> int:
    """The selected states as a bit mask."""
    if select.states is None:
        return ALL_STATES
    return sum(1 << CODE[state] for state in set(select.states))


def matching(client: Client, select: Select, limit: int, after: int | None = None) -> list[bytes]:
    """The numbers of jobs that match, highest first, at most so many, below `after`."""
    if () in (select.ids, select.states, select.queues, select.tasks, select.keys, select.tags):
        return []
    told = _encode(
        (
            *(select.ids is not None, select.queues, select.tasks, select.keys, select.tags),
            *(select.before, select.after),
        )
    )
    found: list[bytes] = []
    below = b"" if after is None else b"%014d" % max(after, 0)
    while True:
        numbers, below = client.run(
            "select",
            *(limit - len(found), below, states_of(select), told),
            *(select.ids or ()),
            writes=False,
        )
        found += numbers
        if not below or len(found) >= limit:
            return found


def by_slices(
    client: Client, verb: str, select: Select, now: Now | None, *arguments: Any
) -> Changed:
    """Do this to all that match, so many at a time."""
    ids: list[bytes] = []
    refused: dict[bytes, str] = {}
    below: int | None = None
    while True:
        numbers = matching(client, select, SLICE, below)
        if numbers:
            # What matched may have moved since: the script looks at the states again.
            told = client.run(verb, states_of(select), *arguments, *numbers, now=now)
            while later := _sort(told, ids, refused):
                told = client.run(verb, BEGUN, *arguments, *later, now=now)
        if len(numbers) < SLICE:
            return Changed(tuple(ids), refused)
        below = int(numbers[-1])


def _sort(told: Sequence[bytes], ids: list[bytes], refused: dict[bytes, str]) -> list[bytes]:
    """What was told of each; the numbers of those with which another script has to go on."""
    later = []
    for id, words in zip(told[::2], told[1::2], strict=True):
        if words.startswith(b"later:"):
            later.append(words.partition(b":")[2])
        elif words:
            refused[id] = _refusal(words)
        else:
            ids.append(id)
    return later


def _refusal(words: bytes) -> str:
    kind, _, detail = words.partition(b":")
    match kind:
        case b"ended":
            return f"the job has ended already: {STATE[int(detail)]}"
        case b"running":
            return "the job is running; cancel it first"
        case b"awaited":
            return f"job {UUID(bytes=detail)}, which depends on it, has not ended"
        case b"taken":
            return f"its unique key is held by job {UUID(bytes=detail)}"
    return "the job has not ended"
