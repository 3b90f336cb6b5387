"""A worker elsewhere: it sees the server and nothing else, in this process and with children."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mainspring import JobFailed, Mainspring, StoreUnavailable
from mainspring.events import Bus, LeasesLost, StoreBack, StoreLost
from mainspring.job import NewJob, State
from mainspring.worker.worker import Worker
from tests.servers.mainspring import Server
from tests.worker import workshop
from tests.worker.conftest import Gate, eventually

MANY = 3000


@pytest.fixture
def app(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mainspring]:
    """The workshop, which has its jobs from the server; so have the children of its workers."""
    monkeypatch.setenv("WORKSHOP_URL", server.url)
    with Mainspring(server.url, workshop.tasks) as app:
        yield app


@pytest.fixture
def events() -> Bus:
    return Bus()


@pytest.fixture(params=["in process", "children"])
def start(
    request: pytest.FixtureRequest, app: Mainspring, server: Server, events: Bus
) -> Iterator[Any]:
    """Starts workers of one sort."""
    workers: list[Worker] = []
    inside = request.param == "in process"
    place = {"in_process": True, "program": app} if inside else {"app": "tests.worker.workshop:app"}

    def start(**options: Any) -> Worker:
        worker = Worker(**{"url": server.url, "lease": "5s", "events": events} | place | options)
        workers.append(worker)
        worker.start()
        return worker

    yield start
    for worker in workers:
        worker.stop(0)


def test_it_runs_jobs_and_drains(app: Mainspring, start: Any) -> None:
    worker = start()
    jobs = app.enqueue_many(workshop.add.job(n) for n in range(200))
    assert [job.result(timeout=20) for job in jobs] == list(range(1, 201))
    assert [each.state for each in app.workers()] == ["running"]
    worker.stop()
    assert app.workers() == []
    assert app.check() == []


def test_nothing_is_lost_and_nothing_done_twice_when_the_server_is_killed_under_load(
    app: Mainspring, server: Server, start: Any, events: Bus
) -> None:
    losses: list[LeasesLost] = []
    events.on(LeasesLost, losses.append)
    start(lease="1m")  # longer than a restart takes on any machine
    done = threading.Event()

    def bring() -> None:
        for at in range(0, MANY, 50):
            _put(app, [workshop.add.job(n) for n in range(at, at + 50)])
        done.set()

    bringing = threading.Thread(target=bring)
    bringing.start()
    for part in range(1, 4):
        eventually(partial(_some_have_ended, app, part * MANY // 6))
        server.kill()
        server.start()
    bringing.join()
    assert done.is_set()
    assert app.wait_until_idle(timeout=50)
    assert app.counts()["default"]["completed"] == MANY
    assert {job.attempt for job in app.find(limit=MANY)} == {1}
    assert losses == []
    assert app.check() == []


def _put(app: Mainspring, jobs: Sequence[NewJob[Any]]) -> None:
    """Bring them, however long the server is away: the same jobs are stored once."""
    while True:
        with suppress(StoreUnavailable):
            app.enqueue_many(jobs)
            return


def _some_have_ended(app: Mainspring, many: int) -> bool:
    return app.counts().get("default", {}).get("completed", 0) >= many


def test_a_job_that_ends_while_the_server_is_away_has_ended_when_it_is_back(
    app: Mainspring, server: Server, start: Any, events: Bus, tmp_path: Path
) -> None:
    away, back = [], []
    events.on(StoreLost, away.append)
    events.on(StoreBack, back.append)
    start(lease="20s")
    gate = Gate(tmp_path / "gate")
    job = app.enqueue(workshop.gated.job(str(gate)))
    gate.await_arrival()
    server.kill()
    gate.let_go()
    eventually(lambda: away)
    server.start()
    assert job.result(timeout=20) == 1
    eventually(lambda: back)
    assert job.refresh().record.claims == 1


def test_a_job_is_stopped_when_the_server_is_away_for_a_lease_and_runs_again(
    app: Mainspring, server: Server, start: Any, events: Bus, tmp_path: Path
) -> None:
    losses: list[LeasesLost] = []
    events.on(LeasesLost, losses.append)
    start(lease="1s")
    gates = [Gate(tmp_path / name) for name in ("first", "second")]
    job = app.enqueue(workshop.gated_by_attempt.job([str(gate) for gate in gates]))
    gates[0].await_arrival()
    server.kill()
    eventually(lambda: losses)
    server.start()
    gates[0].let_go()
    gates[1].await_arrival()
    gates[1].let_go()
    assert job.result(timeout=20) == 2
    assert job.refresh().attempt == 2


def test_a_transaction_of_its_own_is_refused_to_a_job_in_words(app: Mainspring, start: Any) -> None:
    start()
    job = workshop.transact.using(max_retries=0).job()
    with pytest.raises(JobFailed, match="a transaction cannot be shared with a server"):
        app.enqueue(job).result(timeout=20)


def test_what_was_cancelled_elsewhere_is_stopped_here(
    app: Mainspring, start: Any, tmp_path: Path
) -> None:
    start(lease="1s")
    gate = Gate(tmp_path / "gate")
    job = app.enqueue(workshop.until_cancelled.job(str(gate)))
    gate.await_arrival()
    job.cancel()
    eventually(lambda: job.refresh().state is State.CANCELLED)
