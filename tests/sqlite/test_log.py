"""Damage to the files while nothing runs: the store opens with what is sound, or refuses loudly."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mainspring.engines import open_store
from mainspring.errors import MainspringError
from mainspring.job import NewJob
from mainspring.store import Store
from tests.contract.stage import Stage, Time, everything, new

JOBS = 200


@pytest.fixture
def left(tmp_path: Path) -> tuple[Path, list[NewJob[object]]]:
    """The files as a killed process leaves them, most of what was written in the log; the jobs."""
    live = tmp_path / "live" / "jobs.db"
    live.parent.mkdir()
    store = open_store(f"sqlite:///{live}")
    store.open()
    jobs = [new(payload=b'{"n":%d}' % n) for n in range(JOBS)]
    for job in jobs:
        store.insert([job])
    after = tmp_path / "after"
    after.mkdir()
    for name in ("jobs.db", "jobs.db-wal"):
        shutil.copy(live.parent / name, after / name)
    store.close()
    return after / "jobs.db", jobs


def halve(path: Path) -> None:
    log = Path(f"{path}-wal")
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2 + 100])


def flip(path: Path) -> None:
    log = Path(f"{path}-wal")
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 0x40
    log.write_bytes(data)


def remove(path: Path) -> None:
    Path(f"{path}-wal").unlink()


def garble_index(path: Path) -> None:
    Path(f"{path}-shm").write_bytes(b"\xa5" * 32_768)


def zero_a_page(path: Path) -> None:
    store = open_store(f"sqlite:///{path}")
    store.open()
    store.close()  # the log is worked into the file
    with open(path, "r+b") as file:
        file.seek(4 * 4096)
        file.write(bytes(4096))


def looked_into(path: Path) -> tuple[list[tuple[bytes, bytes]], str]:
    """What is there, oldest first, and what the store says if something is wrong with it."""
    store: Store = open_store(f"sqlite:///{path}")
    try:
        store.open()
        wrong = "; ".join(store.check())
        found = [(record.id, record.payload) for record in reversed(everything(store))]
        if not wrong:
            claimed = Stage(store, Time()).claim(JOBS)
            assert [(job.id, job.payload) for job in claimed] == found
    except MainspringError as error:
        return [], str(error)
    finally:
        store.close()
    return found, wrong


@pytest.mark.parametrize("damage", [halve, flip, remove, garble_index, zero_a_page])
def test_a_store_with_damaged_files_has_the_oldest_of_what_was_stored_or_says_what_is_wrong(
    left: tuple[Path, list[NewJob[object]]], damage: Callable[[Path], None]
) -> None:
    path, jobs = left
    damage(path)
    found, wrong = looked_into(path)
    if not wrong:
        assert found == [(job.id, job.payload) for job in jobs[: len(found)]]


def test_a_garbled_index_of_the_log_loses_nothing(left: tuple[Path, list[NewJob[object]]]) -> None:
    path, _ = left
    garble_index(path)
    assert len(looked_into(path)[0]) == JOBS
