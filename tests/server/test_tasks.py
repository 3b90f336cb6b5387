"""Jobs over HTTP: stored, shown, listed, waited for, cancelled, replayed, deleted."""

from typing import Any
from uuid import uuid4

import pytest

from mainspring import Mainspring
from tests.server.conftest import Http


def test_a_job_is_stored_and_shown_with_all_that_was_asked_for(http: Http, app: Mainspring) -> None:
    wish = {
        "type": "elsewhere",
        "payload": {"to": "ü@example.org", "n": [1, 2.5, None, True]},
        "queue": "mail",
        "priority": 5,
        "delay": "1h",
        "timeout": 30000,
        "maxAttempts": 5,
        "retryDelay": 2000,
        "retryBackoff": "linear",
        "expires": "2h",
        "key": "tenant",
        "headers": {"source": "test"},
        "tags": ["a", "b"],
        "label": "Welcome",
    }
    answer = http.post("/tasks", json=wish)
    assert answer.status_code == 201
    task = answer.json()["task"]
    assert answer.headers["location"] == f"/tasks/{task['id']}"
    assert http.told(200, "GET", f"/tasks/{task['id']}")["task"]["dueAt"] // 1000 > 0
    same = wish.keys() - {"delay", "expires"}
    assert {name: task[name] for name in same} == {name: wish[name] for name in same}
    assert task["status"] == "scheduled"
    assert task["dueAt"] - task["createdAt"] == 3_600_000
    assert task["expiresAt"] - task["createdAt"] == 7_200_000
    job = app.get(task["id"])
    assert job.payload == wish["payload"]
    assert job.record.policy.retry.base == 2_000_000
    assert job.record.policy.retry.max_retries == 4


def test_a_declared_task_keeps_its_policies_but_for_what_the_job_says(http: Http) -> None:
    assert http.task(type="story", payload={})["maxAttempts"] == 6
    task = http.task(type="story", payload={}, maxRetries=1)
    assert (task["maxAttempts"], task["retryDelay"]) == (2, 2000)


def test_a_payload_that_does_not_fit_its_task_is_refused(http: Http) -> None:
    wish = {"type": "double", "payload": {"n": "many"}}
    told = http.told(422, "POST", "/tasks", json=wish)
    assert told["type"] == "urn:mainspring:problem:invalid-arguments"
    assert "n: expected `int`" in told["detail"]
    assert told["success"] is False
    assert told["error"] == told["detail"]


def test_many_jobs_are_stored_all_or_none(http: Http, app: Mainspring) -> None:
    wishes: list[Any] = [{"type": "double", "payload": {"n": n}} for n in range(3)]
    told = http.told(201, "POST", "/tasks", json=wishes)
    assert [task["payload"]["n"] for task in told["tasks"]] == [0, 1, 2]
    http.told(422, "POST", "/tasks", json=[*wishes, {"type": "double", "payload": {}}])
    missing = str(uuid4())
    http.told(422, "POST", "/tasks", json=[*wishes, {"type": "x", "dependsOn": [missing]}])
    assert len(app.find()) == 3


def test_a_repeat_under_the_same_key_answers_the_same_job(http: Http, app: Mainspring) -> None:
    headers = {"Idempotency-Key": "order 7"}
    first = http.told(201, "POST", "/tasks", json={"type": "echo"}, headers=headers)["task"]
    again = http.told(200, "POST", "/tasks", json={"type": "echo"}, headers=headers)["task"]
    assert again["id"] == first["id"]
    wish = {"type": "echo", "payload": 1}
    told = http.told(422, "POST", "/tasks", json=wish, headers=headers)
    assert told["type"].endswith(":idempotency-key-reused")
    other = {"Idempotency-Key": "order 8"}
    many = http.told(201, "POST", "/tasks", json=[wish, wish], headers=other)["tasks"]
    same = http.told(200, "POST", "/tasks", json=[wish, wish], headers=other)["tasks"]
    assert [task["id"] for task in many] == [task["id"] for task in same]
    assert len(app.find()) == 3


def test_who_holds_a_unique_key_is_answered(http: Http) -> None:
    wish = {"type": "echo", "unique": "welcome:7"}
    first = http.told(201, "POST", "/tasks", json=wish)["task"]
    assert http.told(200, "POST", "/tasks", json=wish)["task"]["id"] == first["id"]
    told = http.told(409, "POST", "/tasks", json=wish | {"onDuplicate": "error"})
    assert told["holder"] == first["id"]


@pytest.mark.usefixtures("worker")
def test_a_wait_is_answered_when_the_job_has_ended(http: Http) -> None:
    task = http.task(type="double", payload={"n": 21})
    ended = http.told(200, "GET", f"/tasks/{task['id']}/wait?timeout=20")["task"]
    assert (ended["status"], ended["result"]) == ("completed", 42)
    assert ended["completedAt"] >= ended["startedAt"] >= ended["createdAt"]
    failed = http.task(payload="fail")
    ended = http.told(200, "GET", f"/tasks/{failed['id']}/wait")["task"]
    assert (ended["status"], ended["error"]["type"]) == ("failed", "ValueError")
    assert "as it was told" in ended["error"]["stack"]


def test_a_wait_that_is_over_answers_the_job_as_it_stands(http: Http) -> None:
    task = http.task()
    assert http.told(200, "GET", f"/tasks/{task['id']}/wait?timeout=50ms")["task"] == task
    http.told(404, "GET", f"/tasks/{uuid4()}/wait")


def test_jobs_are_listed_by_what_they_are_page_by_page(http: Http, app: Mainspring) -> None:
    for n in range(5):
        http.task(payload=n, queue="odd" if n % 2 else "even", tags=[f"t{n}"], key=f"k{n}")
    app.cancel(queues="odd")

    def found(query: str) -> list[int]:
        return [t["payload"] for t in http.told(200, "GET", f"/tasks?{query}")["tasks"]]

    assert found("") == [4, 3, 2, 1, 0]
    assert found("queue=even&status=pending") == [4, 2, 0]
    assert found("status=cancelled&status=completed") == [3, 1]
    assert found("status=canceled") == [3, 1]
    assert found("type=other") == []
    assert found("tag=t2&tag=t3") == [3, 2]
    assert found("key=k4") == [4]
    page = http.told(200, "GET", "/tasks?limit=2&queue=even")
    assert (page["total"], page["limit"]) == (3, 2)
    assert found(f"limit=2&queue=even&after={page['next']}") == [0]
    assert http.told(200, "GET", "/tasks?type=echo")["total"] is None


@pytest.mark.usefixtures("worker")
def test_a_job_can_be_deleted_once_it_has_ended(http: Http) -> None:
    waiting = http.task(delay="1h")
    told = http.told(400, "DELETE", f"/tasks/{waiting['id']}")
    assert told["detail"].endswith("is scheduled")
    ended = http.task()
    http.told(200, "GET", f"/tasks/{ended['id']}/wait")
    assert http.told(200, "DELETE", f"/tasks/{ended['id']}")["success"] is True
    http.told(404, "GET", f"/tasks/{ended['id']}")
    http.told(404, "DELETE", f"/tasks/{ended['id']}")


def test_a_job_that_another_waits_for_is_kept(http: Http, app: Mainspring) -> None:
    first = http.task()
    http.task(dependsOn=[first["id"]], delay="1h")
    with app.worker(in_process=True):
        http.told(200, "GET", f"/tasks/{first['id']}/wait")
    second = http.task(delay="1h")
    assert http.task(dependsOn=[second["id"]])["status"] == "blocked"
    http.told(400, "DELETE", f"/tasks/{second['id']}")


def test_jobs_are_cancelled_and_replayed(http: Http) -> None:
    path = f"/tasks/{http.task(delay='1h')['id']}"
    told = http.told(409, "POST", f"{path}/replay")
    assert told["type"].endswith(":invalid-state")
    task = http.told(200, "POST", f"{path}/cancel", json={"reason": "no more"})["task"]
    assert (task["status"], task["reason"]) == ("cancelled", "no more")
    http.told(409, "POST", f"{path}/cancel")
    assert http.told(200, "POST", f"{path}/replay")["task"]["status"] == "pending"
    for verb in ("cancel", "replay"):
        http.told(404, "POST", f"/tasks/{uuid4()}/{verb}")


def test_bytes_are_shown_in_base64(http: Http, app: Mainspring) -> None:
    job = app.enqueue("elsewhere", b"\x00\xff")
    assert http.told(200, "GET", f"/tasks/{job.id}")["task"]["payload"] == {"base64": "AP8="}
