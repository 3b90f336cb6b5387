"""Inside: the place where jobs run when it is the worker's own process (`in_process=True`)."""

import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mainspring.worker.child.host import INSIDE, Host
from mainspring.worker.child.program import Program
from mainspring.worker.crew.station import Departure, Desk, Station
from mainspring.worker.link.wire import News, Order, Report, Setup, Slow, Worn

log = logging.getLogger("mainspring")

SWITCH = 0.0005
"""Seconds between two threads while jobs run beside the worker's own threads."""


class Inside:
    """One host in this process. A suspect runs when nothing else does."""

    apart = False

    def __init__(
        self,
        setup: Setup,
        program: Program,
        spots: int,
        desk: Desk,
        post: Callable[[Callable[[], None]], None],
    ) -> None:
        self._desk = desk
        self._post = post
        self._quitting = self.gone = False
        marks = bytearray(spots)
        self._host = Host(
            program,
            self._tell,
            marks,
            worker=setup.worker,
            threads=setup.threads,
            tasks=setup.tasks,
            lease=setup.lease,
            kinds=INSIDE,
        )
        _disown_in_forks(weakref.ref(self._host))
        self._interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH)
        self._station = Station(self, marks, spots)
        self.everyone = [self._station]
        hello = self._host.hello()
        self._station.welcome(hello.slots)
        post(partial(desk.opened, self._station, hello))

    @property
    def stations(self) -> list[Station]:
        """The one place, while it takes jobs."""
        return [] if self._quitting else self.everyone

    @property
    def count(self) -> int:
        """How many processes there are beside this one."""
        return 0

    @property
    def isolating(self) -> bool:
        """Whether a suspect runs."""
        return any(job.alone for job, _, _ in self._station.held.values() if job.losses)

    def isolated(self) -> Station | None:
        """The one place, when it holds nothing."""
        return None if self._station.held or self._quitting else self._station

    def send(self, order: Order) -> None:
        """Pass an order on, without waiting."""
        self._host.receive(order)

    def tend(self) -> None:
        """Nothing: threads that are lost were replaced by the host."""

    @property
    def members(self) -> Sequence[Any]:
        """Nobody."""
        return ()

    elastic = reloading = False
    reloads = 0

    def scale(self, least: int, most: int) -> None:
        """Nothing: there is one process, and this is it."""
        log.warning("jobs run in the worker's own process: there are no children to scale")

    def measure(self, waiting: int, rate: float) -> None:
        """Nothing, for the same reason."""

    def reload(self) -> None:
        """Nothing: the app that is here stays."""
        log.warning("jobs run in the worker's own process: it cannot load the app anew")

    def quit(self) -> None:
        """Hand back what there is, and end."""
        if not self._quitting:
            self._quitting = True
            threading.Thread(target=self._quit, name="mainspring-quit", daemon=True).start()

    def kill(self) -> None:
        """Let go of what still runs; it cannot be ended from outside."""
        self.quit()
        self._gone()

    def _quit(self) -> None:
        self._host.quit()
        self._post(self._gone)

    def _gone(self) -> None:
        if self.gone:
            return
        self.gone = True
        sys.setswitchinterval(self._interval)
        begun, rest = self._station.strike_all()
        self._desk.ended(Departure(0, "", begun, rest, asked=True))

    def _tell(self, news: News) -> None:
        match news:
            case Report():
                self._post(partial(self._desk.reported, self._station, news))
            case Slow():
                since = time.monotonic() - news.seconds
                self._station.slow = (news.number, since, news.traceback)
            case Worn(reason=reason):
                log.warning("%s; they cannot be ended in_process", reason)


def _disown_in_forks(reference: "weakref.ref[Host]") -> None:
    """What is registered for forks stays registered: it must not keep the host alive."""

    def disown() -> None:
        if (host := reference()) is not None:
            host.disown()

    os.register_at_fork(after_in_child=disown)
