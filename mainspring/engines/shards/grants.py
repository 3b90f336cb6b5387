"""Grants: under which tokens a claim holds what at which shard.

A claim brings one token; the first shard that gives jobs keeps it, and each further one gets a
token of its own. So a token belongs to one shard, and a shard that is away takes no job of another
along. Only a memory: a token that is not in it is asked about everywhere.
"""

import threading
import time

from mainspring.engines.shards.shard import Shard
from mainspring.ids import new_token

MOST_REMEMBERED = 10_000


class Grants:
    """Tokens by the claims they were made for. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._families: dict[int, list[tuple[Shard, int]]] = {}
        self._shards: dict[int, Shard] = {}
        self._limbo: dict[Shard, dict[int, float]] = {}

    def family(self, token: int) -> list[tuple[Shard, int]]:
        """Where a claim under that token got something, or may have, and under which token."""
        return list(self._families.get(token, ()))

    def shard(self, token: int) -> Shard | None:
        """Whose token it is."""
        return self._shards.get(token)

    def lend(self, claim: int, shard: Shard) -> int:
        """A token for what the claim may get there."""
        with self._lock:
            family = self._families.setdefault(claim, [])
            token = claim if all(each != claim for _, each in family) else new_token()
            family.append((shard, token))
            self._shards[token] = shard
            while len(self._families) > MOST_REMEMBERED:
                for _, old in self._families.pop(next(iter(self._families))):
                    self._shards.pop(old, None)
        return token

    def take_back(self, claim: int, token: int) -> None:
        """It got nothing there."""
        with self._lock:
            family = [each for each in self._families.get(claim, ()) if each[1] != token]
            if family:
                self._families[claim] = family
            else:
                self._families.pop(claim, None)
            self._shards.pop(token, None)

    def unanswered(self, shard: Shard, token: int, lease: int) -> None:
        """The answer to a claim was lost: what it got is to be asked for when the shard answers
        again. `lease` in microseconds: after a third of it that is too late for the first renewal.
        """
        with self._lock:
            until = time.monotonic() + lease / 3_000_000
            self._limbo.setdefault(shard, {})[token] = until

    def answered(self, shard: Shard, token: int) -> None:
        """A repeat of the claim was answered."""
        with self._lock:
            self._limbo.get(shard, {}).pop(token, None)

    def in_limbo(self, shard: Shard) -> list[int]:
        """Tokens to ask about there; they are not named a second time."""
        if not self._limbo.get(shard):
            return []
        with self._lock:
            now = time.monotonic()
            return [token for token, until in self._limbo.pop(shard).items() if until > now]
