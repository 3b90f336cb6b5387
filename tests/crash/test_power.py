"""The power fails: an ext4 of its own is shut down under load, whatever was not synced is gone."""

import fcntl
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mainspring.engines import open_store
from mainspring.ids import new_token
from mainspring.job import Record, Select, State
from mainspring.store import Claim, Grant

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]

CUTS = int(os.environ.get("CRASH_CUTS", "2"))
ENOUGH = 300
"""Acknowledgements of each kind before the power fails."""

SHUTDOWN, WITHOUT_FLUSH = 0x8004587D, 2
"""FS_IOC_SHUTDOWN of linux/fs.h, and what it must not do first."""

PRODUCER = """
import os, sys
from mainspring.engines import open_store
from mainspring.ids import new_id
from mainspring.job import NewJob

store = open_store(sys.argv[1])
while True:
    jobs = [NewJob(id=new_id(), task="t", payload=b"{}") for _ in range(3)]
    store.insert(jobs)
    os.write(1, b"".join(job.id.hex().encode() + b"\\n" for job in jobs))
"""

WORKER = """
import os, sys
from mainspring.engines import open_store
from mainspring.ids import new_token
from mainspring.job import State, Transition
from mainspring.store import Claim, Grant

store = open_store(sys.argv[1])
while True:
    grant = Grant(token=new_token(), worker="w", lease=60_000_000)
    jobs = store.exchange([], Claim(grant=grant, limit=2, slots=2)).jobs
    store.exchange([Transition(job.number, job.token, State.COMPLETED) for job in jobs])
    os.write(1, b"".join(job.id.hex().encode() + b"\\n" for job in jobs))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs ext4 and a loop device")
@pytest.mark.parametrize("cut", range(CUTS))
@pytest.mark.parametrize("programs", [[PRODUCER] * 2, [PRODUCER, WORKER]], ids=["in", "through"])
def test_what_was_acknowledged_outlives_a_power_failure(
    tmp_path: Path, programs: list[str], cut: int
) -> None:
    with volume(tmp_path) as folder:
        url = f"sqlite:///{folder}/jobs.db"
        open_store(url).close()
        inserted, finished = _until_the_power_fails(folder, url, programs)
        _mount(folder)
        store = open_store(url)
        assert store.check() == []
        kept = {job.id.hex(): job.state for job in _everything(url)}
        assert inserted <= kept.keys(), f"{len(inserted - kept.keys())} acknowledged jobs are gone"
        undone = [mark for mark in finished if kept[mark] is not State.COMPLETED]
        assert not undone, f"{len(undone)} acknowledged ends are gone"
        grant = Grant(token=new_token(), worker="w", lease=60_000_000)
        assert store.exchange([], Claim(grant=grant, limit=10, slots=10)).jobs is not None
        assert store.check() == []
        store.close()


def _until_the_power_fails(folder: Path, url: str, scripts: list[str]) -> tuple[set[str], set[str]]:
    """What was acknowledged to producers, and to a worker."""
    marks: tuple[set[str], set[str]] = set(), set()
    enough = threading.Semaphore(0)
    programs, threads = [], []
    for script in scripts:
        program = subprocess.Popen(
            [sys.executable, "-c", script, url], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        thread = threading.Thread(target=_listen, args=(program, marks[script == WORKER], enough))
        thread.start()
        programs.append(program)
        threads.append(thread)
    evidence = all(enough.acquire(timeout=60) for _ in programs)
    # Stopped first, so that nothing is acknowledged after the cut.
    for program in programs:
        program.send_signal(signal.SIGSTOP)
    where = os.open(folder, os.O_RDONLY)
    fcntl.ioctl(where, SHUTDOWN, struct.pack("I", WITHOUT_FLUSH))
    os.close(where)
    for program, thread in zip(programs, threads, strict=True):
        program.kill()
        program.wait()
        thread.join()
    subprocess.run(["umount", folder], check=True)
    assert evidence, "too little was acknowledged"
    return marks


def _listen(program: subprocess.Popen[bytes], marks: set[str], enough: threading.Semaphore) -> None:
    assert program.stdout is not None
    for count, line in enumerate(program.stdout):
        marks.add(line.decode().strip())
        if count == ENOUGH:
            enough.release()
    program.stdout.close()


def _everything(url: str) -> Iterator[Record]:
    store = open_store(url)
    after = None
    while page := store.find(Select(), limit=1000, after=after):
        yield from page
        after = page[-1].number
    store.close()


@contextmanager
def volume(folder: Path) -> Iterator[Path]:
    """An ext4 of its own, mounted."""
    image, place = folder / "image", folder / "volume"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    place.mkdir()
    _mount(place)
    try:
        yield place
    finally:
        # Lazily: it must be gone even if a failed test left a program at work in there.
        subprocess.run(["umount", "--lazy", place], check=False)


def _mount(place: Path) -> None:
    image = place.parent / "image"
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
