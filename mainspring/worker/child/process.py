"""Process: the one in which user code runs.

Started as `python -m mainspring.worker.child.process SOCKET BOARD [OUTPUT]`: with a file for what
jobs print it runs one job at a time, on its main thread.

Imports the app, says hello, and passes the parent's orders to a host. It dies with its parent,
and it leaves signals to it: a terminal's Ctrl-C reaches both.
"""

import contextlib
import ctypes
import errno
import importlib
import importlib.util
import logging
import mmap
import os
import signal
import socket
import sys
import threading
import traceback
from functools import partial, reduce
from types import FrameType, ModuleType
from typing import Any

from mainspring.errors import ConfigError
from mainspring.worker.child.host import SHARED, SOLO, Host
from mainspring.worker.child.program import Program
from mainspring.worker.child.solo import Solo
from mainspring.worker.link.board import Board
from mainspring.worker.link.capture import Capture
from mainspring.worker.link.wire import ChildWire, News, Quit, Setup, Unable

log = logging.getLogger("mainspring")

SCRIPT = "__mp_main__"
"""What a script is called here, so that what it guards by `__name__ == "__main__"` stays out."""

STOPS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}

SWITCH = 0.0005
"""Seconds between two threads: functions that compute must not delay the jobs beside them."""


def main() -> None:
    """Serve the parent at the other end of the socket until it says quit, or is gone."""
    connection, memory, *output = (int(text) for text in sys.argv[1:])
    for file in (connection, memory, *output):
        os.set_inheritable(file, False)
    wire = ChildWire(socket.socket(fileno=connection))
    setup = wire.receive()
    if not isinstance(setup, Setup):
        return
    _follow_parent(setup.parent)
    sys.path[:] = setup.path
    sys.argv[:] = [setup.app.rpartition(":")[0]]
    sys.setswitchinterval(SWITCH)
    try:
        program = load(setup.app)
        board = Board(mmap.mmap(memory, 0))
        host = Host(
            program,
            partial(_tell, wire),
            board.marks,
            worker=setup.worker,
            threads=setup.threads,
            tasks=setup.tasks,
            lease=setup.lease,
            kinds=SOLO if output else SHARED,
            solo=partial(Solo, board=board, capture=Capture(*output)) if output else None,
        )
        hello = host.hello()
    except BaseException as error:
        # What is wrong with the name of an app is said in a sentence; code has a traceback.
        is_code = not isinstance(error, ConfigError)
        told = "".join(traceback.format_exception(error)) if is_code else ""
        wire.send(Unable(f"{type(error).__name__}: {error}", told, _is_starved(error)))
        wire.leave()
        return
    os.register_at_fork(
        before=partial(signal.pthread_sigmask, signal.SIG_BLOCK, STOPS),
        after_in_parent=partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, STOPS),
        after_in_child=partial(_become_stranger, wire, host),
    )
    wire.send(hello)
    if host.solo is None:
        _obey(wire, host)
    else:
        # Signals interrupt the main thread, so that is where the jobs run.
        threading.Thread(target=_obey, args=(wire, host), name="mainspring-orders").start()
        try:
            host.solo.serve()
        except BaseException:
            # The other threads would keep this process, which runs nothing more, among the living.
            log.exception("the main thread failed; this process ends")
            os._exit(os.EX_SOFTWARE)


def _is_starved(error: BaseException) -> bool:
    """Whether it is the machine that had no memory, no process or no file to give."""
    if isinstance(error, OSError):
        return error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
    no_thread = isinstance(error, RuntimeError) and "can't start new thread" in str(error)
    return no_thread or isinstance(error, MemoryError)


def _obey(wire: ChildWire, host: Host) -> None:
    """Do what the parent says until it says quit, or is gone."""
    for order in wire:
        host.receive(order)
        if isinstance(order, Quit):
            wire.leave()
            return
    os._exit(0)


def _become_stranger(wire: ChildWire, host: Host) -> None:
    """In a fork that a task has made: be no child of a worker, and end when told to."""
    host.disown()
    wire.disown()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def _tell(wire: ChildWire, news: News) -> None:
    try:
        wire.send(news)
    except OSError:
        # The parent is gone, or a function has closed the line to it: nobody hears of us any more,
        # and the orders that another thread waits for may not come to an end by themselves.
        os._exit(os.EX_IOERR)
    except Exception:
        # Jobs whose ends cannot be told would be held for ever: the parent settles them as lost.
        log.exception("a report cannot be put into a message; this process ends")
        os._exit(os.EX_SOFTWARE)


def load(app: str) -> Program:
    """The app that "module:attribute" or "path/to/script.py:attribute" names. `ConfigError`."""
    place, separator, attributes = app.rpartition(":")
    if not separator:
        raise ConfigError(f'app: expected "module:attribute" or "script.py:attribute", got {app!r}')
    module = _script(place) if place.endswith(".py") else _module(place)
    try:
        found: Any = reduce(getattr, attributes.split("."), module)
    except AttributeError as error:
        raise ConfigError(f"app: {app!r} has no {attributes!r}: {error}") from error
    if not hasattr(found, "tasks") or not hasattr(found, "here"):
        raise ConfigError(f"app: expected a Mainspring at {app!r}, got {found!r}")
    program: Program = found
    return program


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"app: expected a module that can be imported, got {name!r}"
            ) from None
        raise


def _script(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(SCRIPT, path)
    if spec is None or spec.loader is None or not os.path.isfile(path):
        raise ConfigError(f"app: expected a Python file, found none at {path!r}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[SCRIPT] = module
    spec.loader.exec_module(module)
    return module


def _follow_parent(parent: int) -> None:
    """Die with the parent, and let it alone answer to signals."""
    # Handlers that do nothing instead of SIG_IGN: programs started by a task do not inherit them.
    for each in STOPS:
        signal.signal(each, _leave_to_parent)
    if sys.platform == "linux":
        set_death_signal = 1
        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _leave_to_parent(number: int, frame: FrameType | None) -> None:
    """Nothing: the parent hears of the signal too, and says what to do."""


if __name__ == "__main__":
    main()
