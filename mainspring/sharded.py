"""Sharded: what a store that is made of several tells of each of them."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from msgspec import Struct


class ShardQueue(Struct, frozen=True, kw_only=True):
    """A queue in a shard: how many of its jobs there wait (in whatever way), run and have ended,
    and whether new ones go there."""

    home: bool
    waiting: int
    running: int
    ended: int


class ShardInfo(Struct, frozen=True, kw_only=True):
    """One of several stores that are one. `draining`: it gets no new jobs and entries; `away` says
    why it does not answer, "" if it does; `entries`: whether some of the key-value store are there.
    """

    name: str
    url: str
    draining: bool = False
    away: str = ""
    entries: bool = False
    queues: Mapping[str, ShardQueue] = {}


@runtime_checkable
class Sharded(Protocol):
    """A store that is made of several."""

    def shards(self) -> list[ShardInfo]:
        """Each of them, and what is in it."""
        ...
