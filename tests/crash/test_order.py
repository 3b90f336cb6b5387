"""One worker that runs one job at a time begins them in the order in which they came, also when the
process that runs them is killed: only the one that was running waits for its retry."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.crash.arena import arena, children
from tests.crash.history import read
from tests.crash.judge import judge
from tests.crash.workload import note

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]

JOBS, KILLS = 400, 3


def test_first_executions_keep_the_order_though_children_are_killed(
    tmp_path: Path, url: str
) -> None:
    with arena(tmp_path, url) as place:
        for number in range(0, JOBS, 20):
            start = time.monotonic_ns()
            marks = [f"job-{number + n}" for n in range(20)]
            # Those of one call came at once, but after those of the call before.
            place.app.enqueue_many(note.job(mark, 0.005) for mark in marks)
            for mark in marks:
                place.recorder.record("inserted", mark=mark, start=start, line="all")
        place.start_worker("--threads", "1")
        [worker] = place.workers
        for kill in range(1, KILLS + 1):
            while len([f for f in read(place.history) if f["op"] == "begin"]) < kill * JOBS // 5:
                assert worker.poll() is None, place.log.read_text()
                time.sleep(0.01)
            its = children(worker.pid)
            began = place.recorder.record("fault", who="children are killed", hits=its)
            for child in its:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.05)
            place.recorder.record("healed", of=began)
        place.wait_until_done(60)
        verdict = judge(read(place.history), place.ended())
        assert verdict.broken == []
        # A process is killed now and then between the mark that its job runs and the first line of
        # the function. It ran one, so that a kill can have met no more than one like that.
        assert max(verdict.unwritten.values(), default=0) <= 1
        assert verdict.again > 0, "no kill hit a running job: this run is no evidence"
