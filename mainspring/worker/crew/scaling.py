"""Scaling: how many children are worth having. Pure figures; knows no process and no clock."""

from dataclasses import dataclass, field

BUSY, IDLE = 0.8, 0.3
"""The shares of their time above which children are too few, and below which they are too many."""

PATIENCE = 30.0
"""Seconds for which children must have been too many before one goes."""

WAIT = 1.0
"""Seconds of work that may wait before children are too few, however busy they are told to be."""


@dataclass
class Scaling:
    """A number of children from `least` to `most`, by what they have to do. Times in seconds."""

    least: int
    most: int
    fixed: bool = False
    count: int = field(init=False)
    _idle_since: float | None = None

    def __post_init__(self) -> None:
        self.count = self.least

    @property
    def elastic(self) -> bool:
        """Whether there is anything to decide."""
        return self.least < self.most

    def bound(self, least: int, most: int) -> None:
        """New bounds hold at once, unless the number is fixed."""
        if self.fixed:
            return
        self.least, self.most = least, most
        self.count = min(max(self.count, least), most)

    def judge(self, now: float, utilisation: float, waiting: int, rate: float) -> int:
        """The number of children from now on, when the present ones spent this share of their
        time on jobs and end `rate` jobs a second, and so many jobs wait to be claimed."""
        behind = waiting > WAIT * rate
        if waiting and utilisation >= BUSY and behind:
            self._idle_since = None
            # By half: a burst is met in a few steps, a ripple is not answered by a crowd.
            self.count = min(self.most, self.count + max(1, self.count // 2))
        elif waiting or utilisation > IDLE:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since >= PATIENCE:
            self._idle_since = now
            self.count = max(self.least, self.count - 1)
        return self.count
