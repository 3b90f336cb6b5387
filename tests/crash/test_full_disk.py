"""The disk of a PostgreSQL server fills up under load, and is given space again."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mainspring.errors import StoreFull
from mainspring.job import NewJob
from tests.crash.arena import Arena, arena, until
from tests.crash.history import read
from tests.crash.judge import judge
from tests.crash.power import full, volume
from tests.crash.producer import producing
from tests.crash.workload import note
from tests.servers.postgres import SETTINGS, Server

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]

SMALL = SETTINGS | {
    "shared_buffers": "16MB",
    "max_wal_size": "1GB",  # no segment of the log is used again
    "restart_after_crash": "off",
}


@contextmanager
def server(data: Path, wal: Path) -> Iterator[Server]:
    made = Server(data=data, wal=wal, **SMALL)
    try:
        yield made
    finally:
        made.stop()


def job(mark: str) -> NewJob[str]:
    return note.job(mark, 0.001)


def test_a_full_disk_refuses_jobs_in_words_loses_none_and_heals_by_itself(
    tmp_path: Path, open_folder: Path
) -> None:
    with (
        volume(open_folder) as folder,
        server(folder / "data", open_folder / "wal") as postgres,
        arena(tmp_path, postgres.url) as place,
    ):
        place.start_worker("--threads", "4")
        place.wait_until_running(1)
        with producing(place, job, name="x" * 500) as producer:
            with full(folder):
                assert producer.refused.wait(60)
                for _ in until(1.5):
                    place.recorder.record("fault", who="the disk is full")
                    time.sleep(0.1)
            _wait_until_healed(place)
        assert {type(each) for each in producer.refusals} == {StoreFull}
        assert "no space left" in str(producer.refusals[0])
        _all_is_well(place)


def test_a_server_that_cannot_write_its_log_ends_and_loses_nothing(
    tmp_path: Path, open_folder: Path
) -> None:
    with (
        volume(open_folder) as folder,
        server(open_folder / "data", folder / "wal") as postgres,
        arena(tmp_path, postgres.url) as place,
    ):
        place.start_worker("--threads", "4")
        place.wait_until_running(1)
        with producing(place, job, name="x" * 500):
            with full(folder):
                postgres.wait()
                place.recorder.record("fault", who="the server is gone")
            postgres.start()
            _wait_until_healed(place)
        _all_is_well(place)


def _wait_until_healed(place: Arena) -> None:
    healed = time.time_ns() // 1000
    while not place.has_heard_of_all_since(healed):
        place.recorder.record("fault", who="there is space again")
        time.sleep(0.05)


def _all_is_well(place: Arena) -> None:
    place.wait_until_done(60)
    ended = place.ended()
    verdict = judge(read(place.history), ended)
    assert verdict.broken == []
    assert verdict.refused > 0, "nobody noticed: this run is no evidence"
    assert {job.state for job in ended} == {"completed"}
    assert place.app.check() == []
