"""Children: start, hear, watch, restart and end the processes in which jobs run."""

import contextlib
import logging
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import IO

from mainspring.errors import ConfigError
from mainspring.worker.station import Desk, Station
from mainspring.worker.wire import (
    Hello,
    News,
    Order,
    ParentWire,
    Quit,
    Recall,
    Report,
    Setup,
    Unable,
    Worn,
)

log = logging.getLogger("mainspring")

QUICK = 1.0
"""Seconds: a child that dies younger than this makes its successor wait."""

LONGEST_PAUSE = 5.0
"""Seconds that a successor waits at most."""

HOPELESS = 5
"""So many children in a row that could not start, and none that works: the worker gives up."""

IDLE = 10.0
"""Seconds for which the isolation child is kept without work."""

LINGER = 0.5
"""Seconds for which a dead child's line is read, if something it started keeps it open."""

LAST_WORDS = 1.5
"""Seconds for which a child may go on after it was told to quit."""


class Child:
    """One process, spawned clean: nothing of the parent is carried into it but a socket, and a
    piece of shared memory in which it marks the jobs that have begun."""

    def __init__(
        self, setup: Setup, spots: int, hear: Callable[["Child", News | None], None]
    ) -> None:
        self.marks, memory = _shared(spots)
        ours, theirs = socket.socketpair()
        with theirs, memory:
            files = (theirs.fileno(), memory.fileno())
            command = [sys.executable, "-m", "mainspring.worker.child", *map(str, files)]
            self._process = subprocess.Popen(command, pass_fds=files, stdin=subprocess.DEVNULL)
        self.pid = self._process.pid
        self._hear = hear
        self._wire = ParentWire(ours)
        self._wire.send(setup)
        threading.Thread(target=self._listen, name=f"child-{self.pid}", daemon=True).start()

    def send(self, order: Order) -> None:
        """Pass an order on, without waiting."""
        self._wire.send(order)

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone, even if something it started holds the line open."""
        return self._process.poll() is not None

    def hang_up(self) -> None:
        """Hear no more than has been sent by now."""
        self._wire.close()

    def close(self) -> str:
        """End the process, if it still lives; how it ended, in words."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            # One that has hung up is about to end by itself, and how it ends is worth knowing.
            self._process.wait(0.2 if self._wire.ended else 0)
        if self._process.returncode is None:
            self._process.kill()
        self._process.wait()
        self._wire.close()
        return _status(self._process.returncode)

    def _listen(self) -> None:
        try:
            for news in self._wire:
                self._hear(self, news)
        except Exception:
            log.exception("child %d sent what cannot be read", self.pid)
        self._hear(self, None)


@dataclass(eq=False)
class _Member:
    """A child, its books, and what is meant for it."""

    child: Child
    station: Station
    alone: bool
    born: float
    retired: bool = False
    dismissed: bool = False
    kill_at: float | None = None
    hang_up_at: float | None = None
    idle_since: float | None = None


class Children:
    """So many children for all jobs, and one at times for a suspect alone."""

    apart = True
    """Suspects run apart from everything else, so that claims need not wait for them."""

    def __init__(
        self,
        setup: Setup,
        count: int,
        spots: int,
        desk: Desk,
        post: Callable[[Callable[[], None]], None],
    ) -> None:
        self._setup = setup
        self._count = count
        self._spots = spots
        self._desk = desk
        self._post = post
        self._members: list[_Member] = []
        self._quick = self._unopened = 0
        self._not_before = 0.0
        self._quitting = False
        self._told = ""

    @property
    def stations(self) -> list[Station]:
        """Those that take jobs."""
        return [
            each.station
            for each in self._members
            if each.station.open and not each.alone and not each.retired
        ]

    @property
    def everyone(self) -> list[Station]:
        """All that may hold jobs."""
        return [each.station for each in list(self._members)]  # asked for from other threads, too

    @property
    def count(self) -> int:
        """How many processes there are."""
        return len(self._members)

    @property
    def gone(self) -> bool:
        """Whether nobody is left."""
        return not self._members

    @property
    def isolating(self) -> bool:
        """Whether a suspect runs."""
        return any(each.alone and each.station.held for each in self._members)

    def isolated(self) -> Station | None:
        """A place that holds nothing, for a suspect; started if there is none yet."""
        for member in self._members:
            if member.alone and not member.retired:
                return member.station if member.station.open and not member.station.held else None
        if time.monotonic() >= self._not_before:
            self._start(alone=True)
        return None

    def tend(self) -> None:
        """Start who is missing, end who should be gone."""
        now = time.monotonic()
        for member in self._members:
            self._look_after(member, now)
        if self._quitting or now < self._not_before:
            return
        there = sum(not each.alone and not each.retired for each in self._members)
        for _ in range(self._count - there):
            self._start(alone=False)

    def quit(self) -> None:
        """Let everybody hand back what they have, and go."""
        self._quitting = True
        for member in self._members:
            self._dismiss(member)

    def kill(self) -> None:
        """End everybody now."""
        self._quitting = True
        for member in list(self._members):
            self._gone(member)

    # --- one child --------------------------------------------------------------------------

    def _start(self, *, alone: bool) -> None:
        try:
            child = Child(self._setup, self._spots, self._hear)
        except OSError as error:
            log.warning("cannot start a child process: %s; trying again", error)
            self._not_before = time.monotonic() + LONGEST_PAUSE / 5
            return
        station = Station(child, child.marks, self._spots)
        self._members.append(_Member(child, station, alone, time.monotonic()))

    def _hear(self, child: Child, news: News | None) -> None:
        self._post(partial(self._heard, child, news))

    def _heard(self, child: Child, news: News | None) -> None:
        member = next((each for each in self._members if each.child is child), None)
        if member is None:
            return
        match news:
            case Hello():
                self._unopened = 0
                member.station.welcome(news.slots)
                self._desk.opened(member.station, news)
            case Report():
                self._desk.reported(member.station, news)
            case Unable(error=error, traceback=told):
                self._could_not_start(error, told)
                if not self.stations:
                    self._desk.hopeless(ConfigError(self._told))
            case Worn(reason=reason):
                log.warning("child %d is replaced: %s", member.child.pid, reason)
                member.retired = True
                member.child.send(Recall())
            case None:
                self._gone(member)

    def _look_after(self, member: _Member, now: float) -> None:
        if member.kill_at is not None:
            if now >= member.kill_at:
                member.kill_at = None
                self._post(partial(self._gone, member))
            return
        if member.child.has_ended:
            # Its last words are read to the end of the line, or for so long.
            member.hang_up_at = member.hang_up_at or now + LINGER
            if now >= member.hang_up_at:
                member.child.hang_up()
            return
        if member.station.held or not member.station.open:
            member.idle_since = None
        elif member.idle_since is None:
            member.idle_since = now
        idle = 0.0 if member.idle_since is None else now - member.idle_since
        if idle and (member.retired or (member.alone and idle > IDLE)):
            self._dismiss(member)

    def _dismiss(self, member: _Member) -> None:
        if member.dismissed:
            return  # told again and again, it would be waited for as long
        member.retired = member.dismissed = True
        member.child.send(Quit())
        member.kill_at = time.monotonic() + LAST_WORDS

    def _gone(self, member: _Member) -> None:
        if member not in self._members:
            return
        self._members.remove(member)
        status = member.child.close()
        opened = member.station.open
        begun, rest = member.station.strike_all()
        asked = member.dismissed or self._quitting
        if not asked and not (member.alone and opened):
            self._pause(time.monotonic() - member.born, status, opened=opened)
        self._desk.ended(member.child.pid, status, begun, rest, asked)

    def _pause(self, lived: float, status: str, *, opened: bool) -> None:
        """Let the successor of a child wait, longer each time one dies at once."""
        self._quick = self._quick + 1 if lived < QUICK else 0
        if self._quick > 1:
            self._not_before = time.monotonic() + min(LONGEST_PAUSE, 0.05 * 2**self._quick)
        if opened:
            return
        self._unopened += 1
        if not self._told:
            self._could_not_start(f"it ended with {status}", "")
        if self._unopened >= HOPELESS and not self.stations:
            self._desk.hopeless(ConfigError(self._told))

    def _could_not_start(self, error: str, told: str) -> None:
        """Say it once; give up if no child ever could."""
        message = f"cannot load {self._setup.app!r} in a child process: {error}"
        if message != self._told:
            self._told = message
            if told:
                print(told, file=sys.stderr, flush=True)
            else:
                log.warning(message)


def _status(returncode: int) -> str:
    """How a process ended, in words."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return f"signal {-returncode} ({signal.Signals(-returncode).name})"
    except ValueError:
        return f"signal {-returncode}"


def _shared(size: int) -> tuple[mmap.mmap, IO[bytes]]:
    """Memory of so many bytes for two processes, and the file by which the other one finds it."""
    file: IO[bytes]
    if hasattr(os, "memfd_create"):
        file = os.fdopen(os.memfd_create("mainspring"), "r+b", buffering=0)
    else:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - the caller closes it
    file.truncate(size)
    return mmap.mmap(file.fileno(), size), file
