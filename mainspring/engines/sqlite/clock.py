"""The store's two clocks, and by what a restart of the machine is known."""

import time
from pathlib import Path

from mainspring.job import Now

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BOOT_TIME = getattr(time, "CLOCK_BOOTTIME", None)


def _read_boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip() if _BOOT_TIME is not None else ""
    except OSError:
        return ""


BOOT_ID = _read_boot_id()
"""Differs after every start of the machine. Empty where there is none: leases then run by the
wall clock, which alone goes on through a restart."""


def now() -> Now:
    """The present."""
    wall = time.time_ns() // 1000
    if not BOOT_ID or _BOOT_TIME is None:
        return Now(wall, wall)
    return Now(wall, time.clock_gettime_ns(_BOOT_TIME) // 1000)
