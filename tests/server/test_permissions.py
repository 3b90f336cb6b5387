"""Who may do what: every route, with every kind of key, as `routes.txt` beside this file says."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from starlette.routing import Route, WebSocketRoute

from mainspring import Mainspring, Tasks
from mainspring.durations import HOUR
from mainspring.keys import GIVEN, Permission
from mainspring.server.application import routes_over
from mainspring.server.backend.service import Service
from mainspring.server.entry.paths import Operations, Socket
from mainspring.server.forms.wishes import ids
from mainspring.store import Presence
from tests.server.conftest import Http, Running

TABLE = Path(__file__).with_name("routes.txt")
THEIRS, WORKER = "theirs", "their-worker"


class Line(NamedTuple):
    """What is expected of a method of a path."""

    method: str
    path: str
    permission: Permission
    other: str


def expected() -> list[Line]:
    lines = [line.split(maxsplit=3) for line in TABLE.read_text().splitlines()[1:]]
    return [Line(method, path, Permission(word), other) for method, path, word, other in lines]


LINES = expected()
ASKED = [line for line in LINES if line.method != "SOCKET"]
NAMES = [f"{line.method} {line.path}" for line in ASKED]

HELD = {"receipt": "1-0000000000000001"}

BODIES: dict[str, Any] = {
    "POST /tasks": {"type": "echo", "queue": THEIRS},
    "PATCH /queues/{name}": {"aging": "1m"},
    "POST /queues/{name}/publish": {"body": 1},
    **{f"POST /queues/{{name}}/{verb}": HELD for verb in ("ack", "nack", "release")},
    "POST /queues/{name}/extend": HELD | {"ackDeadline": 1},
    "POST /workers/{id}/scale": {"least": 1},
    "POST /keys": {"name": "n", "permissions": ["read"]},
    "POST /kv/get": {"keys": [THEIRS]},
    "POST /kv/set": {"values": {THEIRS: 1}},
    "POST /kv/delete": {"keys": [THEIRS]},
    "PUT /kv/{key:path}": {"value": 1},
}


class Place:
    """A server, with keys of all kinds, and with something of somebody else's."""

    def __init__(self, app: Mainspring) -> None:
        self.app = app
        self.keys = {each: app.keys.create(each, [each]).key for each in GIVEN}
        everything = [str(each) for each in GIVEN]
        self.narrow = app.keys.create("narrow", everything, only=["mine", "mine-*"]).key
        self.spare = app.keys.create("spare", ["read"]).id
        gone = app.keys.create("gone", everything)
        app.keys.revoke(gone.id)
        short = app.keys.create("short", everything, expires="1us")
        wrong = f"{gone.key[:-43]}{self.narrow[-43:]}"
        unknown = f"ms_{'0' * 16}_{'A' * 43}"
        self.refused = [gone.key, short.key, wrong, unknown, "ms_", ""]
        app.configure(THEIRS, aging="1m")
        worker = Presence(
            id=WORKER, host="h", pid=1, started=1, state="running", queues=(THEIRS,), slots=1
        )
        app.store.heartbeat(worker, [], HOUR)

    def ask(self, http: Http, line: Line, key: str | None) -> tuple[int, bytes]:
        """The status, and the first that is said of an answer."""
        job = self.app.enqueue("echo", queue=THEIRS, delay="1h")
        job.cancel()
        self.app.kv.set(THEIRS, 1)
        ids = {"/tasks": str(job.id), "/workers": WORKER, "/keys": self.spare}
        path = re.sub(r"\{(name|key:path)\}", THEIRS, line.path)
        path = re.sub(r"^(/\w+)/\{id\}", lambda found: f"{found[1]}/{ids[found[1]]}", path)
        body = BODIES.get(f"{line.method} {line.path}", {})
        headers = {} if key is None else {"Authorization": f"Bearer {key}".strip()}
        sent = {} if line.method in ("GET", "DELETE") else {"json": body}
        with http.stream(line.method, path, headers=headers, **sent) as answer:
            # What goes on and on is not awaited.
            return answer.status_code, answer.read() if "content-length" in answer.headers else b""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Http]]:
    tasks = Tasks()
    with Mainspring(f"sqlite:///{tmp_path_factory.mktemp('matrix')}/jobs.db", tasks) as app:
        place = Place(app)
        running = Running(app)
        client = Http(base_url=f"http://127.0.0.1:{running.port}", timeout=30)
        with client:
            yield place, client
        running.stop()


def test_the_table_names_all_that_can_be_asked(app: Mainspring) -> None:
    found = set()
    for route in routes_over(Service(app)):
        if isinstance(route, WebSocketRoute):
            assert isinstance(route.app, Socket), f"{route.path} declares nothing"
            found.add(("SOCKET", route.path, route.app.permission))
            continue
        assert isinstance(route, Route), f"{route} declares nothing"
        assert isinstance(route.app, Operations), f"{route.path} declares nothing"
        assert route.methods == route.app.by_method.keys()
        for method, operation in route.app.by_method.items():
            if method != "HEAD":
                found.add((method, route.path, operation.permission))
    assert found == {line[:3] for line in LINES}


@pytest.mark.parametrize("line", ASKED, ids=NAMES)
def test_without_a_key_that_holds_there_is_nothing(place: tuple[Place, Http], line: Line) -> None:
    here, http = place
    for key in (None, *here.refused):
        status, _ = here.ask(http, line, key)
        if line.permission is Permission.OPEN:
            assert status == 200
        else:
            assert status == 401, key


@pytest.mark.parametrize("line", ASKED, ids=NAMES)
def test_a_key_opens_what_it_is_for_and_nothing_else(place: tuple[Place, Http], line: Line) -> None:
    here, http = place
    for permission, key in here.keys.items():
        status, body = here.ask(http, line, key)
        open_to_it = (line.permission, Permission.ADMIN)
        if permission in open_to_it or line.permission in (Permission.OPEN, Permission.ANY):
            assert status not in (401, 403), body
            assert status < 500, body
        else:
            assert status == 403, permission


@pytest.mark.parametrize("line", ASKED, ids=NAMES)
def test_of_what_is_anothers_nothing_is_told_or_done(place: tuple[Place, Http], line: Line) -> None:
    here, http = place
    before = here.app.queues()
    status, body = here.ask(http, line, here.narrow)
    if line.other.isdecimal():
        assert status == int(line.other), body
    elif line.other == "left out":
        assert status == 200
        assert THEIRS.encode() not in body
    assert here.app.kv.get(THEIRS) == 1
    assert here.app.queues() == before


def test_ids_of_jobs_that_are_anothers_are_as_if_there_were_none(
    place: tuple[Place, Http],
) -> None:
    here, http = place
    http.headers["Authorization"] = f"Bearer {here.narrow}"
    theirs = here.app.enqueue("echo", queue=THEIRS, delay="1h", unique="u")
    wish = {"type": "echo", "queue": "mine", "delay": "1h"}
    told = http.told(422, "POST", "/tasks", json=wish | {"dependsOn": [str(theirs.id)]})
    nowhere = "00000000-0000-7000-8000-000000000000"
    none = http.told(422, "POST", "/tasks", json=wish | {"dependsOn": [nowhere]})
    assert told["type"] == none["type"]
    assert told["detail"].replace(str(theirs.id), nowhere) == none["detail"]
    mine = http.told(201, "POST", "/tasks", json=wish)["task"]
    http.told(201, "POST", "/tasks", json=wish | {"dependsOn": [mine["id"]]})
    for how in ("return", "error"):
        told = http.told(409, "POST", "/tasks", json=wish | {"unique": "u", "onDuplicate": how})
        assert str(theirs.id) not in str(told)
    http.told(403, "POST", "/tasks", json=wish | {"unique": "u", "onDuplicate": "replace"})
    ids = {"ids": [str(theirs.id)]}
    http.told(200, "POST", "/queues/mine/dead-letters/purge", json=ids)
    assert theirs.refresh().state == "scheduled"
    listed = http.told(200, "GET", "/tasks")["tasks"]
    assert {task["queue"] for task in listed} == {"mine"}
    assert http.told(200, "GET", f"/tasks?queue={THEIRS}")["tasks"] == []
    assert list(http.told(200, "GET", "/stats")["stats"]["queues"]) == ["mine"]
    del http.headers["Authorization"]


def test_idempotency_keys_of_callers_for_other_names_do_not_meet(
    place: tuple[Place, Http],
) -> None:
    here, http = place
    other = here.app.keys.create("other", ["enqueue"], only=["other"]).key
    again = here.app.keys.create("again", ["enqueue"], only=["mine-*", "mine"]).key
    got = []
    for key, queue, status in (
        (here.narrow, "mine", 201),
        (other, "other", 201),
        (again, "mine", 200),
    ):
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "7"}
        wish = {"type": "echo", "queue": queue}
        got.append(http.told(status, "POST", "/tasks", json=wish, headers=headers)["task"]["id"])
    assert got[0] == got[2] != got[1]


def test_an_id_of_an_idempotency_key_is_not_to_be_taken_before_it_is_used(
    place: tuple[Place, Http],
) -> None:
    here, http = place
    [id] = ids("order-7", 1)
    narrow = {"Authorization": f"Bearer {here.narrow}"}
    for path, wish in (
        ("/tasks", {"type": "echo", "queue": "mine"}),
        ("/queues/mine/publish", {"body": 1}),
    ):
        told = http.told(422, "POST", path, json=wish | {"id": str(id)}, headers=narrow)
        assert "id: expected none of version 8" in told["detail"]
        own = str(uuid4())
        http.told(201, "POST", path, json=wish | {"id": own}, headers=narrow)
        again = narrow | {"Idempotency-Key": path}
        http.told(201, "POST", path, json=wish, headers=again)
        http.told(200, "POST", path, json=wish, headers=again)
    wide = {"Authorization": f"Bearer {here.keys['enqueue']}", "Idempotency-Key": "order-7"}
    http.told(201, "POST", "/tasks", json={"type": "echo"}, headers=wide)


def test_a_unique_key_that_another_holds_keeps_back_one_job_and_it_is_said_of_the_others(
    place: tuple[Place, Http],
) -> None:
    here, http = place
    here.app.enqueue("echo", queue=THEIRS, unique="one")
    narrow = {"Authorization": f"Bearer {here.narrow}"}
    held = {"type": "echo", "queue": "mine", "unique": "one"}
    told = http.told(409, "POST", "/tasks", json=held, headers=narrow)
    assert told["detail"] == "a unique key is held by another job"
    wishes = [held, {"type": "echo", "queue": "mine", "tags": ["beside"]}]
    told = http.told(409, "POST", "/tasks", json=wishes, headers=narrow)
    assert told["detail"].endswith("; the other jobs of the same request were stored")
    found = http.told(200, "GET", "/tasks?queue=mine&tag=beside", headers=narrow)
    assert len(found["tasks"]) == 1
