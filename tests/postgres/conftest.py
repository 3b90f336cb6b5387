"""Stores on the tests' server, and sessions beside them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mainspring.engines import open_store
from mainspring.store import Store
from tests.contract.stage import Stage, Time, assert_sound
from tests.servers.postgres import Server, server_url


@pytest.fixture
def schema(tmp_path: Path) -> str:
    """A schema of the test's own."""
    return f"s_{hashlib.sha256(bytes(tmp_path)).hexdigest()[:20]}"


@pytest.fixture
def url(schema: str) -> str:
    """The URL of a store of the test's own."""
    return f"{server_url()}&schema={schema}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty open store, which is sound after the test."""
    store = open_store(url)
    yield store
    assert_sound(store)
    store.close()


@pytest.fixture
def stage(store: Store) -> Stage:
    """A store with hands."""
    return Stage(store, Time())


@pytest.fixture
def session() -> Iterator[psycopg.Connection[Any]]:
    """A session of somebody else's on the same database."""
    with psycopg.connect(server_url(), autocommit=True) as connection:
        yield connection


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that the test may end and start."""
    server = Server(fsync="off", listen_addresses="", max_connections="40")
    yield server
    server.stop()
