"""Placement: which shard a name belongs to, and how the numbers of jobs tell their shard.

Rendezvous hashing (highest random weight; Thaler and Ravishankar, "Using name-based mappings to
increase hit rates", IEEE/ACM Transactions on Networking 6(1), 1998): every shard draws a weight for
a name, and the highest has it. A new shard takes from each of the others its share and moves
nothing else; one that goes gives what it had to all others.
"""

from collections.abc import Iterable
from hashlib import blake2b

BITS = 11
"""Of a job's number these lowest ones tell its shard. They are even, so that the number after a
job's is no other job's."""

_MASK = (1 << BITS) - 1

_SALT = b"slot 61"
"""Of many tried the first with which the names that come to mind (a to z, shard1 to shard32 and the
like) share no slot."""


def weight(shard: str, thing: bytes) -> int:
    """What this shard draws for the thing."""
    digest = blake2b(thing, digest_size=8, key=shard.encode(), person=b"placement")
    return int.from_bytes(digest.digest(), "big")


def highest(shards: Iterable[str], thing: bytes) -> str:
    """The shard that the thing belongs to."""
    return max(shards, key=lambda shard: (weight(shard, thing), shard))


def of_queue(queue: str) -> bytes:
    """A queue, as a thing to be placed."""
    return b"queue " + queue.encode()


def of_key(unique: str) -> bytes:
    """A unique key, as a thing to be placed."""
    return b"unique " + unique.encode()


def of_id(id: bytes) -> bytes:
    """A job, as a thing to be placed."""
    return b"job " + id


def of_entry(key: str) -> bytes:
    """An entry of the key-value store, as a thing to be placed."""
    return b"entry " + key.encode()


def of_topic(topic: str) -> bytes:
    """A topic, as a thing to be placed."""
    return b"topic " + topic.encode()


def slot(shard: str) -> int:
    """What the shard's name makes of the lowest bits of its jobs' numbers."""
    digest = blake2b(shard.encode(), digest_size=8, person=_SALT).digest()
    return int.from_bytes(digest, "big") & _MASK & ~1


def composed(number: int, slot: int) -> int:
    """The number of a job among all shards."""
    return number << BITS | slot


def parts(number: int) -> tuple[int, int]:
    """The number within its shard, and the slot of that."""
    return number >> BITS, number & _MASK
