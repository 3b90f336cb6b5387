"""A worker, its parent or a child stands still in the middle of what it does, and goes on."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mainspring import Mainspring
from mainspring.job import NewJob
from tests.crash.arena import Arena, arena, children, until
from tests.crash.conftest import URLS
from tests.crash.history import read
from tests.crash.judge import judge
from tests.crash.producer import producing
from tests.crash.workload import anote, held, note, pnote

LEASE = 1.5
"""Seconds; what workers in the arena have."""

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]


@contextmanager
def standing_still(worker: int) -> Iterator[None]:
    """The worker and all its children."""
    everybody = [worker, *children(worker)]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in everybody:
            os.kill(pid, signal.SIGCONT)


# A file is written by one at a time, and who stands still while he writes keeps all others out.
@pytest.mark.parametrize("engine", [name for name in URLS if name != "sqlite"])
def test_a_worker_that_stands_still_for_three_leases_loses_and_doubles_nothing(
    tmp_path: Path, engine: str
) -> None:
    with arena(tmp_path, URLS[engine](tmp_path)) as place:
        with producing(place, job, many=1):
            for _ in range(2):
                place.start_worker("--threads", "4")
            place.wait_until_running(2)
            with standing_still(wait_for_a_long_one(place)):
                for _ in until(3 * LEASE):
                    place.recorder.record("fault", who="a worker stands still")
                    time.sleep(0.1)
            place.recorder.record("fault", who="it goes on")
        place.wait_until_done(60)
        ended = place.ended()
        verdict = judge(read(place.history), ended)
        assert verdict.broken == []
        assert verdict.again > 0, "nothing was taken over: this run is no evidence"
        assert {job.state for job in ended} == {"completed"}
        assert place.app.check() == []


def job(mark: str) -> NewJob[int]:
    """A short one, and now and then one that takes longer than a lease."""
    return note.job(mark, 1.2 * LEASE if mark.endswith(("00", "50")) else 0.05)


def wait_for_a_long_one(place: Arena) -> int:
    """The worker that has just begun a job that takes longer than a lease."""
    known = {fact["mark"] for fact in read(place.history) if fact["op"] == "begin"}
    for _ in until(60):
        for fact in read(place.history):
            long = fact["op"] == "begin" and fact["mark"].endswith(("00", "50"))
            if long and fact["mark"] not in known:
                return int(fact["parent"])
        time.sleep(0.02)
    raise AssertionError(place.log.read_text(errors="replace"))


@pytest.mark.parametrize("engine", URLS)
def test_a_parent_that_stood_still_beyond_its_leases_drops_what_its_children_did(
    tmp_path: Path, engine: str
) -> None:
    """Its children go on, and come to the end of jobs that have been somebody else's since."""
    gate = tmp_path / "gate"
    with arena(tmp_path, URLS[engine](tmp_path)) as place:
        place.start_worker("--threads", "4")
        marks = [f"held-{n}" for n in range(4)]
        jobs = place.app.enqueue_many(held.job(mark, str(gate)) for mark in marks)
        for mark in marks:
            place.recorder.record("inserted", mark=mark)
        wait_for(place, "begin", 4)
        [worker] = place.workers
        hits = [worker.pid, *children(worker.pid)]
        place.start_worker("--threads", "4")
        stop_outside_of_any_write(place, worker.pid)
        began = place.recorder.record("fault", who="a parent stands still", hits=hits)
        try:
            assert [job.result(timeout=60) for job in jobs] == [2] * 4
        finally:
            worker.send_signal(signal.SIGCONT)
        gate.touch()
        wait_for(place, "end", 8)
        place.recorder.record("healed", of=began)
        for _ in until(30):
            if place.refused_ends() == 4:
                break
            time.sleep(0.05)
        assert place.refused_ends() == 4, place.log.read_text(errors="replace")
        ended = place.ended()
        assert judge(read(place.history), ended).broken == []
        assert [(job.state, job.claims, job.accepted) for job in ended] == [("completed", 2, 2)] * 4
        # It goes on working.
        place.workers[1].send_signal(signal.SIGTERM)
        place.workers.pop().wait(30)
        assert place.app.enqueue(note.job("afterwards")).result(timeout=30) == 1
        assert worker.poll() is None


@pytest.mark.parametrize("task", [note, anote, pnote], ids=["function", "coroutine", "process"])
def test_a_child_that_stands_still_beyond_a_lease_loses_nothing_as_its_parent_renews(
    tmp_path: Path, task: Any
) -> None:
    with arena(tmp_path, f"sqlite:///{tmp_path}/jobs.db") as place:
        for _ in range(2):
            place.start_worker("--threads", "4")
        place.wait_until_running(2)
        jobs = place.app.enqueue_many(task.job(f"long-{n}", 0.5) for n in range(4))
        wait_for(place, "begin", 2)
        busy = {fact["pid"] for fact in read(place.history) if fact["op"] == "begin"}
        for child in busy:
            os.kill(child, signal.SIGSTOP)
        try:
            time.sleep(1.5 * LEASE)
        finally:
            for child in busy:
                os.kill(child, signal.SIGCONT)
        for job in jobs:
            job.result(timeout=30)
        # Others, which had not begun, may have been given back to be claimed again.
        assert [job.refresh().attempt for job in jobs] == [1] * 4
        assert sum(fact["op"] == "begin" for fact in read(place.history)) == 4


def stop_outside_of_any_write(place: Arena, pid: int) -> None:
    """Let it stand still, but not while it writes: nobody else could, on some engines."""
    for _ in until(30):
        os.kill(pid, signal.SIGSTOP)
        with Mainspring(place.url) as app, ThreadPoolExecutor(1) as one:
            writing = one.submit(app.configure, "probe")
            if wait([writing], timeout=0.5).done:
                return
            os.kill(pid, signal.SIGCONT)
    raise AssertionError("it writes without end")


def wait_for(place: Arena, op: str, times: int) -> None:
    """Until there are so many facts of that kind."""
    for _ in until(60):
        if sum(fact["op"] == op for fact in read(place.history)) >= times:
            return
        time.sleep(0.05)
    raise AssertionError(place.log.read_text(errors="replace"))
