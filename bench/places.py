"""Where a measured store is: a file, or a server of our own with the durability its name says."""

import contextlib
import itertools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench import servers
from bench.servers import ROOT


@dataclass(frozen=True)
class Place:
    """A place for stores."""

    kind: str
    """"sqlite", "postgres" or "redis"."""
    server: str
    """The URL of the server; of files, their folder."""
    pattern: str
    """The URL of a store, with a place for its number."""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def store(self) -> str:
        """The URL of a store that does not exist yet."""
        return self.pattern.format(next(self._numbers))


@contextlib.contextmanager
def sqlite() -> Iterator[Place]:
    """Files on disk where the project is, not on a memory disk. WAL, synchronous=FULL."""
    home = ROOT / ".bench"
    home.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as folder:
        yield Place("sqlite", folder, f"sqlite:///{folder}/{{}}.db")


@contextlib.contextmanager
def redis(fsync: str = "everysec") -> Iterator[Place]:
    """A Redis with an append-only file, synced every second."""
    with servers.redis(fsync) as url:
        yield Place("redis", url, f"{url}/0?prefix=bench{{}}")


def redis_always() -> contextlib.AbstractContextManager[Place]:
    """A Redis whose append-only file is synced before each answer."""
    return redis("always")


@contextlib.contextmanager
def valkey() -> Iterator[Place]:
    """A Valkey with an append-only file, synced every second."""
    with servers.valkey() as url:
        store = url.replace("redis://", "valkey://")
        yield Place("redis", url, f"{store}/0?prefix=bench{{}}")


@contextlib.contextmanager
def postgres() -> Iterator[Place]:
    """A PostgreSQL as it is installed: fsync and synchronous_commit on."""
    with servers.postgres() as url:
        yield Place("postgres", url, f"{url}?schema=bench{{}}")


PLACES: dict[str, Callable[[], contextlib.AbstractContextManager[Place]]] = {
    "sqlite": sqlite,
    "postgres": postgres,
    "redis": redis,
    "redis-always": redis_always,
    "valkey": valkey,
}
