"""Worker processes: started in groups of their own, and killed with every child they made."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from bench.rivals.errors import RivalFailed


class Workers:
    """The running workers of one rival. As a context manager it leaves none behind."""

    def __init__(self, commands: list[list[str]], environment: dict[str, str], log: Path) -> None:
        self.log = log
        self.processes: list[subprocess.Popen[bytes]] = []
        with log.open("ab") as output:
            for command in commands:
                self.processes.append(
                    subprocess.Popen(
                        command,
                        env=environment,
                        cwd=log.parent,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        start_new_session=True,
                    )
                )

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def check(self) -> None:
        """Raise RivalFailed with the end of the log if a worker has ended by itself."""
        for process in self.processes:
            if process.poll() is not None:
                raise RivalFailed(
                    f"{process.args!r} ended with {process.returncode}:\n{tail(self.log)}"
                )

    def kill(self) -> None:
        """Kill -9 of all of them at once: the workers and whatever they started."""
        roots = [process.pid for process in self.processes if process.poll() is None]
        family = descendants(roots)
        for pid in roots:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            process.wait()


def descendants(roots: list[int]) -> list[int]:
    """Children of these processes, their children and so on, where there is a /proc to ask."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.parent.name))
    found: list[int] = []
    waiting = list(roots)
    while waiting:
        born = children.get(waiting.pop(), [])
        found += born
        waiting += born
    return found


def tail(log: Path) -> str:
    """The last lines of a log, to put into an error."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(lines[-15:]) or "(nothing was logged)"
