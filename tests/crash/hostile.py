"""An application whose functions do what no function should, importable by workers."""

import ctypes
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable

from mainspring import Mainspring, Retry, Tasks

tasks = Tasks()
ONCE = Retry(max_retries=0)


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("I will not say")

    __repr__ = __str__

    def __reduce__(self) -> str:
        raise RuntimeError("nor be carried away")


def leave_by_exit() -> None:
    sys.exit(3)


def interrupt() -> None:
    raise KeyboardInterrupt


def leave_by_base() -> None:
    raise BaseException("of the deepest kind")


def be_mute() -> None:
    raise Mute


def blame_in_a_circle() -> None:
    error = ValueError("in a circle")
    error.__cause__ = ValueError("the other half")
    error.__cause__.__cause__ = error
    raise error


def go_deep() -> None:
    go_deep()


def tell_all() -> None:
    raise ValueError("x" * 100_000_000)


def group() -> None:
    raise ExceptionGroup("several", [ValueError("one"), Mute(), ExceptionGroup("more", [Mute()])])


def no_text() -> None:
    raise ValueError("\ud800\0\x1b[31m")


def return_nonsense() -> object:
    return threading.Lock()


def hoard_files() -> None:
    while True:
        os.dup(0)


def hoard_threads() -> None:
    for _ in range(2_000):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    raise ValueError("they are all still there")


def swear() -> None:
    """Says words that nobody understands into every socket there is."""
    for file in range(3, 256):
        try:
            if stat.S_ISSOCK(os.fstat(file).st_mode):
                os.write(file, b"\xff" * 64)
        except OSError:
            continue
    threading.Event().wait(60)


def close_everything() -> None:
    os.closerange(3, 65_536)


def segfault() -> None:
    ctypes.string_at(0)


def leave_at_once() -> None:
    os._exit(3)


def abort() -> None:
    os.abort()


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def do_as_told() -> None: ...


WAYS: dict[str, Callable[[], object]] = {
    each.__name__: each
    for each in (
        *(leave_by_exit, interrupt, leave_by_base, be_mute, blame_in_a_circle, go_deep, tell_all),
        *(group, no_text, return_nonsense, hoard_files, hoard_threads, swear, close_everything),
        *(segfault, leave_at_once, abort, kill_itself),
    )
}


@tasks.task(retry=ONCE)
def shared(way: str) -> object:
    return WAYS[way]()


@tasks.task(retry=ONCE, runs_in="process", timeout=20)
def apart(way: str) -> object:
    return WAYS[way]()


@tasks.task
def decent(number: int) -> int:
    return number + 1


@tasks.task(runs_in="process")
def decent_apart(number: int) -> int:
    return number + 1


app = Mainspring(os.environ.get("CRASH_URL", "sqlite://:memory:"), tasks)
