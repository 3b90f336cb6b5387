"""Stores of the engine's own, and servers that a test may stop, fill and misconfigure."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from mainspring.engines import open_store
from mainspring.store import Store
from tests.servers.redis import Server, in_folder, redis_program, redis_url

Start = Callable[..., Server]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return in_folder(redis_url(), tmp_path)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = open_store(url)
    yield store
    store.close()


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a server of the test's own, with these options."""
    servers: list[Server] = []

    def start(*options: str) -> Server:
        servers.append(Server(redis_program(), *options))
        return servers[-1]

    yield start
    for server in servers:
        server.remove()


@pytest.fixture
def server(start: Start) -> Server:
    return start("--repl-diskless-sync-delay", "0")


def client_of(server: Server) -> "redis.Redis":
    return redis.Redis(port=server.port, protocol=2)
