"""What is written down: who asked for what, and who changed what; and what never is."""

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mainspring import Mainspring
from tests.server.conftest import Http, Running, until

NASTY = "/%0A%1b%5B31m%7F%C2%9B%E2%80%A8fake"


def lines(caplog: pytest.LogCaptureFixture, name: str) -> list[Any]:
    told = [record.getMessage() for record in caplog.records if record.name == name]
    assert all(line.isascii() and line.isprintable() for line in told)
    return [json.loads(line) for line in told]


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "mainspring.access")
    caplog.set_level(logging.INFO, "mainspring.audit")
    return caplog


def test_each_request_leaves_a_line(
    http: Http, app: Mainspring, heard: pytest.LogCaptureFixture
) -> None:
    made = app.keys.create("n", ["read"])
    http.get("/tasks?type=secret", headers={"Authorization": f"Bearer {made.key}"})
    http.get("/tasks")
    http.get("/ready")
    until(lambda: len(lines(heard, "mainspring.access")) == 3)
    first, second, third = lines(heard, "mainspring.access")
    assert first.pop("milliseconds") > 0
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "method": "GET",
        "path": "/tasks",
        "status": 200,
        "address": "127.0.0.1",
        "key": made.id,
    }
    assert (second["status"], second["key"]) == (401, None)
    assert (third["status"], third["path"]) == (200, "/ready")


def test_no_path_makes_a_line_of_its_own(http: Http, heard: pytest.LogCaptureFixture) -> None:
    http.get(NASTY)
    until(lambda: lines(heard, "mainspring.access"))
    [line] = lines(heard, "mainspring.access")
    assert line["path"] == "/\n\x1b[31m\x7f\x9b\u2028fake"


def test_no_secret_is_written_down(
    http: Http, app: Mainspring, heard: pytest.LogCaptureFixture
) -> None:
    boss = app.keys.create("boss", ["admin"])
    http.headers["Authorization"] = f"Bearer {boss.key}"
    made = http.told(201, "POST", "/keys", json={"name": "n", "permissions": ["read"]})
    for key in (boss.key, made["secret"]):
        http.get(f"/{key}?key={key}")
        http.get("/tasks", headers={"Authorization": f"Basic {key}"})
        http.told(404, "DELETE", f"/keys/{key}")
        http.post("/tasks", json={key: 1})
        http.post(f"/queues/{key}/pause")
    until(lambda: len(lines(heard, "mainspring.access")) == 11)
    kept = repr([cell.value for cell in app.store.kv_scan()])
    said = "".join(record.getMessage() for record in heard.records) + kept
    for key in (boss.key, made["secret"]):
        assert key[-43:] not in said
        assert f"ms_{key[3:19]}_..." in said


def test_each_change_leaves_a_line_that_stays(
    http: Http, app: Mainspring, heard: pytest.LogCaptureFixture
) -> None:
    boss = app.keys.create("boss", ["admin"])
    http.headers["Authorization"] = f"Bearer {boss.key}"
    http.told(200, "PATCH", "/queues/mail", json={"aging": "2m"})
    http.told(200, "PATCH", "/queues/mail", json={"aging": "3m", "paused": True})
    http.told(200, "POST", "/queues/mail/purge")
    made = http.told(201, "POST", "/keys", json={"name": "n", "permissions": ["read"]})["key"]
    http.told(200, "DELETE", f"/keys/{made['id']}")
    http.told(200, "GET", "/keys")
    http.told(422, "PATCH", "/queues/mail", json={})
    http.task()
    deeds = list(app.audit.since("1m"))
    assert [(deed.what, deed.status) for deed in deeds] == [
        ("PATCH /queues/mail", 200),
        ("PATCH /queues/mail", 200),
        ("POST /queues/mail/purge", 200),
        ("POST /keys", 201),
        (f"DELETE /keys/{made['id']}", 200),
    ]
    assert {(deed.key, deed.name, deed.address) for deed in deeds} == {
        (boss.id, "boss", "127.0.0.1")
    }
    assert deeds[0].before is None
    assert deeds[1].before == {"paused": False, "aging": 120_000}
    assert deeds[1].after == {"paused": True, "aging": 180_000}
    assert deeds[3].after == {name: said for name, said in made.items() if said is not None}
    told = lines(heard, "mainspring.audit")
    assert [line["what"] for line in told] == [deed.what for deed in deeds]
    assert told[1]["before"] == deeds[1].before


def test_the_audit_is_told_in_pages_here_and_at_the_other_end(
    http: Http, server: Running, app: Mainspring
) -> None:
    began = datetime.now(UTC)
    for name in ("a", "b", "c"):
        http.told(200, "POST", f"/queues/{name}/pause")
    page = http.told(200, "GET", "/audit?since=1m&limit=2")
    assert [deed["what"] for deed in page["deeds"]] == [
        "POST /queues/a/pause",
        "POST /queues/b/pause",
    ]
    last = http.told(200, "GET", f"/audit?limit=2&after={page['next']}")
    assert [deed["what"] for deed in last["deeds"]] == ["POST /queues/c/pause"]
    assert last["next"] is None
    assert http.told(200, "GET", "/audit?since=0")["deeds"] == []
    for wrong in ("since=soon", "limit=0", "limit=1001", "after=x", "before=1"):
        http.told(422, "GET", f"/audit?{wrong}")
    with Mainspring(f"http://127.0.0.1:{server.port}") as remote:
        for when in ("1m", began - timedelta(seconds=1)):
            here, there = list(app.audit.since(when)), list(remote.audit.since(when))
            assert [deed.what for deed in there] == [deed.what for deed in here]
            assert abs(there[0].at - here[0].at) < timedelta(milliseconds=1)
        made = asyncio.run(remote.keys.acreate("n", ["read"], expires="1h"))
        assert [key.id for key in remote.keys.list()] == [made.id]


def test_a_change_by_way_of_the_store_leaves_its_arguments(
    server: Running, app: Mainspring
) -> None:
    job = app.enqueue("echo", queue="mail", delay="1h")
    with Mainspring(f"http://127.0.0.1:{server.port}") as remote:
        remote.pause("mail")
        remote.cancel(job.id, reason="enough")
        remote.delete(queues=[f"queue-{n}-{'x' * 200}" for n in range(50)])
        remote.counts()
    deeds = list(app.audit.since("1m"))
    assert [deed.what for deed in deeds] == [
        "POST /store/configure",
        "POST /store/cancel",
        "POST /store/delete",
    ]
    assert deeds[0].after == {"queue": "mail", "paused": True}
    assert deeds[1].after["reason"] == "enough"
    assert deeds[2].after.endswith(" bytes")
    assert {deed.name for deed in deeds} == {"everybody"}
