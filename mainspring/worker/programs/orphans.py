"""Orphans: ends the programs of a runner that was killed, whose jobs will be run anew.

Run by its path as a process of its own, with nothing but the standard library. It reads numbers of
process groups: those that run, and with a minus those that have ended. When it can read no more,
whoever wrote them is gone.
"""

import contextlib
import os
import signal
import sys
import time

PATIENCE = 2.0
"""Seconds from SIGTERM to SIGKILL."""


def main() -> None:
    """Read until the end, and end what runs then."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line)
        groups.symmetric_difference_update({abs(group)})
    told = [group for group in groups if _sent(group, signal.SIGTERM)]
    until = time.monotonic() + PATIENCE
    while told and time.monotonic() < until:
        time.sleep(0.05)
        told = [group for group in told if _sent(group, 0)]
    for group in told:
        _sent(group, signal.SIGKILL)


def _sent(group: int, sent: int) -> bool:
    """Whether there still is such a group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, sent)
        return True
    return False


if __name__ == "__main__":
    main()
