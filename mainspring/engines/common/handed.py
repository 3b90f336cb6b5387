"""What this process claimed and has not settled: by token and number, the kind of job.

Only a memory: what is not in it (a receipt from another process, a restart) is read instead.
A kind is one integer, so that whole batches are compared and counted without looking inside:
queue << 40 | task << 8 | suspect << 7 | careful << 6 | flags.
"""

from collections.abc import Collection, Iterable

CAREFUL, SUSPECT = 64, 128
"""Beside the flags of codes.py in a kind's lowest bits."""


MOST_REMEMBERED = 10_000
"""Grants; of those that are never settled here the oldest are forgotten."""


def queue_of(kind: int) -> int:
    """The queue of such jobs."""
    return kind >> 40


def task_of(kind: int) -> int:
    """The task of such jobs."""
    return kind >> 8 & 0xFFFFFFFF


class Handed:
    """Kinds of claimed jobs by token and number."""

    def __init__(self) -> None:
        self._grants: dict[int, dict[int, int]] = {}

    def remember(self, token: int, kinds: dict[int, int]) -> None:
        """These numbers are held under the token."""
        self._grants[token] = kinds
        while len(self._grants) > MOST_REMEMBERED:
            del self._grants[next(iter(self._grants))]

    def kinds(self, token: int, numbers: Iterable[int]) -> list[int] | None:
        """The kind of each, in order; None when one is not known."""
        grant = self._grants.get(token)
        if grant is None:
            return None
        try:
            return list(map(grant.__getitem__, numbers))
        except KeyError:
            return None

    def forget(self, token: int, numbers: Collection[int]) -> None:
        """They are settled, or lost."""
        grant = self._grants.get(token)
        if grant is None:
            return
        if len(numbers) == len(grant):
            # A whole grant at once, the common case.
            self._grants.pop(token, None)
            return
        for number in numbers:
            grant.pop(number, None)
        if not grant:
            self._grants.pop(token, None)

    def drop(self, tokens: Iterable[int]) -> None:
        """Nothing under these tokens is held any more."""
        for token in tokens:
            self._grants.pop(token, None)
