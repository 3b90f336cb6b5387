"""A process with all it started, and the processor time they spent."""

import os

TICK = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """It, its children, their children and so on."""
    pids = [pid]
    for parent in pids:
        with open(f"/proc/{parent}/task/{parent}/children") as children:
            pids += [int(child) for child in children.read().split()]
    return pids


def cpu_seconds(pid: int) -> float:
    """Of a process, without its children."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK
