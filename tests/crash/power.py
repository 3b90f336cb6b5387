"""A power failure: an ext4 of its own is shut down under load, whatever was not synced is gone.

Programs that say what was acknowledged to them write to the store on it until then.
"""

import fcntl
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

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


Marks = dict[str, float]
"""What was acknowledged, and the moment (monotonic) at which it was heard."""


def until_the_power_fails(
    folder: Path,
    url: str,
    scripts: list[str],
    *,
    seconds: float = 0.0,
    end: Callable[[], object] = lambda: None,
) -> tuple[Marks, Marks]:
    """What was acknowledged to producers, and to a worker, in so many seconds at least; `end` ends
    what else works in there, when its disk is gone."""
    marks: tuple[Marks, Marks] = {}, {}
    enough = threading.Semaphore(0)
    programs, threads = [], []
    started = time.monotonic()
    for script in scripts:
        program = subprocess.Popen(
            [sys.executable, "-c", script, url], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        thread = threading.Thread(target=_listen, args=(program, marks[script == WORKER], enough))
        thread.start()
        programs.append(program)
        threads.append(thread)
    evidence = all(enough.acquire(timeout=60) for _ in programs)
    time.sleep(max(0.0, started + seconds - time.monotonic()))
    # Stopped first, so that nothing is acknowledged after the cut.
    for program in programs:
        program.send_signal(signal.SIGSTOP)
    where = os.open(folder, os.O_RDONLY)
    fcntl.ioctl(where, SHUTDOWN, struct.pack("I", WITHOUT_FLUSH))
    os.close(where)
    end()
    for program, thread in zip(programs, threads, strict=True):
        program.kill()
        program.wait()
        thread.join()
    unmount(folder)
    assert evidence, "too little was acknowledged"
    return marks


def _listen(program: subprocess.Popen[bytes], marks: Marks, enough: threading.Semaphore) -> None:
    assert program.stdout is not None
    for count, line in enumerate(program.stdout):
        marks[line.decode().strip()] = time.monotonic()
        if count == ENOUGH:
            enough.release()
    program.stdout.close()


@contextmanager
def volume(folder: Path, megabytes: int = 64) -> Iterator[Path]:
    """An ext4 of its own, mounted."""
    image, place = folder / "image", folder / "volume"
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    place.mkdir()
    mount(place)
    try:
        yield place
    finally:
        # Lazily: it must be gone even if a failed test left a program at work in there.
        subprocess.run(["umount", "--lazy", place], check=False)


def mount(place: Path) -> None:
    """Mount the volume."""
    subprocess.run(["mount", "-o", "loop", place.parent / "image", place], check=True)


def remount(place: Path) -> None:
    """Mount the volume once more, after a power failure.

    A copy of its image: a mount namespace made beside it may hold the dead file system still,
    and then the image as it was would be mounted as that one, dead as it is.
    """
    image, copy = place.parent / "image", place.parent / "copy"
    subprocess.run(["cp", "--sparse=always", image, copy], check=True)
    copy.replace(image)
    mount(place)


def unmount(place: Path) -> None:
    """Unmount the volume, as soon as all that worked in there have ended."""
    end = time.monotonic() + 10
    while subprocess.run(["umount", place], check=False, stderr=subprocess.DEVNULL).returncode:
        assert time.monotonic() < end, "something is still at work on the volume"
        time.sleep(0.02)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """No space is left in there, for the block."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            os.fsync(file.fileno())
    try:
        yield
    finally:
        ballast.unlink()
