"""Signals: what the system and people say to a worker's process."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def heard(stop: Callable[[], None], reload: Callable[[], None]) -> Iterator[None]:
    """Within it SIGTERM and SIGINT stop, SIGHUP reloads, or stops if the terminal was closed.

    Only the main thread can hear signals; in any other nothing is heard. A SIGHUP that is ignored,
    as under nohup, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    had_terminal = _has_terminal()

    closed = False

    def told(number: int, frame: FrameType | None) -> None:
        nonlocal closed
        # SIGHUP is sent when a terminal is closed, and by custom to daemons that are to reload.
        if number != signal.SIGHUP:
            stop()
        elif not had_terminal or _has_terminal():
            reload()
        elif not closed:  # the system and the shell both tell of it
            closed = True
            stop()

    wanted = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        wanted.append(signal.SIGHUP)
    before = {each: signal.signal(each, told) for each in wanted}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _has_terminal() -> bool:
    """Whether there is a terminal that this process belongs to."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
