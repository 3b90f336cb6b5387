"""The server as tests use it: the real one on a free port, in a thread, with a client."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from msgspec import json

from mainspring import Mainspring, Retry, Tasks, current
from mainspring.server.serve import HttpServer, listen
from mainspring.server.terms import Terms

PROBLEM = "application/problem+json"


class Http(httpx.Client):
    """A client that knows what it expects."""

    def told(self, status: int, method: str, path: str, **more: Any) -> Any:
        """The JSON of an answer of that status."""
        answer = self.request(method, path, **more)
        assert answer.status_code == status, answer.text
        if status >= 400 and path not in ("/health", "/ready"):
            assert answer.headers["content-type"] == PROBLEM
        return json.decode(answer.content)

    def task(self, **wish: Any) -> Any:
        """A new job."""
        return self.told(201, "POST", "/tasks", json={"type": "echo"} | wish)["task"]


class Gate:
    """Holds jobs until a test lets them go on."""

    def __init__(self) -> None:
        self.open = threading.Event()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def app(tmp_path: Path, gate: Gate) -> Iterator[Mainspring]:
    tasks = Tasks()

    @tasks.task
    def double(n: int) -> int:
        return 2 * n

    @tasks.handler("echo", max_retries=0)
    def echo(payload: Any) -> Any:
        if payload == "fail":
            raise ValueError("as it was told")
        return payload

    @tasks.task(retry=Retry(max_retries=5, base=2.0))
    def story() -> str:
        current().progress(25, note="begun")
        current().log("once")
        current().log("upon a time")
        assert gate.open.wait(30)
        current().log("the end")
        return "told"

    with Mainspring(f"sqlite:///{tmp_path}/jobs.db", tasks) as app:
        yield app


class Running:
    """A server in a thread of its own."""

    def __init__(
        self,
        app: Mainspring,
        terms: Terms | None = None,
        port: int = 0,
        host: str = "127.0.0.1",
    ) -> None:
        self._listener = listen(host, port)
        self.port: int = self._listener.getsockname()[1]
        self._server = HttpServer(app, terms)
        self.service = self._server.service
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],))
        self._thread.start()

    def little_is_kept_on_the_way(self) -> None:
        """What a client does not read waits in the server from now on, not in the kernel."""
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    def connections(self) -> int:
        """How many are open."""
        return len(self._server.server_state.connections)

    def coroutines(self) -> int:
        """How many run in it, whatever they do."""
        until(lambda: self._server.started)
        return len(asyncio.all_tasks(self._server.servers[0].get_loop()))

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._listener.close()


@pytest.fixture
def server(app: Mainspring) -> Iterator[Running]:
    running = Running(app)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server for all tests of a module, where they leave nothing behind."""
    path = tmp_path_factory.mktemp("lasting") / "jobs.db"
    with Mainspring(f"sqlite:///{path}", Tasks()) as app:
        running = Running(app)
        yield running
        running.stop()


@pytest.fixture
def http(server: Running) -> Iterator[Http]:
    with Http(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as client:
        yield client


@pytest.fixture
def worker(app: Mainspring) -> Iterator[None]:
    """Somebody who runs the jobs."""
    with app.worker(in_process=True):
        yield


async def asked_of(port: int, request: bytes) -> bytes:
    """All that comes back for these bytes, until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer


def until(holds: Any, seconds: float = 20) -> None:
    """Wait until it holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
