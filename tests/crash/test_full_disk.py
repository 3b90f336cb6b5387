"""The disk of a PostgreSQL server fills up under load, and is given space again."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mainspring.errors import StoreFull, StoreUnavailable
from tests.crash.arena import Arena, arena, until
from tests.crash.history import judge, read
from tests.crash.power import volume
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


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """No space is left in there, for the block."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            os.fsync(file.fileno())
    try:
        yield
    finally:
        ballast.unlink()


class Producer:
    """Enqueues as long as it is let, and again what was not answered."""

    def __init__(self, place: Arena) -> None:
        self._place = place
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.refusals: list[str] = []
        self.trouble = threading.Event()
        self._thread.start()

    def _work(self) -> None:
        number = 0
        while not self._stop.is_set():
            marks = [f"job-{number + i}-{'x' * 500}" for i in range(20)]
            number += len(marks)
            self._insist(marks)
            self._stop.wait(0.02)

    def _insist(self, marks: list[str]) -> None:
        jobs = [note.job(mark, 0.001) for mark in marks]
        while True:
            try:
                self._place.app.enqueue_many(jobs)
                break
            except (StoreFull, StoreUnavailable) as error:
                self.refusals.append(f"{type(error).__name__}: {error}")
                self.trouble.set()
                self._place.recorder.record("refused")
                time.sleep(0.02)
        for mark in marks:
            self._place.recorder.record("inserted", mark=mark)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


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
        producer = Producer(place)
        with full(folder):
            assert producer.trouble.wait(60)
            for _ in until(1.5):
                place.recorder.record("fault", who="the disk is full")
                time.sleep(0.1)
            assert all("StoreFull" in words for words in producer.refusals), producer.refusals
            assert "no space left" in producer.refusals[0]
        _all_is_well(place, producer)


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
        producer = Producer(place)
        with full(folder):
            postgres.wait()
            place.recorder.record("fault", who="the server is gone")
        postgres.start()
        _all_is_well(place, producer)


def _all_is_well(place: Arena, producer: Producer) -> None:
    healed = time.time_ns() // 1000
    while not place.has_heard_of_all_since(healed):
        place.recorder.record("fault", who="there is space again")
        time.sleep(0.05)
    producer.stop()
    place.wait_until_done(60)
    ended = place.ended()
    verdict = judge(read(place.history), ended)
    assert verdict.broken == []
    assert verdict.refused > 0, "nobody noticed: this run is no evidence"
    assert {job.state for job in ended} == {"completed"}
    assert place.app.check() == []
