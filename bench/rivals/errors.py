"""What can go wrong in a run: nothing can be measured at all, or one rival fell over."""

from bench.errors import CannotRun

__all__ = ["CannotRun", "RivalFailed"]


class RivalFailed(Exception):
    """A rival's own process ended or stood still where it should have worked."""
