"""Spawn: one child process as its parent sees it, from its start to how it ended."""

import errno
import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO

from mainspring.worker.link.board import memory_file, share
from mainspring.worker.link.capture import FULL, left_over
from mainspring.worker.link.wire import News, Order, ParentWire, Setup

log = logging.getLogger("mainspring")

FAREWELL = 0.2
"""Seconds for one that has hung up to end by itself: how it ends is worth knowing."""

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Child:
    """One process, spawned clean: nothing of the parent is carried into it but a socket, the
    board, and, if it runs one job at a time, the file that takes its output."""

    def __init__(
        self, setup: Setup, spots: int, hear: Callable[["Child", News | None], None]
    ) -> None:
        """`OSError` if the machine has not enough left for one more."""
        self.board, memory = share(spots)
        self._output: IO[bytes] | None = memory_file("output") if setup.solo else None
        ours, theirs = socket.socketpair()
        with theirs, memory:
            files = [theirs.fileno(), memory.fileno()]
            if self._output is not None:
                # Whoever has inherited it appends, also after it was cut short.
                fcntl.fcntl(self._output, fcntl.F_SETFL, os.O_APPEND)
                files.append(self._output.fileno())
            command = [sys.executable, "-m", "mainspring.worker.child.process", *map(str, files)]
            self._process = subprocess.Popen(
                command,
                pass_fds=files,
                stdin=subprocess.DEVNULL,
                process_group=0,  # what is typed at a terminal is for the parent
            )
        self.pid = self._process.pid
        self.peak = 0
        self._solo = setup.solo
        self._hear = hear
        self._wire = ParentWire(ours)
        self._wire.send(setup)
        listener = threading.Thread(target=self._listen, name=f"child-{self.pid}", daemon=True)
        try:
            listener.start()
        except RuntimeError as error:  # the machine had one process left, but no thread
            self.close()
            self.last_output()
            raise OSError(errno.EAGAIN, str(error)) from None

    def send(self, order: Order) -> None:
        """Pass an order on, without waiting."""
        self._wire.send(order)

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone, even if something it started holds the line open."""
        return self._reap(os.WNOHANG)

    @property
    def memory(self) -> int:
        """Bytes of memory that the process and the programs it started take up now (Linux;
        elsewhere 0)."""
        return _memory(self.pid)

    @property
    def cpu(self) -> float:
        """Seconds of processor time that the process has used (Linux; elsewhere 0)."""
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
                return (int(fields[11]) + int(fields[12])) / _TICKS
        except (OSError, IndexError):
            return 0.0

    def trim(self) -> None:
        """Cut off what it prints without end, but for the first of it, if it does not do so."""
        if self._output is not None and os.fstat(self._output.fileno()).st_size > 16 * FULL:
            os.ftruncate(self._output.fileno(), FULL)

    def kill(self) -> None:
        """End the process now, and the programs that its job has started if it has but one; what
        it still says is heard."""
        if self.has_ended:
            return
        if self._solo:
            os.killpg(self.pid, signal.SIGKILL)
        else:
            self._process.kill()

    def hang_up(self) -> None:
        """Hear no more than has been sent by now."""
        self._wire.close()

    def close(self) -> str:
        """End the process, if it still lives; how it ended, in words."""
        until = time.monotonic() + (FAREWELL if self._wire.ended else 0)
        while not self.has_ended and time.monotonic() < until:
            time.sleep(0.002)
        self.kill()
        self._reap(0)
        self._wire.close()
        return _status(self._process.returncode)

    def last_output(self) -> list[str]:
        """What it printed and nobody passed on, once it is closed."""
        if self._output is None:
            return []
        with self._output:
            return left_over(self._output.fileno(), self.board.output_from)

    def _reap(self, how: int) -> bool:
        # Not by `Popen.wait`: only this tells how much memory the process had.
        if self._process.returncode is not None:
            return True
        try:
            pid, status, usage = os.wait4(self.pid, how)
        except ChildProcessError:  # reaped by somebody else in this process
            self._process.returncode = 0
            return True
        if not pid:
            return False
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self.peak = usage.ru_maxrss * _RSS_UNIT
        return True

    def _listen(self) -> None:
        try:
            for news in self._wire:
                self._hear(self, news)
        except Exception:
            log.exception("child %d sent what cannot be read", self.pid)
        self._hear(self, None)


def _memory(pid: int) -> int:
    """Of a process and all that descends from it; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            size = int(file.read().split()[1]) * _PAGE
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                size += sum(_memory(int(child)) for child in file.read().split())
    except (OSError, IndexError):
        return 0
    return size


def _status(returncode: int) -> str:
    """How a process ended, in words."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return f"signal {-returncode} ({signal.Signals(-returncode).name})"
    except ValueError:
        return f"signal {-returncode}"
