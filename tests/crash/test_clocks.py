"""The wall clocks of workers are wrong, or are set under load: no lease ends for that, nothing runs
twice, and delayed jobs go by the clock of whoever keeps them."""

import struct
import time
from pathlib import Path

import pytest

from mainspring.job import NewJob, State
from tests.crash.arena import Arena, arena, until
from tests.crash.history import read
from tests.crash.judge import judge
from tests.crash.producer import producing
from tests.crash.workload import note

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]

HOUR = 3600.0

SHIM = """
import mmap, os, struct, time

with open(os.environ["CRASH_CLOCK"], "rb") as file:
    offset = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
true_time, true_time_ns = time.time, time.time_ns
time.time = lambda: true_time() + struct.unpack("d", offset)[0]
time.time_ns = lambda: true_time_ns() + int(struct.unpack("d", offset)[0] * 1e9)
"""
"""What Python runs at its start, in workers and their children: their wall clock has an offset,
which can be changed at any time. Their other clocks stay as they are, as on any machine."""


class Clock:
    """A wall clock that can be set."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.clock"
        self._path.write_bytes(struct.pack("d", 0.0))
        (folder / "shim").mkdir(exist_ok=True)
        (folder / "shim" / "sitecustomize.py").write_text(SHIM)
        self.env = {"CRASH_CLOCK": str(self._path), "PYTHONPATH": str(folder / "shim")}

    def set(self, offset: float) -> None:
        """To the true time and so many seconds."""
        with self._path.open("r+b") as file:
            file.write(struct.pack("d", offset))


def job(mark: str) -> NewJob[int]:
    """Short ones, and some that take longer than a lease."""
    return note.job(mark, 2.0 if mark.endswith("50") else 0.05)


def test_clocks_that_are_wrong_and_set_under_load_end_no_lease_and_lose_no_delayed_job(
    tmp_path: Path, url: str
) -> None:
    # A file has one machine and its clock; a month ahead would be beyond what is kept of old jobs.
    own = url.startswith("sqlite")
    off = HOUR if own else 30 * 24 * HOUR
    clocks = [Clock(tmp_path, "fast"), Clock(tmp_path, "slow")]
    with arena(tmp_path, url) as place:
        later = place.app.enqueue(note.using(delay=HOUR / 2).job("later"))
        place.recorder.record("inserted", mark="later")
        with producing(place, job, many=3):
            for clock, offset in zip(clocks, (off, -off), strict=True):
                clock.set(offset)
                place.start_worker("--threads", "4", **clock.env)
            wait_for_both(place)
            for offsets in ((-off, off), (0.0, 0.0), (off, off)):
                time.sleep(0.7 * place.lease)
                for clock, offset in zip(clocks, offsets, strict=True):
                    clock.set(offset)
            time.sleep(0.7 * place.lease)
        if not own:
            # The server keeps the time, and its clock was right all along.
            assert later.refresh().state is State.SCHEDULED
            later.cancel()
        all_is_well(place, but=() if own else ("later",))
        walls = [f["wall"] - time.time() for f in read(place.history) if f["op"] == "begin"]
        assert min(walls) < -HOUR / 2, "this run is no evidence: whose clock is slow ran nothing"
        assert max(walls) > HOUR / 2, "this run is no evidence: whose clock is fast ran nothing"


def wait_for_both(place: Arena) -> None:
    """Until both workers have begun jobs."""
    for _ in until(60):
        begun = {f["parent"] for f in read(place.history) if f["op"] == "begin"}
        if begun >= {worker.pid for worker in place.workers}:
            return
        time.sleep(0.05)
    raise AssertionError(place.log.read_text(errors="replace"))


def all_is_well(place: Arena, but: tuple[str, ...] = ()) -> None:
    place.wait_until_done(60)
    ended = place.ended()
    # No fault is in the history: whatever began twice did so without a reason.
    assert judge(read(place.history), ended).broken == []
    assert {(job.state, job.claims) for job in ended if job.mark not in but} == {("completed", 1)}
    assert "lost to another worker" not in place.log.read_text(errors="replace")
    assert place.app.check() == []
