"""A server over a file, its store seen through it, and lines between the two that can break."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from mainspring.engines import open_store
from mainspring.engines.http.store import HttpStore
from mainspring.store import Store
from tests.servers.mainspring import Server


@pytest.fixture
def place(tmp_path: Path) -> str:
    """The URL of the store behind the server."""
    return f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def server(place: str) -> Iterator[Server]:
    server = Server(place)
    yield server
    server.stop()


@pytest.fixture
def store(server: Server) -> Iterator[HttpStore]:
    """The store, seen through the server."""
    store = open_store(server.url)
    assert isinstance(store, HttpStore)
    yield store
    store.close()


@pytest.fixture
def near(place: str, store: Store) -> Iterator[Store]:
    """The same store, at hand."""
    near = open_store(place)
    yield near
    near.close()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Listener:
    """A TCP server on a thread of its own; `handle` is called for each connection."""

    def __init__(self, handle: Handler, bound: socket.socket | None = None) -> None:
        self._handle = handle
        self._socket = bound or socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._handled, sock=self._socket)
        )
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _handled(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._handle(reader, writer)
        finally:
            writer.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


@pytest.fixture
def listening() -> Iterator[Callable[[Handler], Listener]]:
    """Starts TCP servers that are gone after the test."""
    started: list[Listener] = []

    def start(handle: Handler) -> Listener:
        started.append(Listener(handle))
        return started[-1]

    yield start
    for each in started:
        each.close()


async def asked(reader: asyncio.StreamReader) -> bytes:
    """One request, whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head + await reader.readexactly(length)


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    """One response, whole."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


GREETING = answer(
    "200 OK",
    b'{"protocol":1,"version":"0"}',
    "Content-Type: application/json",
)
