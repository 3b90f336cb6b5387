"""Rates: how often one may ask. A token bucket for each key and each address."""

import math
import time
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from mainspring.server.forms.problems import Problem
from mainspring.server.terms import Rate

MOST_BUCKETS = 100_000

FAILED = 2
"""What a request with a key that does not hold costs."""


class Rates:
    """Each bucket is the moment at which it will be full again; those that are full are none."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._each = rate.period / rate.count
        self._full_at: dict[str, float] = {}

    def take(self, who: str) -> None:
        """Count a request of this key or address; a `Problem` if it is one too many."""
        now = time.monotonic()
        full_at = max(now, self._full_at.get(who, now)) + self._each
        late = full_at - now - self._rate.period
        # Sums of fractions: what exceeds the bucket by less than a request is no request.
        if late > self._each / 2:
            raise Problem(
                429,
                "too-many-requests",
                f"expected at most {self._rate.count:,} requests in {self._rate.period:g} s from"
                " one key or address",
                {"Retry-After": str(math.ceil(late))},
            )
        self._put(who, full_at, now)

    def fail(self, who: str) -> None:
        """Have a request that was counted cost what one with a wrong key costs."""
        now = time.monotonic()
        full_at = max(now, self._full_at.get(who, now)) + (FAILED - 1) * self._each
        self._put(who, full_at, now)

    def _put(self, who: str, full_at: float, now: float) -> None:
        self._full_at[who] = full_at
        if len(self._full_at) > MOST_BUCKETS:
            left = [pair for pair in self._full_at.items() if pair[1] > now]
            # Half of them at most, so that this is not to be done again for long.
            self._full_at = dict(left[-MOST_BUCKETS // 2 :])


@lru_cache(10_000)
def source(address: str) -> str:
    """Whom an address stands for: with IPv6 a network of 64 bits, which is what one is given."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return f"{IPv6Address(int(found) >> 64 << 64)}/64"
    return address
