"""A deploy under load: workers and producers of two releases side by side, then the old ones go."""

import signal
import time
from pathlib import Path

import pytest

from mainspring.job import NewJob, State
from tests.crash.arena import arena, until
from tests.crash.history import read
from tests.crash.judge import judge
from tests.crash.producer import producing
from tests.crash.releases import fresh, greet, greet_whom, retired

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]


def of_old(mark: str) -> NewJob[int]:
    return retired.job(mark) if mark.endswith("0") else greet.job(mark, "Ada")


def of_new(mark: str) -> NewJob[int]:
    return fresh.job(mark) if mark.endswith("0") else greet_whom.job(mark, "Ada")


def test_releases_work_side_by_side_and_what_nobody_knows_any_more_waits(
    tmp_path: Path, url: str
) -> None:
    with arena(tmp_path, url) as place:
        with producing(place, of_old, name="old"):
            place.start_worker("--threads", "4", app="tests.crash.releases:old")
            place.wait_until_running(1)
            with producing(place, of_new, name="new"):
                place.start_worker("--threads", "4", app="tests.crash.releases:new")
                place.wait_until_running(2)
                for _ in until(30):
                    begun = {(f["parent"], f["mark"][:3]) for f in begins(place.history)}
                    if len(begun) == 3:
                        break
                    time.sleep(0.05)
        orphan = place.app.enqueue(retired.using(delay=0.5).job("orphan"))
        place.recorder.record("inserted", mark="orphan")
        leaving = place.workers.pop(0)
        leaving.send_signal(signal.SIGTERM)
        assert leaving.wait(60) == 0
        # No harm was done: nothing may have begun twice, nothing failed, nothing is missing.
        waiting = [state for state in State if not state.final]
        for _ in until(60):
            left = place.app.find(states=waiting)
            if {(job.task, job.record.reason) for job in left} == {("retired", "unknown task")}:
                break
            time.sleep(0.1)
        assert {(job.state, job.attempt) for job in left} == {(State.SCHEDULED, 0)}
        assert orphan.id in {job.id for job in left}
        leaving = place.workers.pop()
        leaving.send_signal(signal.SIGTERM)
        assert leaving.wait(60) == 0
        place.start_worker("--threads", "4", app="tests.crash.releases:old")
        assert orphan.result(timeout=30) >= 1, place.log.read_text()
        place.wait_until_done(60)
        ended = place.ended()
        assert judge(read(place.history), ended).broken == []
        assert {(job.state, job.attempt) for job in ended} == {("completed", 1)}
        assert {(f["parent"], f["mark"][:3]) for f in begins(place.history)} > begun
        assert place.app.check() == []


def begins(history: Path) -> list[dict[str, object]]:
    return [fact for fact in read(history) if fact["op"] == "begin"]
