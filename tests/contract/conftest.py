"""The engines under contract. Tests ask for one of these fixtures and never for an engine:

`store`  an empty open store, of every engine;
`other`  the same store once more, and another on the same data where that can be;
`place`  where several stores can be opened on the same data, from threads and processes;
`caller` a transaction of the user's own beside a store, where the engine offers that;
`transactions`, `no_transactions`: only engines that can, or cannot, have a job's own transaction;
`own_entries`: only engines that show what is kept of keys.

An engine is added by its name and its place here; no test changes.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import psycopg
import pytest

from mainspring.engines import open_store
from mainspring.store import Store
from tests.contract.stage import Stage, Time, assert_sound
from tests.servers import postgres, schemas
from tests.servers.mainspring import server_url
from tests.servers.pgbouncer import pooled_url
from tests.servers.redis import in_folder, redis_url, valkey_url


class Engine(NamedTuple):
    """Where an engine keeps a test's data: a URL made from the test's own folder."""

    name: str
    url: Callable[[Path], str]
    begin: Callable[[Path], AbstractContextManager[Any]] | None = None
    """A connection of the caller's own with a transaction begun; None: it cannot be had."""
    shared: bool = False
    """Whether several stores may be open on the same data."""
    transactions: bool = True
    """Whether a job can have a transaction of its own, and an insert take part in a caller's."""
    own_entries: bool = True
    """Whether it shows the entries that are the product's own."""
    share: int = 1
    """By what the costly model runs are divided: another server runs the same statements wholly."""
    files: frozenset[str] = frozenset()
    """The files it is asked to pass; none: all."""


@contextmanager
def sqlite_transaction(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / "jobs.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def shards_url(folder: Path) -> str:
    """Three files, of which two are drained: all new jobs go to the first, and all are asked.

    What needs more than one shard is refused, and tests/shards shows it.
    """
    files = {"a": "jobs.db", "b": "more.db", "c": "most.db"}
    urls = " ".join(f"{name}=sqlite:///{folder}/{file}" for name, file in files.items())
    return f"shards://{urls} draining=b,c"


def postgres_transaction(
    url: Callable[[], str],
) -> Callable[[Path], AbstractContextManager[psycopg.Connection[Any]]]:
    @contextmanager
    def begin(folder: Path) -> Iterator[psycopg.Connection[Any]]:
        options: dict[str, Any] = {"autocommit": True, "prepare_threshold": None}
        with psycopg.connect(url(), **options) as connection:
            connection.execute("BEGIN")
            yield connection

    return begin


def postgres_engine(
    name: str,
    url: Callable[[], str],
    *,
    listen: Callable[[], str] | None = None,
    share: int = 1,
    files: frozenset[str] = frozenset(),
) -> "Engine":
    return Engine(
        name,
        lambda folder: (
            postgres.lent_to(folder, url)
            + (f"&listen={quote(listen(), safe='')}" if listen else "")
        ),
        postgres_transaction(url),
        shared=True,
        share=share,
        files=files,
    )


ENGINES = [
    Engine("sqlite", lambda folder: f"sqlite:///{folder}/jobs.db", sqlite_transaction, shared=True),
    Engine("shards", shards_url, sqlite_transaction, shared=True),
    Engine("memory", lambda folder: "sqlite://:memory:"),
    postgres_engine("postgres", postgres.server_url),
    postgres_engine("postgres18", postgres.server_url_18, share=6),
    # What a session would remember is found out by these; the rest is the same statements.
    postgres_engine(
        "pgbouncer",
        pooled_url,
        listen=postgres.server_url,
        files=frozenset(["insert", "claim", "transaction", "unique", "signals"]),
    ),
    Engine(
        "redis",
        lambda folder: in_folder(redis_url(), folder),
        shared=True,
        transactions=False,
    ),
    Engine(
        "valkey",
        lambda folder: in_folder(valkey_url(), folder),
        shared=True,
        transactions=False,
    ),
    # A server over the first of all these.
    Engine("http", server_url, shared=True, transactions=False, own_entries=False, share=6),
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    wanted = metafunc.fixturenames
    if "engine" not in wanted:
        return
    engines = [
        engine
        for engine in ENGINES
        if (engine.shared or "place" not in wanted)
        and (engine.begin or "caller" not in wanted)
        and (engine.transactions or "transactions" not in wanted)
        and (engine.own_entries or "own_entries" not in wanted)
        and not (engine.transactions and "no_transactions" in wanted)
        and (not engine.files or metafunc.module.__name__.partition(".test_")[2] in engine.files)
    ]
    if "other" not in wanted:
        metafunc.parametrize("engine", engines, ids=lambda engine: engine.name)
        return
    pairs = [
        (engine, shares) for engine in engines for shares in (False, True)[: 1 + engine.shared]
    ]
    names = [f"{engine.name}-{'another' if shares else 'same'}" for engine, shares in pairs]
    metafunc.parametrize(("engine", "shares"), pairs, ids=names)


@pytest.fixture(autouse=True)
def schemas_come_back(tmp_path: Path) -> Iterator[None]:
    """What a test has used is for the next one, once its stores are closed."""
    yield
    schemas.take_back(tmp_path)


@pytest.fixture
def store(engine: Engine, tmp_path: Path) -> Iterator[Store]:
    """An empty open store. After each test it must be sound: nothing contradicts anything."""
    store = open_store(engine.url(tmp_path))
    yield store
    assert_sound(store)
    store.close()


@pytest.fixture
def other(store: Store, engine: Engine, shares: bool, tmp_path: Path) -> Iterator[Store]:
    """Who writes while `store` listens: the same store, or, where there can be one, another."""
    if not shares:
        yield store
        return
    other = open_store(engine.url(tmp_path))
    yield other
    other.close()


@pytest.fixture
def stage(store: Store) -> Stage:
    """A store with hands: makes jobs, claims, finishes, at a time the test owns."""
    return Stage(store, Time())


@pytest.fixture
def place(engine: Engine, tmp_path: Path) -> str:
    """A URL at which several stores can be opened."""
    return engine.url(tmp_path)


@pytest.fixture
def caller(engine: Engine, tmp_path: Path) -> Callable[[], AbstractContextManager[Any]]:
    """Begins a transaction of the caller's own on the data of `store`."""
    begin = engine.begin
    assert begin is not None
    return lambda: begin(tmp_path)


@pytest.fixture
def transactions() -> None:
    """Asks for engines on which a job can have a transaction of its own."""


@pytest.fixture
def own_entries() -> None:
    """Asks for engines that show the entries that are the product's own."""


@pytest.fixture
def no_transactions() -> None:
    """Asks for engines on which it cannot."""
