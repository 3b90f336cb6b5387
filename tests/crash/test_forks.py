"""The machine has no more processes to give: workers say so, go on with those they have, and are
whole again when there are."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.crash.arena import Arena, arena, children, until
from tests.crash.history import read
from tests.crash.judge import judge
from tests.crash.workload import note

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]


class Group:
    """Processes of which there may be only so many, with their threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._most = folder / "pids.max"
        folder.mkdir()

    @property
    def within(self) -> list[str]:
        """What goes before a command that is to run in the group."""
        return ["sh", "-c", f'echo $$ > {self._folder}/cgroup.procs; exec "$0" "$@"']

    def remove(self) -> None:
        """Once all its processes have ended."""
        for _ in until(10):
            with suppress(OSError):
                self._folder.rmdir()
                return
            time.sleep(0.05)

    def no_more(self) -> None:
        """Than there are."""
        self._most.write_text((self._folder / "pids.current").read_text())

    def any_number(self) -> None:
        self._most.write_text("max")


@contextmanager
def group() -> Iterator[Group]:
    """A control group of this test's own; needs root."""
    roots = [Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")]
    root = next(each for each in roots if (each / "cgroup.procs").exists())
    made = Group(root / f"mainspring-{os.getpid()}")
    try:
        yield made
    finally:
        made.remove()


@pytest.mark.parametrize("killed", [1, 2], ids=["one of two children", "all children"])
def test_a_worker_that_can_start_no_process_heals_by_itself(tmp_path: Path, killed: int) -> None:
    with group() as few, arena(tmp_path, f"sqlite:///{tmp_path}/jobs.db") as place:
        place.start_worker("--processes", "2", "--threads", "2", within=few.within)
        place.wait_until_running(1)
        [worker] = place.workers
        marks = [f"long-{n}" for n in range(4)]
        jobs = place.app.enqueue_many(note.job(mark, 1.0) for mark in marks)
        for mark in marks:
            place.recorder.record("inserted", mark=mark)
        wait_for_begins(place, 4)
        victims = sorted({f["pid"] for f in read(place.history) if f["op"] == "begin"})[:killed]
        few.no_more()
        place.recorder.record("fault", who="children are killed", hits=victims)
        for child in victims:
            os.kill(child, signal.SIGKILL)
        for _ in until(5):
            few.no_more()  # not even as many as there were
            assert worker.poll() is None, place.log.read_text()
            time.sleep(0.05)
        assert "cannot start a child process" in place.log.read_text()
        few.any_number()
        for job in jobs:
            job.result(timeout=60)
        for _ in until(30):
            if len(children(worker.pid)) >= 2:
                break
            time.sleep(0.05)
        assert len(children(worker.pid)) >= 2, place.log.read_text()
        assert judge(read(place.history), place.ended()).broken == []
        assert place.app.check() == []


def wait_for_begins(place: Arena, times: int) -> None:
    for _ in until(60):
        if sum(fact["op"] == "begin" for fact in read(place.history)) >= times:
            return
        time.sleep(0.05)
    raise AssertionError(place.log.read_text(errors="replace"))
