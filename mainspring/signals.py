"""Signals: hints by which whoever waits learns of a commit, as stores promise them."""

from enum import Flag, auto
from typing import Protocol


class News(Flag):
    """What a signal tells of. Whoever waits for one is not woken by another."""

    WORK = auto()
    """There may be something to claim, or it may fall due at another time. Who claims at once comes
    just in time, though the commit may not be visible yet to who only reads."""
    ENDS = auto()
    """Jobs have ended, or begin anew."""
    POSTS = auto()
    """Something was posted."""
    JOBS = WORK | ENDS


class Signal(Protocol):
    """A hint that something may have changed. Take it first, then look, then wait: nothing that
    was committed after it was taken is missed. A hint may come for nothing."""

    def wait(self, timeout: float) -> News:
        """Wait up to `timeout` seconds; of what is awaited, what was committed since the last
        wait."""
        ...

    def add(self, news: News) -> None:
        """Wait for this too, from now on and from another thread."""
        ...

    def wake(self) -> None:
        """End the current or next wait, from another thread."""
        ...

    def close(self) -> None:
        """Let go of what the signal holds."""
        ...
