"""Usage: which share of its time a thing was busy, between two looks at it."""

import time


class Usage:
    """A mean over time. Whoever looks starts a new one."""

    def __init__(self) -> None:
        self._since = self._at = time.monotonic()
        self._sum = self._now = 0.0

    def is_now(self, share: float) -> None:
        """From now on it is busy to this share, 0 to 1."""
        now = time.monotonic()
        self._sum += self._now * (now - self._at)
        self._at, self._now = now, share

    def look(self) -> float:
        """The share since the last look."""
        self.is_now(self._now)
        span = self._at - self._since
        mean = self._sum / span if span > 0 else self._now
        self._since, self._sum = self._at, 0.0
        return mean
