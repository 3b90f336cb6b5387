"""What this process claimed and has not settled: by token and number, what a settle must know.

Only a memory: what is not in it (a receipt from another process, a restart) is read instead.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Kind(NamedTuple):
    """What jobs of one claim share, for counts, statistics and the chores at a job's end."""

    queue: int
    task: int
    flags: int


class Handed:
    """Claimed jobs by (token, number)."""

    def __init__(self) -> None:
        self._grants: dict[int, dict[int, Kind]] = {}

    def remember(self, token: int, kinds: dict[int, Kind]) -> None:
        """These numbers are held under the token."""
        self._grants.setdefault(token, {}).update(kinds)

    def kinds(self, token: int, numbers: Iterable[int]) -> list[Kind] | None:
        """The kind of each, in order; None when one is not known."""
        grant = self._grants.get(token)
        if grant is None:
            return None
        try:
            return list(map(grant.__getitem__, numbers))
        except KeyError:
            return None

    def forget(self, token: int, numbers: Iterable[int]) -> None:
        """They are settled, or lost."""
        grant = self._grants.get(token)
        if grant is None:
            return
        for number in numbers:
            grant.pop(number, None)
        if not grant:
            del self._grants[token]

    def drop(self, tokens: Iterable[int]) -> None:
        """Nothing under these tokens is held any more."""
        for token in tokens:
            self._grants.pop(token, None)
