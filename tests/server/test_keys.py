"""Keys: who shows one that holds is let in, nobody else, on every server."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from msgspec import json

from mainspring import InvalidArguments, Mainspring, UnknownAccessKey
from mainspring.cells import OWN
from mainspring.keys import KEYS
from mainspring.server.terms import Terms
from tests.server.conftest import Http, Running, until

WRONG = f"ms_{'0' * 16}_{'A' * 43}"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def admin(app: Mainspring) -> str:
    return app.keys.create("boss", ["admin"]).key


def test_without_keys_nobody_needs_one(http: Http) -> None:
    http.told(200, "GET", "/tasks")
    http.told(200, "GET", "/tasks", headers=bearer(WRONG))


def test_from_the_first_key_on_everybody_needs_one(http: Http, app: Mainspring) -> None:
    http.told(200, "GET", "/tasks")
    made = http.told(201, "POST", "/keys", json={"name": "boss", "permissions": ["admin"]})
    until(lambda: http.get("/tasks").status_code == 401)
    told = http.get("/tasks")
    assert told.headers["www-authenticate"] == "Bearer"
    assert told.headers["cache-control"] == "no-store"
    http.told(200, "GET", "/tasks", headers=bearer(made["secret"]))
    http.told(200, "DELETE", f"/keys/{made['key']['id']}", headers=bearer(made["secret"]))
    until(lambda: http.get("/tasks", headers=bearer(made["secret"])).status_code == 401)
    http.told(401, "GET", "/tasks")


def test_only_what_tells_that_the_server_lives_needs_no_key(http: Http, admin: str) -> None:
    for path in ("/tasks", "/keys", "/nowhere", "/stats", "/ready/", "//ready"):
        http.told(401, "GET", path)
    assert http.get("/ready").json()["status"] == "healthy"
    assert http.get("/ready", headers=bearer(WRONG)).status_code == 200
    assert http.get("/health").json()["stats"] is None
    assert http.get("/health", headers=bearer(admin)).json()["stats"] is not None


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        "Bearer ms_",
        "Basic {key}",
        "{key}",
        f"Bearer {WRONG}",
        "Bearer {key}x",
        "Bearer x{key}",
        "Bearer {key} {key}",
    ],
)
def test_what_is_no_key_lets_nobody_in(http: Http, admin: str, given: str) -> None:
    told = http.told(401, "GET", "/tasks", headers={"Authorization": given.format(key=admin)})
    assert told["type"].endswith(":unauthorized")
    http.told(401, "GET", f"/tasks?key={admin}&access_token={admin}")


def test_every_character_of_a_key_counts(http: Http, admin: str) -> None:
    http.told(200, "GET", "/tasks", headers=bearer(admin))
    for at in (5, len(admin) // 2, len(admin) - 1):
        other = "b" if admin[at] == "a" else "a"
        http.told(401, "GET", "/tasks", headers=bearer(admin[:at] + other + admin[at + 1 :]))


def test_a_key_allows_what_it_was_made_for(http: Http, app: Mainspring) -> None:
    reader = bearer(app.keys.create("r", ["read"]).key)
    http.told(200, "GET", "/tasks", headers=reader)
    told = http.told(403, "POST", "/tasks", headers=reader, json={"type": "echo"})
    assert told["detail"] == "expected a key with enqueue, got one with read"
    http.told(403, "GET", "/keys", headers=reader)


def test_who_may_not_read_is_told_where_a_job_stands_and_not_what_is_in_it(
    http: Http, app: Mainspring
) -> None:
    shop, reader = (bearer(app.keys.create("k", [each]).key) for each in ("enqueue", "read"))
    theirs = app.enqueue("echo", "private", unique="u", label="private", delay="1h")
    wish = {"type": "echo", "payload": "own", "delay": "1h"}
    new = http.told(201, "POST", "/tasks", json=wish, headers=shop)
    same = http.told(200, "POST", "/tasks", json=wish | {"unique": "u"}, headers=shop)
    [one] = http.told(200, "POST", "/tasks", json=[wish | {"unique": "u"}], headers=shop)["tasks"]
    path = f"/tasks/{theirs.id}"
    said = {"reason": "private"}
    gone = http.told(200, "POST", f"{path}/cancel", json=said, headers=shop)
    assert one["id"] == same["task"]["id"] == str(theirs.id)
    assert gone["task"]["status"] == "cancelled"
    whole = http.told(200, "GET", path, headers=reader)["task"]
    assert whole["payload"] == "private"
    for told in (new["task"], same["task"], one, gone["task"]):
        assert told.keys() < whole.keys()
        assert "private" not in str(told)


def test_a_key_ends_when_it_was_to_end(http: Http, app: Mainspring) -> None:
    short = app.keys.create("short", ["read"], expires="1s")
    http.told(200, "GET", "/tasks", headers=bearer(short.key))
    until(lambda: http.get("/tasks", headers=bearer(short.key)).status_code == 401)
    detail = http.told(401, "GET", "/tasks", headers=bearer(short.key))["detail"]
    assert "it has expired" in detail


def test_a_revoked_key_lets_nobody_in_on_any_server(app: Mainspring, admin: str) -> None:
    servers = [Running(app), Running(app)]
    try:
        clients = [Http(base_url=f"http://127.0.0.1:{each.port}") for each in servers]
        for client in clients:
            client.told(200, "GET", "/tasks", headers=bearer(admin))
        app.keys.revoke(admin.split("_")[1])
        for client in clients:
            until(lambda c=client: c.get("/tasks", headers=bearer(admin)).status_code == 401, 5)
            assert "revoked" in client.told(401, "GET", "/tasks", headers=bearer(admin))["detail"]
            client.close()
    finally:
        for each in servers:
            each.stop()


def test_a_stream_ends_with_the_key_it_was_begun_by(http: Http, app: Mainspring) -> None:
    reader = app.keys.create("r", ["read"])
    job = app.enqueue("echo", delay="1h")
    path = f"/tasks/{job.id}/events"
    with http.stream("GET", path, headers=bearer(reader.key)) as stream:
        lines = stream.iter_lines()
        assert "event: state" in lines
        app.keys.revoke(reader.id)
        until(lambda: http.get("/tasks", headers=bearer(reader.key)).status_code == 401)
        job.cancel()
        assert "event: state" not in lines


def test_a_wait_ends_soon_after_the_key_it_was_begun_by(
    http: Http, app: Mainspring, server: Running, admin: str
) -> None:
    waiter = app.keys.create("w", ["read", "work"])
    job = app.enqueue("echo", delay="1h")
    asked: list[Any] = [
        ("GET", f"/tasks/{job.id}/wait?timeout=90", {}),
        ("POST", "/queues/mail/consume", {"json": {"timeout": 90}}),
    ]
    with ThreadPoolExecutor() as others:
        waits = [
            others.submit(http.told, 401, *what, headers=bearer(waiter.key), timeout=100, **more)
            for *what, more in asked
        ]
        until(lambda: server.service.waiters == len(asked))
        app.keys.revoke(waiter.id)
        for wait in waits:
            assert wait.result(30)["type"].endswith(":unauthorized")


def test_who_waits_for_a_message_takes_none_once_its_key_is_revoked(
    http: Http, app: Mainspring, admin: str
) -> None:
    worker = app.keys.create("w", ["work"])
    with ThreadPoolExecutor() as others:
        waiting = others.submit(
            http.told,
            401,
            "POST",
            "/queues/mail/consume",
            json={"timeout": 30},
            headers=bearer(worker.key),
        )
        until(lambda: app.keys.list()[0].used is not None)  # so it has been let in
        app.keys.revoke(worker.id)
        until(lambda: http.get("/tasks", headers=bearer(worker.key)).status_code == 401)
        app.queue("mail").publish("still there")
        waiting.result(20)
    message = app.queue("mail").consume(wait=5)
    assert message is not None
    assert (message.body, message.attempt) == ("still there", 1)


def test_when_a_key_was_used_is_kept(http: Http, app: Mainspring, admin: str) -> None:
    assert app.keys.list()[0].used is None
    http.told(200, "GET", "/tasks", headers=bearer(admin))
    until(lambda: app.keys.list()[0].used is not None)


def test_keys_are_made_listed_and_revoked(http: Http, app: Mainspring, admin: str) -> None:
    http.headers.update(bearer(admin))
    wish = {"name": "n", "permissions": ["work", "read"], "only": ["mail*"], "expires": "1d"}
    made = http.told(201, "POST", "/keys", json=wish)
    id = made["key"]["id"]
    assert made["secret"].startswith(f"ms_{id}_")
    assert made["key"]["permissions"] == ["read", "work"]
    assert made["key"]["expiresAt"] - made["key"]["createdAt"] == 86_400_000
    listed = http.told(200, "GET", "/keys")["keys"]
    assert [key["name"] for key in listed] == ["n", "boss"]
    assert made["secret"] not in str(listed)
    assert http.told(200, "DELETE", f"/keys/{id}")["key"]["revokedAt"]
    assert http.told(200, "DELETE", f"/keys/{id}")["key"]["revokedAt"]
    http.told(404, "DELETE", "/keys/0000000000000000")


@pytest.mark.parametrize(
    "wish",
    [
        {"name": "n"},
        {"name": "", "permissions": ["read"]},
        {"name": "n", "permissions": []},
        {"name": "n", "permissions": ["all"]},
        {"name": "n", "permissions": ["open"]},
        {"name": "n", "permissions": ["read"], "only": [""]},
        {"name": "n", "permissions": ["read"], "only": ["[a-z]"]},
        {"name": "n", "permissions": ["read"], "only": "mail"},
        {"name": "n", "permissions": ["read"], "expires": 0},
        {"name": "n", "permissions": ["read"], "id": "mine"},
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(http: Http, app: Mainspring, wish: Any) -> None:
    http.told(422, "POST", "/keys", json=wish)
    assert app.keys.list() == []


def test_a_key_for_some_names_makes_none_for_others(http: Http, app: Mainspring) -> None:
    http.headers.update(bearer(app.keys.create("n", ["admin"], only=["mail*"]).key))
    http.told(403, "POST", "/keys", json={"name": "all", "permissions": ["admin"]})
    http.told(403, "GET", "/keys")
    http.told(403, "DELETE", "/keys/0000000000000000")
    assert len(app.keys.list()) == 1


def test_the_store_keeps_nothing_by_which_one_could_get_in(app: Mainspring) -> None:
    made = app.keys.create("n", ["read"])
    [cell] = app.store.kv_scan(OWN)
    assert made.key.rpartition("_")[2].encode() not in cell.value
    assert cell.key == KEYS + made.id


def test_programs_see_no_keys_among_their_entries(app: Mainspring) -> None:
    made = app.keys.create("n", ["read"])
    app.kv.set("a", 1)
    assert [entry.key for entry in app.kv.scan()] == ["a"]
    verbs: tuple[Any, ...] = (app.kv.get, app.kv.delete, app.kv.touch, app.kv.entry)
    for verb in verbs:
        with pytest.raises(InvalidArguments, match="printable"):
            verb(KEYS + made.id)
    with pytest.raises(InvalidArguments, match="printable"):
        list(app.kv.scan(OWN))
    with pytest.raises(InvalidArguments, match="printable"):
        list(app.kv.scan(after=OWN))


def test_what_is_asked_of_keys_must_make_sense(app: Mainspring) -> None:
    with pytest.raises(UnknownAccessKey, match="no key has the id 'none'"):
        app.keys.revoke("none")
    with pytest.raises(InvalidArguments, match="permissions: expected some of read, enqueue"):
        app.keys.create("n", ["everything"])
    with pytest.raises(InvalidArguments, match="permissions: expected a list"):
        app.keys.create("n", "read")


@pytest.fixture
def strict(app: Mainspring) -> Iterator[Http]:
    running = Running(app, Terms(keys=True))
    with Http(base_url=f"http://127.0.0.1:{running.port}") as client:
        yield client
    running.stop()


def test_where_keys_are_always_needed_there_need_not_be_one(strict: Http) -> None:
    strict.told(401, "GET", "/tasks")
    assert json.decode(strict.get("/ready").content)["status"] == "healthy"
