"""WebSockets pass the same guard as requests."""

import asyncio
from typing import Any

import pytest

from mainspring import Mainspring
from mainspring.server.callers import CALLER
from mainspring.server.guard import Guard
from mainspring.server.service import Service
from mainspring.server.terms import Terms


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
