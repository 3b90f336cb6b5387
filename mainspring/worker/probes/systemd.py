"""systemd: tells the service manager what the workers of this process are about (`Type=notify`).

Nothing is told where the variable NOTIFY_SOCKET is not set.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator, MutableMapping, Sequence

from mainspring.worker.probes.vitals import Watched, all_live, all_ready, at_work

log = logging.getLogger("mainspring")

LOOK = 0.25
"""Seconds between two looks at the workers."""

STATUS_PAUSE = 2.0
"""Seconds between two lines of status, unless there is more to tell."""

TIMEOUT = 1.0
"""Seconds that the manager may take to accept a message."""

STOPPING = ("stopping", "quitting", "stopped")


@contextlib.contextmanager
def told(
    workers: Sequence[Watched], environment: MutableMapping[str, str] = os.environ
) -> Iterator[None]:
    """Tell the manager of these workers for the block, if there is one, from a thread of its own.

    Takes the variables out of the environment: what the workers start does not speak for them.
    """
    address = environment.pop("NOTIFY_SOCKET", "")
    watchdog = _watchdog(environment)
    if not address:
        yield
        return
    notifier = Notifier(address, workers, watchdog)
    try:
        yield
    finally:
        notifier.close()


class Notifier:
    """Sends a message for each thing that happens. `watchdog` is after how many seconds without a
    sign of life the manager restarts the service, None for never."""

    def __init__(self, address: str, workers: Sequence[Watched], watchdog: float | None) -> None:
        # An "@" stands for the NUL of an abstract address.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._workers = workers
        self._beat = None if watchdog is None else watchdog / 2
        self._beat_at = self._status_at = 0.0
        self._status = ""
        self._reloads = 0
        self._is_ready = self._reloading = self._stopping = self._troubled = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(TIMEOUT)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mainspring-systemd", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Tell that this is the end."""
        self._closed.set()
        self._thread.join()
        if not self._stopping:
            self._send("STOPPING=1", "STATUS=stopped")
        self._socket.close()

    def _run(self) -> None:
        pause = LOOK if self._beat is None else min(LOOK, self._beat / 2)
        while not self._closed.wait(pause):
            self._look(time.monotonic())

    def _look(self, now: float) -> None:
        workers = at_work(self._workers)
        if not self._stopping and all(each.phase in STOPPING for each in workers):
            # Before their start workers are as they are after their end.
            self._stopping = self._is_ready and self._send("STOPPING=1")
        if not self._is_ready and all_ready(workers):
            self._is_ready = self._send("READY=1")
        elif self._is_ready and not self._stopping:
            self._tell_reloads(workers)
        if now >= self._status_at and (status := self._news()) != self._status:
            self._status_at = now + STATUS_PAUSE
            self._status = status if self._send(status) else ""
        if self._beat is not None and now >= self._beat_at and all_live(workers):
            self._beat_at = now + self._beat
            self._send("WATCHDOG=1")

    def _tell_reloads(self, workers: Sequence[Watched]) -> None:
        reloads = sum(each.reloads for each in self._workers)
        if reloads > self._reloads:
            at = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            if self._send("RELOADING=1", f"MONOTONIC_USEC={at}"):
                self._reloads, self._reloading = reloads, True
        if self._reloading and not any(each.reloading for each in workers):
            self._reloading = not self._send("READY=1")

    def _news(self) -> str:
        """What the workers are about, in a line."""
        able = all_ready(self._workers)
        processed = sum(each.processed for each in self._workers)
        failed = sum(each.failed for each in self._workers)
        about = " ".join(dict.fromkeys(each.phase for each in at_work(self._workers)))
        reason = f" ({able.reason})" if able.reason and self._is_ready else ""
        return f"STATUS={about}{reason}: {processed:,} processed, {failed:,} failed"

    def _send(self, *lines: str) -> bool:
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._troubled:
                log.warning("systemd cannot be told %s: %s; trying again", lines[0], error)
            self._troubled = True
            return False
        self._troubled = False
        return True


def _watchdog(environment: MutableMapping[str, str]) -> float | None:
    """Seconds of the watchdog, if it is meant for this process."""
    usec = environment.pop("WATCHDOG_USEC", "")
    pid = environment.pop("WATCHDOG_PID", "")
    if not usec.isdecimal() or int(usec) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 1_000_000
