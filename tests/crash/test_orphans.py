"""A parent that is killed takes its children along, and nobody inherits what it held."""

import os
import signal
import time
from pathlib import Path

import pytest

from mainspring.job import NewJob
from tests.crash.arena import Arena, arena, children, until
from tests.crash.conftest import URLS
from tests.crash.history import read
from tests.crash.judge import judge
from tests.crash.producer import producing
from tests.crash.workload import anote, note, pnote

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]

AT_ONCE = 0.2
"""Seconds from the end of a parent to the last begin in its children."""


def test_no_child_begins_a_job_after_its_parent_was_killed(tmp_path: Path) -> None:
    with arena(tmp_path, f"sqlite:///{tmp_path}/jobs.db") as place, producing(place, mixed):
        killed: dict[int, int] = {}
        for _ in range(3):
            place.start_worker("--processes", "2", "--threads", "4")
            [worker] = place.workers
            wait_until_all_have_begun(place, worker.pid)
            its = children(worker.pid)
            assert len(its) > 2, "functions, coroutines and processes"
            place.recorder.record("fault", who="the parent is killed")
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            killed[worker.pid] = time.monotonic_ns()
            place.workers.remove(worker)
        time.sleep(5 * AT_ONCE)
        begun = [fact for fact in read(place.history) if fact["op"] == "begin"]
        for parent, moment in killed.items():
            late = [f for f in begun if f["parent"] == parent and f["t"] - moment > AT_ONCE * 1e9]
            assert late == []


def mixed(mark: str) -> NewJob[int]:
    task = (note, anote, pnote)[int(mark.rpartition("-")[2]) % 3]
    return task.job(mark, 0.02)


def wait_until_all_have_begun(place: Arena, worker: int) -> None:
    """Until jobs of all three kinds run."""
    for _ in until(60):
        facts = [f for f in read(place.history) if f["op"] == "begin" and f["parent"] == worker]
        if len({int(f["mark"].rpartition("-")[2]) % 3 for f in facts}) == 3:
            return
        time.sleep(0.05)
    raise AssertionError(place.log.read_text(errors="replace"))


NAMESAKE = """
import os
from mainspring.worker.worker import Worker

Worker(
    url=os.environ["CRASH_URL"], app="tests.crash.workload:app", name="twin", threads=4,
    lease=float(os.environ["CRASH_LEASE"]),
).run()
"""


@pytest.mark.parametrize("engine", ["sqlite", "postgres", "redis"])
def test_a_worker_that_takes_the_name_of_a_dead_one_takes_nothing_else(
    tmp_path: Path, engine: str
) -> None:
    """Two of one name at once, one is killed, and another of that name comes within its lease."""
    with arena(tmp_path, URLS[engine](tmp_path)) as place:
        with producing(place, longer_now_and_then, many=2):
            for _ in range(2):
                place.start_program(NAMESAKE)
            worker = place.workers.pop(0)
            wait_until_a_long_one_runs(place, worker.pid)
            hits = [worker.pid, *children(worker.pid)]
            began = place.recorder.record("fault", who="a worker is killed", hits=hits)
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
            place.start_program(NAMESAKE)
            time.sleep(1.5 * place.lease)
            place.recorder.record("healed", of=began)
        place.wait_until_done(60)
        ended = place.ended()
        verdict = judge(read(place.history), ended)
        assert verdict.broken == []
        assert verdict.is_evidence, "no kill hit a running job: this run is no evidence"
        assert {job.state for job in ended} == {"completed"}
        assert place.app.check() == []


def longer_now_and_then(mark: str) -> NewJob[int]:
    return note.job(mark, 1.2 if mark.endswith("0") else 0.05)


def wait_until_a_long_one_runs(place: Arena, worker: int) -> None:
    for _ in until(60):
        facts = read(place.history)
        ended = {fact["mark"] for fact in facts if fact["op"] == "end"}
        its = {f["mark"] for f in facts if f["op"] == "begin" and f["parent"] == worker}
        if any(mark.endswith("0") for mark in its - ended):
            return
        time.sleep(0.02)
    raise AssertionError(place.log.read_text(errors="replace"))
