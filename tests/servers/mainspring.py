"""Mainspring servers, as programs of their own.

One of them is for many stores at once: `URL/FOLDER` is the one in the file of that folder. It
trusts its callers: who tries out a store says what time it is.
"""

import os
import re
import signal
import socket
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from mainspring import Mainspring
from mainspring.server.application import over
from mainspring.server.backend.service import Service
from mainspring.server.connection.protocol import Connection
from mainspring.server.serve import address_of, listen
from mainspring.server.terms import Terms
from tests.servers import at_end

KEPT = 8
"""Stores that stay open: more than a test has."""

ROOT = Path(__file__).resolve().parents[2]


class Server:
    """`mainspring serve` over a store, which can be ended and started again on its port."""

    def __init__(
        self, store: str, *options: str, host: str = "127.0.0.1", within: Sequence[str] = ()
    ) -> None:
        """`within` is a command that runs the command after it on another machine, `host`."""
        self.store = store
        self.url = ""
        self._options = options
        self._host = host
        self._within = within
        self._port = "0"
        self.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        """Start, or start again on the same port, and wait until it listens."""
        command = [*self._within, sys.executable, "-m", "mainspring", "--url", self.store, "serve"]
        command += ["--host", self._host, "--port", self._port, *self._options]
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
        assert self._process.stderr is not None
        told = ""
        for line in self._process.stderr:
            told += line
            if found := re.search(r"listens on (https?://[\d.]+:(\d+))", line):
                self.url, self._port = found[1], found[2]
                return
        raise AssertionError(told)

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        self.stop(signal.SIGKILL)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it."""
        with self._process as process:
            process.send_signal(number)


def server_url(folder: Path) -> str:
    """Where the store of that folder is; the server starts with the first who asks."""
    return f"{_server()}/{quote(str(folder), safe='')}"


@cache
def _server() -> str:
    command = [sys.executable, "-m", "tests.servers.mainspring"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    at_end.enter_context(process)  # waits for its end
    at_end.callback(process.terminate)
    assert process.stdout is not None
    found = re.search(r"http://\S+", process.stdout.readline())
    assert found
    return found[0]


class Many:
    """Hands each request to the server of its folder."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, tuple[Service, ASGIApp]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        _, folder, rest = scope["raw_path"].decode().split("/", 2)
        inner = self._server(unquote(folder))
        await inner(scope | {"path": f"/{rest}", "raw_path": f"/{rest}".encode()}, receive, send)

    def _server(self, folder: str) -> ASGIApp:
        if folder not in self._open:
            service = Service(Mainspring(f"sqlite:///{folder}/jobs.db"))
            service.trusts_callers = True
            guard: Any = over(service, Terms())
            guard._recorder = None  # a store that is tried out holds what was put there, no more
            self._open[folder] = service, guard
        self._open.move_to_end(folder)
        while len(self._open) > KEPT:
            _, (service, _) = self._open.popitem(last=False)
            service.close()
            service.app.close()
        return self._open[folder][1]


def main() -> None:
    listener: socket.socket = listen("127.0.0.1", 0)
    print(address_of(listener, Terms()), flush=True)
    config = uvicorn.Config(Many(), http=Connection, lifespan="off", log_level="warning")
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
