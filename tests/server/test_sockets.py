"""WebSockets pass the same guard as requests."""

import asyncio
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from mainspring import Mainspring
from mainspring.server.backend.service import Service
from mainspring.server.entry.guard import Guard
from mainspring.server.permissions.callers import CALLER
from mainspring.server.terms import Terms
from tests.server.conftest import PROBLEM, Http, Running, until


async def asked(
    app: Mainspring, headers: dict[str, str], *, can_answer: bool = True
) -> tuple[list[Any], str | None]:
    """What a WebSocket is told, and the name of whoever asks if it gets behind the guard."""
    told: list[Any] = []
    caller: list[str] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        caller.append(scope[CALLER].name)
        await send({"type": "websocket.accept"})

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        told.append(message)

    scope = {
        "type": "websocket",
        "path": "/topics",
        "query_string": b"",
        "scheme": "ws",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "extensions": {"websocket.http.response": {}} if can_answer else {},
    }
    await Guard(inner, Service(app), Terms(), ())(scope, receive, send)
    return told, caller[0] if caller else None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "localhost", "Origin": "https://evil.example"}, 403),
        ({"Host": "localhost", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "localhost"}, 401),
        ({"Host": "localhost", "Authorization": "Bearer ms_wrong"}, 401),
    ],
)
def test_who_may_not_ask_gets_no_socket(
    app: Mainspring, headers: dict[str, str], status: int
) -> None:
    app.keys.create("n", ["read"])
    told, caller = asyncio.run(asked(app, headers))
    assert caller is None
    assert told[0]["type"] == "websocket.http.response.start"
    assert told[0]["status"] == status
    assert (b"cache-control", b"no-store") in told[0]["headers"]
    told, caller = asyncio.run(asked(app, headers, can_answer=False))
    assert caller is None
    assert [message["type"] for message in told] == ["websocket.close"]


def test_who_has_a_key_gets_to_the_route(app: Mainspring) -> None:
    key = app.keys.create("n", ["read"]).key
    headers = {"Host": "localhost", "Authorization": f"Bearer {key}"}
    told, caller = asyncio.run(asked(app, headers))
    assert caller == "n"
    assert [message["type"] for message in told] == ["websocket.accept"]


def test_a_socket_is_refused_as_all_else_is(server: Running, app: Mainspring) -> None:
    app.keys.create("n", ["read"])
    url = f"ws://127.0.0.1:{server.port}/topics/ws?topics=t"
    worker = {"Authorization": f"Bearer {app.keys.create('w', ['work']).key}"}
    for headers, status in (({}, 401), (worker, 403)):
        with pytest.raises(InvalidStatus) as refused:
            connect(url, proxy=None, additional_headers=headers)
        told = refused.value.response
        assert told.status_code == status
        assert told.headers["content-type"] == PROBLEM
        assert told.headers["x-content-type-options"] == "nosniff"
        assert told.headers["cache-control"] == "no-store"
        assert ("www-authenticate" in told.headers) == (status == 401)


def test_a_socket_hears_nothing_more_when_its_key_is_revoked(
    server: Running, http: Http, app: Mainspring
) -> None:
    boss, key = app.keys.create("boss", ["admin"]), app.keys.create("n", ["read"])
    headers = {"Authorization": f"Bearer {key.key}"}
    url = f"ws://127.0.0.1:{server.port}/topics/ws?topics=t"
    with connect(url, proxy=None, additional_headers=headers) as socket:
        assert '"connected"' in socket.recv(timeout=10)
        app.topics.publish("t", 1)
        assert '"body":1' in socket.recv(timeout=10)
        app.keys.revoke(key.id)
        until(lambda: http.get("/tasks", headers=headers).status_code == 401)
        http.headers["Authorization"] = f"Bearer {boss.key}"
        http.told(201, "POST", "/topics/t/publish", json={"body": 2})
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
