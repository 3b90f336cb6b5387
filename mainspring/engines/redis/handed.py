"""What this process claimed and has not settled: by token and number, the queue and the task.

Only a memory: what is not in it (a receipt from another process, a restart) is read instead.
"""

from collections.abc import Collection, Iterable
from typing import TypeAlias

Kind: TypeAlias = tuple[str, str]
"""(queue, task)"""

MOST_REMEMBERED = 10_000
"""Grants; of those that are never settled here the oldest are forgotten."""


class Handed:
    """Kinds of claimed jobs by token and number."""

    def __init__(self) -> None:
        self._grants: dict[int, dict[int, Kind]] = {}

    def remember(self, token: int, kinds: dict[int, Kind]) -> None:
        """These numbers are held under the token."""
        self._grants[token] = kinds
        while len(self._grants) > MOST_REMEMBERED:
            try:
                del self._grants[next(iter(self._grants))]
            except (KeyError, RuntimeError):
                return  # another thread is at it

    def grant(self, token: int) -> dict[int, Kind]:
        """All that is known of a token; not to be changed."""
        return self._grants.get(token, {})

    def forget(self, token: int, numbers: Collection[int]) -> None:
        """They are settled, or lost."""
        grant = self._grants.get(token)
        if grant is None:
            return
        for number in numbers:
            grant.pop(number, None)
        if not grant:
            self._grants.pop(token, None)

    def drop(self, tokens: Iterable[int]) -> None:
        """Nothing under these tokens is held any more."""
        for token in tokens:
            self._grants.pop(token, None)
