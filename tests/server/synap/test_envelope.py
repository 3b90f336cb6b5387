"""The envelope of commands, and what is common to all paths."""

import pytest

from mainspring import __version__
from tests.server.conftest import Running
from tests.server.synap.conftest import Wire


def test_an_unknown_command_and_a_missing_field_are_told_with_status_200(synap: Wire) -> None:
    assert synap.refused("kv.nothing") == "Unknown command: kv.nothing"
    assert synap.refused("kv.incrby", key="n") == "Unknown command: kv.incrby"
    assert synap.refused("kv.set", key="a") == "Invalid request: Missing 'value' field"
    assert synap.refused("kv.get", key=7) == "Invalid request: Missing 'key' field"


def test_a_payload_that_is_no_object_lacks_everything(synap: Wire) -> None:
    told = synap.ask("kv.get", [1])
    assert told["error"] == "Invalid request: Missing 'key' field"


@pytest.mark.parametrize("left_out", ["command", "request_id", "payload"])
def test_an_envelope_must_be_whole(synap: Wire, left_out: str) -> None:
    whole = {"command": "kv.dbsize", "request_id": "1", "payload": {}}
    del whole[left_out]
    assert left_out in synap.rest("POST", "/api/v1/command", whole, status=400)["error"]


def test_what_is_no_json_is_refused_with_the_error_object(synap: Wire) -> None:
    for path in ("/api/v1/command", "/kv/set"):
        sent = {"content": b"invalid json {", "headers": {"Content-Type": "application/json"}}
        answer = synap.post(path, **sent)
        assert answer.status_code == 400
        assert answer.json()["code"] == 400


def test_a_wrong_method_and_a_wrong_path_are_told(synap: Wire) -> None:
    assert synap.get("/api/v1/command").status_code == 405
    assert synap.patch("/stream/list").status_code == 405
    assert synap.get("/synap/nothing").status_code == 404


def test_health_has_the_shape_of_synap_and_asks_for_no_worker(synap: Wire) -> None:
    told = synap.rest("GET", "/health")
    assert told == {"status": "healthy", "service": "synap", "version": __version__}


def test_our_own_paths_are_there_as_well(synap: Wire) -> None:
    assert synap.post("/tasks", json={"type": "echo", "payload": 1}).status_code == 201


def test_pages_of_other_sites_get_nothing(synap: Wire) -> None:
    body = {"command": "kv.dbsize", "request_id": "1", "payload": {}}
    foreign = {"Origin": "https://example.org"}
    answer = synap.post("/api/v1/command", json=body, headers=foreign)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_an_image_in_a_page_of_another_site_takes_no_message(synap: Wire) -> None:
    synap.told("queue.publish", queue="q", message=1)
    for site in ("cross-site", "same-site"):
        answer = synap.get("/queue/q/consume/c", headers={"Sec-Fetch-Site": site})
        assert answer.status_code == 403
    assert synap.head("/queue/q/consume/c").status_code == 403
    own = synap.get("/queue/q/consume/c", headers={"Sec-Fetch-Site": "same-origin"})
    assert own.json()["retry_count"] == 0


def test_without_being_asked_for_there_is_no_such_path(http_without: Wire) -> None:
    assert http_without.post("/api/v1/command", json={}).status_code == 404


@pytest.fixture
def http_without(app: "object") -> "object":
    running = Running(app)  # type: ignore[arg-type]
    with Wire(base_url=f"http://127.0.0.1:{running.port}") as client:
        yield client
    running.stop()
