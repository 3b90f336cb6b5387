"""A real server, clients of it, and a line between them that can be bad."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from mainspring import AsyncClient, Client, Mainspring
from tests.server.conftest import Gate, Running, app, gate, server

__all__ = ["Gate", "app", "gate", "server"]


@pytest.fixture
def url(server: Running) -> str:
    return f"http://127.0.0.1:{server.port}"


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client


@pytest.fixture
def worker(app: Mainspring) -> Iterator[None]:
    """Somebody who runs the jobs."""
    with app.worker(in_process=True):
        yield


Story = Callable[[AsyncClient], Coroutine[Any, Any, Any]]


@pytest.fixture
def told(url: str) -> Callable[[Story], Any]:
    """Run a story of an async client."""

    def tell(story: Story) -> Any:
        async def run() -> Any:
            async with AsyncClient(url) as client:
                return await story(client)

        return asyncio.run(run())

    return tell


class BadLine:
    """A way to a server on which things happen, one for each request: "before" breaks off before
    the server hears of it, "after" when it has answered, bytes are answered in its place."""

    def __init__(self, port: int) -> None:
        self.faults: list[str | bytes] = []
        self.requests: list[bytes] = []
        self._to = port
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def cut(self) -> None:
        """Break off what is under way."""
        while self._open:
            self._open.pop().shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._attend, args=(client,), daemon=True).start()

    def _attend(self, client: socket.socket) -> None:
        """One request for each connection."""
        with client:
            request = _request(client)
            if not request:
                return
            self.requests.append(request)
            fault = self.faults.pop(0) if self.faults else None
            if isinstance(fault, bytes):
                client.sendall(fault)
            elif fault != "before":
                with socket.create_connection(("127.0.0.1", self._to)) as server:
                    self._open.append(server)
                    server.sendall(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                    while part := server.recv(65536):
                        if fault is None:
                            client.sendall(part)


def _request(client: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = client.recv(65536)
        if not part:
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    while len(body) < length:
        body += client.recv(65536)
    kept = b"\r\n".join(
        line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")
    )
    return kept + b"\r\n\r\n" + body


@pytest.fixture
def bad(server: Running) -> Iterator[BadLine]:
    line = BadLine(server.port)
    yield line
    line.close()
