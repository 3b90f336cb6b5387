"""The files: who may read them, and what happens when they cannot be written or are taken away."""

import errno
import fcntl
import os
import sqlite3
import stat
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from mainspring.engines import open_store
from mainspring.engines.sqlite.identity import LOOK_SECONDS
from mainspring.errors import StoreUnavailable
from mainspring.job import Select, State
from mainspring.store import Store
from tests.contract.stage import Stage, Time, new
from tests.sqlite.conftest import Run


def test_nobody_else_may_read_any_of_the_files(store: Store, path: Path) -> None:
    store.insert([new()])
    signal = store.listen()
    files = sorted(path.parent.iterdir())
    names = [
        "jobs.db",
        "jobs.db-ended",
        "jobs.db-lock",
        "jobs.db-shm",
        "jobs.db-wake",
        "jobs.db-wal",
    ]
    assert [file.name for file in files] == names
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    signal.close()


def test_a_link_is_the_file_it_leads_to(tmp_path: Path) -> None:
    link, place = tmp_path / "link.db", tmp_path / "place"
    place.mkdir()
    link.symlink_to(place / "jobs.db")
    with closing(open_store(f"sqlite:///{link}")) as store:
        store.insert([new()])
        assert stat.S_IMODE((place / "jobs.db").stat().st_mode) == 0o600
        assert [file.name for file in tmp_path.iterdir() if file.name.startswith("link")] == [
            "link.db"
        ]


def test_a_file_that_is_there_keeps_its_mode(path: Path) -> None:
    path.touch(mode=0o640)
    path.chmod(0o640)
    open_store(f"sqlite:///{path}").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_nothing_is_acknowledged_into_a_file_that_is_gone(
    store: Store, path: Path, how: str
) -> None:
    store.insert([new()])
    if how == "replaced":
        os.replace(path, path.with_name("old.db"))
        path.touch()
    else:
        path.unlink()
    time.sleep(LOOK_SECONDS)
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        store.insert([new()])


FULL = """
    import subprocess, sys
    from pathlib import Path
    from mainspring.engines import open_store
    from mainspring.errors import StoreFull
    from mainspring.job import State, Succeeded
    from mainspring.lifecycle import decide
    from tests.contract.stage import Stage, Time, new

    folder = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
    store = open_store(f"sqlite:///{folder}/jobs.db")
    stage = Stage(store, Time())
    stored = 0
    stage.put_many(10)
    held = stage.claim(10)
    stored += 10
    try:
        for _ in range(10_000):
            stage.insert(new(payload=b"1" * 50_000))
            stored += 1
    except StoreFull as error:
        assert "no space left" in str(error)
    else:
        raise AssertionError("the disk never was full")
    for _ in range(3):
        try:
            stage.put_many(100, payload=b"1" * 50_000)
        except StoreFull:
            pass
        else:
            raise AssertionError("there is room after all")
    assert store.check() == []
    assert sum(store.counts()["default"].values()) == stored
    subprocess.run(["mount", "-o", "remount,size=64m", folder], check=True)
    stage.put_many(100, payload=b"1" * 50_000)
    stage.complete(held)
    assert sum(store.counts()["default"].values()) == stored + 100
    assert store.counts()["default"][State.COMPLETED] == 10
    assert store.check() == []
    store.close()
"""


def test_a_full_disk_refuses_intake_loses_nothing_and_heals_by_itself(
    tmp_path: Path, run: Run
) -> None:
    run(FULL, tmp_path, mounts=True)


FULL_OF_LOG = """
    import sqlite3, subprocess, sys
    from mainspring.engines import open_store
    from mainspring.errors import StoreFull
    from mainspring.store import Settings
    from tests.contract.stage import Stage, Time

    folder = sys.argv[1]
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
    store = open_store(f"sqlite:///{folder}/jobs.db")
    stage = Stage(store, Time())
    stage.put_many(100)
    reader = sqlite3.connect(f"{folder}/jobs.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM meta").fetchall()
    try:
        for n in range(10_000):
            store.configure("default", Settings(paused=n % 2 == 0))
    except StoreFull:
        pass
    else:
        raise AssertionError("the log never filled the disk")
    reader.close()
    store.configure("default", Settings(paused=False))
    stage.put_many(10)
    assert len(stage.claim(200)) == 110
    assert store.check() == []
    store.close()
"""


def test_a_disk_full_of_our_own_log_heals_when_its_readers_are_gone(
    tmp_path: Path, run: Run
) -> None:
    run(FULL_OF_LOG, tmp_path, mounts=True)


READ_ONLY = """
    import subprocess, sys
    from mainspring.engines import open_store
    from mainspring.errors import StoreUnavailable
    from tests.contract.stage import new

    folder = sys.argv[1]
    store = open_store(f"sqlite:///{folder}/jobs.db")
    store.insert([new()])
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
    for attempt in range(2):
        try:
            other = open_store(f"sqlite:///{folder}/jobs.db")
            other.insert([new()])
        except StoreUnavailable as error:
            assert "jobs.db" in str(error)
        else:
            raise AssertionError("written to a read-only file")
    store.close()
"""


def test_a_read_only_file_is_reported_as_such(tmp_path: Path, run: Run) -> None:
    run(READ_ONLY, tmp_path, mounts=True)


def test_a_file_locked_by_another_program_is_reported_after_some_seconds(
    store: Store, path: Path
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            store.insert([new()])
        other.execute("COMMIT")
    store.insert([new()])
    assert store.counts()["default"][State.PENDING] == 1


def test_who_only_reads_does_not_wait_for_who_writes(store: Store, path: Path) -> None:
    store.insert([new()])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert Stage(store, Time()).look(queues=("idle",)).jobs == []
        assert store.counts()["default"][State.PENDING] == 1
        assert len(store.find(Select())) == 1
        other.execute("COMMIT")


def log_bytes(store: Store) -> float:
    return store.health().figures["log_bytes"]


def test_the_log_stays_small_however_much_is_written(store: Store) -> None:
    sizes = []
    for _ in range(60):
        store.insert([new(payload=b"1" * 500) for _ in range(500)])
        sizes.append(log_bytes(store))
    assert max(sizes) < 16_000_000


def test_a_reader_in_the_way_of_a_checkpoint_delays_it_and_nothing_else(
    store: Store, path: Path
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        store.insert([new()])
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM job").fetchone() == (1,)
        for _ in range(30):
            store.insert([new(payload=b"1" * 500) for _ in range(500)])
        assert reader.execute("SELECT count(*) FROM job").fetchone() == (1,)
        reader.execute("COMMIT")
    store.insert([new(payload=b"1" * 500) for _ in range(15_000)])
    store.insert([new(payload=b"1" * 500) for _ in range(15_000)])
    large = log_bytes(store)
    for _ in range(30):
        store.insert([new(payload=b"1" * 500) for _ in range(500)])
    assert log_bytes(store) == large


def test_readers_that_take_turns_without_a_gap_do_not_let_the_log_grow_for_ever(
    store: Store, path: Path
) -> None:
    enough = threading.Event()
    begun = threading.Semaphore(0), threading.Semaphore(0)

    def read(n: int) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            while not enough.is_set():
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM queue").fetchall()
                begun[n].release()
                # Each stays until the other one has begun.
                begun[1 - n].acquire(timeout=1)
                reader.execute("COMMIT")

    store.insert([new()])
    readers = [threading.Thread(target=read, args=(n,)) for n in range(2)]
    for reader in readers:
        reader.start()
    sizes = []
    for _ in range(150):
        store.insert([new(payload=b"1" * 1000) for _ in range(500)])
        sizes.append(log_bytes(store))
    enough.set()
    for reader in readers:
        reader.join()
    assert max(sizes) < 60_000_000


def test_an_abandoned_queue_of_writers_is_left_after_a_second(store: Store, path: Path) -> None:
    with open(f"{path}-lock", "rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        store.insert([new()])
        waiting = [t for t in threading.enumerate() if t.name == "mainspring-lock"]
        assert len(waiting) == 1
        store.insert([new()])
    for thread in waiting:
        thread.join()
    assert store.counts()["default"][State.PENDING] == 2


def test_what_the_disk_refused_is_not_acknowledged_until_it_is_written_elsewhere(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system reports that a sync has failed once, and then knows nothing of it any more."""
    refusals = [OSError(errno.EIO, "no")]
    sync = os.fdatasync

    def fdatasync(file: int) -> None:
        if refusals:
            raise refusals.pop()
        sync(file)

    job = new()
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM meta").fetchall()
        monkeypatch.setattr(os, "fdatasync", fdatasync)
        with pytest.raises(StoreUnavailable):
            store.insert([job])
        for _ in range(3):  # a reader keeps the checkpoint away
            with pytest.raises(StoreUnavailable, match="failed to take"):
                store.insert([job])
    assert store.insert([job])[0].repeated
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as file:
        assert file.execute("SELECT count(*) FROM job").fetchone() == (1,)


def test_a_queue_that_cannot_be_waited_in_is_gone_around(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when no more threads can be started: the queue of writers is only a courtesy."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with open(f"{path}-lock", "rb+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        monkeypatch.setattr(threading.Thread, "start", start)
        store.insert([new()])
    assert store.counts()["default"][State.PENDING] == 1
