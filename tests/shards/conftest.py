"""Two files as one store. With these names `default` and `images` live in a, `mail` in b."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mainspring.engines import open_store
from mainspring.engines.shards.store import ShardsStore
from mainspring.store import Store
from tests.contract.stage import Stage, Time, assert_sound

IN_A, ALSO_IN_A, IN_B = "default", "images", "mail"


@pytest.fixture
def url(tmp_path: Path) -> Callable[..., str]:
    """The URL of shards of these names, and what is said of them."""

    def make(names: str = "ab", **said: str) -> str:
        words = [f"{name}=sqlite:///{tmp_path}/{name}.db" for name in names]
        words += [f"{word}={value}" for word, value in said.items()]
        return "shards://" + " ".join(words)

    return make


@pytest.fixture
def single(tmp_path: Path) -> Iterator[Callable[[str], Store]]:
    """One of the shards as a store of its own."""
    opened: list[Store] = []

    def one(name: str) -> Store:
        opened.append(open_store(f"sqlite:///{tmp_path}/{name}.db"))
        return opened[-1]

    yield one
    for store in opened:
        store.close()


@pytest.fixture
def open_shards(url: Callable[..., str]) -> Iterator[Callable[..., Any]]:
    """Opens a store; after the test each must be sound."""
    opened: list[ShardsStore] = []

    def open_them(names: str = "ab", **said: str) -> ShardsStore:
        store = open_store(url(names, **said))
        assert isinstance(store, ShardsStore)
        opened.append(store)
        return store

    yield open_them
    for store in opened:
        assert_sound(store)
        store.close()


@pytest.fixture
def store(open_shards: Callable[..., ShardsStore]) -> ShardsStore:
    """Two shards; the queues `events` and `logs` are partitioned."""
    return open_shards(partitioned="events,logs")


@pytest.fixture
def stage(store: ShardsStore) -> Stage:
    """Two shards with hands, at a time the test owns."""
    return Stage(store, Time())
