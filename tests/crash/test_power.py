"""The power fails under load: whatever was acknowledged is there when the store is back."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest

from mainspring.engines import open_store
from mainspring.ids import new_token
from mainspring.job import Record, Select, State, Succeeded
from mainspring.lifecycle import decide
from mainspring.store import Claim, Grant, Store
from tests.crash.power import PRODUCER, WORKER, remount, until_the_power_fails, volume
from tests.servers.postgres import SETTINGS
from tests.servers.postgres import Server as PostgresServer
from tests.servers.redis import Server, redis_program, valkey_program

pytestmark = [
    pytest.mark.crash,
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="needs ext4 and a loop device"),
]

CUTS = int(os.environ.get("CRASH_CUTS", "1"))

SECOND = 2.5
"""What `appendfsync everysec` may lose: Redis lets a late sync go for another second."""


class Disk:
    """What works on the volume: where it is, and how it ends with the power and comes back."""

    def __init__(
        self, url: str, end: Callable[[], object], start: Callable[[], object], window: float = 0.0
    ) -> None:
        self.url, self.end, self.start, self.window = url, end, start, window


@contextmanager
def sqlite(folder: Path) -> Iterator[Disk]:
    yield Disk(f"sqlite:///{folder}/jobs.db", lambda: None, lambda: None)


@contextmanager
def postgres(folder: Path) -> Iterator[Disk]:
    settings = SETTINGS | {"fsync": "on", "max_wal_size": "64MB"}
    server = PostgresServer(data=folder / "data", **settings)
    subprocess.run(["sync", "--file-system", folder], check=True)
    try:
        yield Disk(server.url, server.kill, server.start)
    finally:
        server.stop()


@contextmanager
def redis(folder: Path, program: Callable[[], Path], fsync: str) -> Iterator[Disk]:
    log = ("--appendonly", "yes", "--appendfsync", fsync)
    server = Server(program(), *log, "--dir", str(folder))
    window = SECOND if fsync == "everysec" else 0.0
    try:
        yield Disk(server.url, server.kill, server.start, window)
    finally:
        server.remove()


Engine = Callable[[Path], AbstractContextManager[Disk]]
ENGINES: dict[str, Engine] = {
    "sqlite": sqlite,
    "postgres": postgres,
    "redis": partial(redis, program=redis_program, fsync="always"),
    "valkey": partial(redis, program=valkey_program, fsync="always"),
    "redis-everysec": partial(redis, program=redis_program, fsync="everysec"),
}


@pytest.mark.parametrize("cut", range(CUTS))
@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES.keys())
def test_what_was_acknowledged_outlives_a_power_failure(
    open_folder: Path, engine: Engine, cut: int
) -> None:
    with volume(open_folder, megabytes=256) as folder, engine(folder) as disk:
        open_store(disk.url).close()
        programs = [PRODUCER, PRODUCER, WORKER]
        seconds = 2 * disk.window
        inserted, finished = until_the_power_fails(
            folder, disk.url, programs, seconds=seconds, end=disk.end
        )
        last = max(inserted.values()) - disk.window
        remount(folder)
        disk.start()
        store = open_store(disk.url)
        assert store.check() == []
        kept = {job.id.hex(): job.state for job in everything(store)}
        gone = [mark for mark, heard in inserted.items() if mark not in kept and heard <= last]
        assert not gone, f"{len(gone)} acknowledged jobs are gone"
        undone = [
            mark
            for mark, heard in finished.items()
            if heard <= last and kept[mark] is not State.COMPLETED
        ]
        assert not undone, f"{len(undone)} acknowledged ends are gone"
        work_off(store)
        assert store.check() == []
        store.close()


def work_off(store: Store) -> None:
    """Run what is there to be run, once more what was run and forgotten."""
    while True:
        grant = Grant(token=new_token(), worker="w", lease=60_000_000)
        held = store.exchange([], Claim(grant=grant, limit=1000, slots=1000)).jobs
        if not held:
            return
        assert store.exchange([decide(job, Succeeded()) for job in held]).lost == ()


def everything(store: Store) -> Iterator[Record]:
    after = None
    while page := store.find(Select(), limit=1000, after=after):
        yield from page
        after = page[-1].number
