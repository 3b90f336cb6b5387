"""Workers are killed at random, and the history is held against the promises."""

import os
import random
import threading
import time
from pathlib import Path

import pytest

from tests.crash.arena import Arena, arena, until
from tests.crash.history import read
from tests.crash.judge import judge
from tests.crash.workload import innocent, killer, note

SECONDS = float(os.environ.get("CRASH_SECONDS", "10"))

pytestmark = [pytest.mark.crash, pytest.mark.timeout(SECONDS + 100)]


def test_no_job_is_lost_doubled_or_run_again_without_a_reason_under_kill_9(
    tmp_path: Path, url: str
) -> None:
    chance = random.Random(int(os.environ.get("CRASH_SEED", "1")))
    with arena(tmp_path, url) as place:
        producing = threading.Event()
        producer = threading.Thread(target=_produce, args=(place, producing))
        producer.start()
        for _ in range(2):
            place.start_worker("--processes", "2", "--threads", "4")
        for kills, passed in enumerate(until(5 * SECONDS)):
            if passed > SECONDS and kills > SECONDS:
                break
            begun = _begun(place)
            time.sleep(chance.uniform(0.2, 0.45))
            # On a busy machine nobody may have come so far yet: such a kill would prove nothing.
            while _begun(place) == begun:
                time.sleep(0.02)
            place.kill_one(chance)
            while len(place.workers) < 2:
                place.start_worker("--processes", "2", "--threads", "4")
        producing.set()
        producer.join()
        place.wait_until_done(60)
        verdict = judge(read(place.history), place.ended())
        assert verdict.broken == []
        assert verdict.faults > SECONDS, "too few kills to be evidence"
        assert verdict.again > 0, "no kill hit a running job: this run is no evidence"
        assert {job.state for job in place.ended()} == {"completed"}
        assert place.app.check() == []


def _begun(place: Arena) -> int:
    """How often a job has begun until now."""
    return sum(file.read_bytes().count(b'"begin"') for file in place.history.iterdir())


def _produce(place: Arena, stop: threading.Event) -> None:
    chance, number = random.Random(7), 0
    while not stop.is_set():
        marks = [f"job-{number + i}" for i in range(chance.randint(1, 20))]
        number += len(marks)
        place.app.enqueue_many(note.job(mark, chance.choice((0, 0, 0.02, 0.2))) for mark in marks)
        for mark in marks:
            place.recorder.record("inserted", mark=mark)
        stop.wait(0.05)


def test_a_job_that_kills_its_worker_takes_no_innocent_neighbour_along(
    tmp_path: Path, url: str
) -> None:
    with arena(tmp_path, url) as place:
        marks = [f"innocent-{n}" for n in range(60)]
        jobs = [innocent.job(mark) for mark in marks]
        jobs[30:30] = [killer.job("killer-1"), killer.job("killer-2")]
        place.app.enqueue_many(jobs)
        for mark in [*marks, "killer-1", "killer-2"]:
            place.recorder.record("inserted", mark=mark)
        place.start_worker("--processes", "1", "--threads", "8")
        place.wait_until_done(60)
        ended = place.ended()
        assert judge(read(place.history), ended).broken == []
        assert {job.mark for job in ended if job.state == "failed"} == {"killer-1", "killer-2"}
        assert {job.state for job in ended if job.mark in marks} == {"completed"}
