"""A private Redis server: a free loopback port, an empty folder, gone when the run is over."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.rivals.errors import CannotRun
from bench.rivals.processes import tail

START_LIMIT = 10.0
"""Seconds a server may take until it answers."""


@contextmanager
def private_redis(folder: Path) -> Iterator[str]:
    """Run redis-server with its files in `folder`; the URL of it, without a database number.

    Raises CannotRun if there is no redis-server or it does not start.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise CannotRun(
            "redis-server was not found. Install it (Debian, Ubuntu: apt-get install redis-server; "
            "macOS: brew install redis), or measure without it: --only huey"
        )
    folder.mkdir(parents=True)
    log = folder / "log"
    port = free_port()
    with log.open("wb") as output:
        server = subprocess.Popen(
            [program, *settings(port, folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is the harness's business
        )
    try:
        wait_for_answer(server, port, log)
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def settings(port: int, folder: Path) -> list[str]:
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        # A rewrite of the file in the middle of a measurement would hit one rival by chance.
        "auto-aof-rewrite-percentage": "0",
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def wait_for_answer(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(16).startswith(b"+PONG"):
                    return
        except OSError:
            pass
        time.sleep(0.02)
    raise CannotRun(f"redis-server did not start:\n{tail(log)}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
