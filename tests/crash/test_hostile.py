"""Functions do what no function should: that fails their own job, and nothing else."""

from pathlib import Path

import pytest

from mainspring import Mainspring
from mainspring.errors import JobFailed
from mainspring.job import State
from tests.crash.arena import arena
from tests.crash.hostile import WAYS, apart, decent, decent_apart, shared, tasks

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]


@pytest.mark.parametrize(
    ("kind", "ways"),
    [(shared, list(WAYS)), (apart, list(WAYS))],
    ids=["on threads", "in processes"],
)
def test_a_hostile_function_fails_its_own_job_and_nothing_else(
    tmp_path: Path, kind: object, ways: list[str]
) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    with arena(tmp_path, url) as place, Mainspring(url, tasks) as app:
        place.start_worker("--threads", "2", app="tests.crash.hostile:app")
        [worker] = place.workers
        for number, way in enumerate(ways):
            job = app.enqueue(kind.job(way))  # type: ignore[attr-defined]
            beside = [app.enqueue(each.job(number)) for each in (decent, decent_apart)]
            with pytest.raises(JobFailed):
                job.result(timeout=30)
            assert job.refresh().state is State.FAILED, way
            [error] = job.errors()
            assert (error.attempt, len(error.message) <= 4_000) == (1, True), way
            assert len(error.traceback) <= 16_000, way
            beside += [app.enqueue(each.job(number)) for each in (decent, decent_apart)]
            assert [each.result(timeout=30) for each in beside] == [number + 1] * 4, way
            assert worker.poll() is None, f"{way}: {place.log.read_text(errors='replace')}"
        assert app.check() == []
