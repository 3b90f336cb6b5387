"""Cells: entries of the key-value store as engines keep them, and what a store promises of them."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from mainspring.job import Now

OWN = "\x01"
"""What the keys of the product's own entries begin with. No program can name such a key."""

BEHIND_OWN = "\x02"
"""Behind all of those, and before every key of a program."""


class Cell(Struct, frozen=True):
    """What is kept under a key. `version` is from 1, larger after every write, and never used
    again, not even for another entry; `expires` in microseconds (wall clock), None: it stays."""

    key: str
    value: bytes
    version: int
    expires: int | None = None


class Put(Struct, frozen=True):
    """A value to be kept, `ttl` microseconds long (None: until it is deleted). `expected` is the
    version that must be there, 0 for none; None: whatever is there."""

    key: str
    value: bytes
    ttl: int | None = None
    expected: int | None = None


class Add(Struct, frozen=True):
    """A number to be added to an entry. A new entry begins at 0 and gets `ttl`; one that is there
    keeps its end."""

    key: str
    by: int
    ttl: int | None = None


class Cells(Protocol):
    """The verbs of the key-value store.

    An entry whose time has come is not there, for any verb, whether upkeep has removed it or not.
    A key may be named once in a call (`InvalidArguments`). What was answered is durable as an
    insert is.
    """

    def kv_get(self, keys: Sequence[str], *, now: Now | None = None) -> list[Cell | None]:
        """The entries under these keys, in order; None where there is none."""
        ...

    def kv_set(self, puts: Sequence[Put], *, now: Now | None = None) -> list[int]:
        """Write all of them or none; the new versions, in order. `VersionConflict`."""
        ...

    def kv_add(self, adds: Sequence[Add], *, now: Now | None = None) -> list[int]:
        """Add to all of these entries or to none; what they are now. Nothing is lost between any
        number of callers. `NotInteger`: an entry is none, or would not fit into 64 bits."""
        ...

    def kv_touch(
        self, keys: Sequence[str], ttl: int | None, *, now: Now | None = None
    ) -> list[bool]:
        """Have entries stay so long from now on (None: until they are deleted), with the value and
        version they have; whether each was there."""
        ...

    def kv_delete(self, keys: Sequence[str], *, now: Now | None = None) -> int:
        """Remove entries; how many there were."""
        ...

    def kv_scan(
        self, prefix: str = "", *, after: str = "", limit: int = 1000, now: Now | None = None
    ) -> list[Cell]:
        """Entries whose keys begin so, in the order of their keys' code points, those behind
        `after`. Fewer than `limit`: there are no more."""
        ...
