"""A whole worker stands still for three leases, in the middle of what it does, and goes on."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mainspring.job import NewJob
from tests.crash.arena import arena, children, until
from tests.crash.conftest import URLS
from tests.crash.history import judge, read
from tests.crash.producer import producing
from tests.crash.workload import note

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
            time.sleep(0.5)
            with standing_still(place.workers[0].pid):
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


def job(mark: str) -> NewJob[str]:
    """A short one, and now and then one that takes longer than a lease."""
    return note.job(mark, 1.2 * LEASE if mark.endswith("00") else 0.05)
