"""How all of it stands, over HTTP: health, statistics, workers."""

from collections.abc import Iterator

import pytest

from mainspring import Mainspring
from tests.server.conftest import Http, until


def test_without_a_worker_it_is_not_healthy_but_ready(http: Http) -> None:
    told = http.told(503, "GET", "/health")
    assert (told["status"], told["reasons"]) == ("unhealthy", ["no worker is running"])
    assert http.told(200, "GET", "/ready")["status"] == "healthy"


@pytest.mark.usefixtures("worker")
def test_with_a_worker_it_is_healthy(http: Http) -> None:
    until(lambda: http.get("/health").status_code == 200)
    told = http.told(200, "GET", "/health")
    assert (told["status"], told["reasons"]) == ("healthy", [])
    assert told["stats"]["workers"]["activeWorkers"] == 1


def test_a_store_that_does_not_answer_is_told(http: Http, app: Mainspring) -> None:
    http.told(200, "GET", "/ready")
    app.close()
    for path in ("/health", "/ready"):
        told = http.told(503, "GET", path)
        assert told["reasons"] == ["the store does not answer: the app was closed"]
    assert http.get("/health").headers["retry-after"] == "1"


@pytest.mark.usefixtures("worker")
def test_statistics_tell_jobs_by_status_and_how_long_they_took(http: Http) -> None:
    http.task(delay="1h")
    http.told(200, "GET", f"/tasks/{http.task()['id']}/wait")

    def counted() -> bool:
        return http.told(200, "GET", "/stats")["stats"]["queue"]["avgExecutionTime"] is not None

    until(counted)
    stats = http.told(200, "GET", "/stats")["stats"]
    assert stats["queue"]["total"] == 2
    assert stats["queue"]["byStatus"]["scheduled"] == 1
    assert stats["queues"]["default"]["completed"] == 1
    assert stats["queue"]["avgWaitingTime"] >= 0


@pytest.fixture
def busy(app: Mainspring) -> Iterator[str]:
    with app.worker(in_process=True) as worker:
        until(lambda: any(each.state == "running" for each in app.workers()))
        yield worker.name


def test_workers_are_shown_and_told_what_to_do(http: Http, app: Mainspring, busy: str) -> None:
    [shown] = http.told(200, "GET", "/workers")["workers"]
    assert (shown["id"], shown["status"]) == (busy, "running")
    assert http.told(200, "GET", f"/workers/{busy}")["worker"]["pid"] == shown["pid"]
    for verb in ("pause", "resume"):
        assert http.told(202, "POST", f"/workers/{busy}/{verb}")["told"] == [busy]
    http.told(202, "POST", f"/workers/{busy}/scale", json={"least": 1, "most": 2})
    http.told(422, "POST", f"/workers/{busy}/scale", json={"least": 2, "most": 1})
    http.told(422, "POST", f"/workers/{busy}/scale", json={"least": 0})
    http.told(404, "GET", "/workers/nobody")
    http.told(404, "POST", "/workers/nobody/drain")
