"""What a page of another site can do through a browser: nothing."""

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from mainspring import InvalidArguments, Mainspring
from tests.server.conftest import PROBLEM, Http, Running
from tests.server.hostile import CHUNKED, CHUNKS, SOCKET, TALK, get, post

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:8700", "localhost.", "127.0.0.1", "127.9.9.9:1", "[::1]:8700"),
    ],
)
def test_a_request_that_names_this_machine_is_let_in(http: Http, host: str) -> None:
    assert http.get("/ready", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8700", "localhost.evil.example", "127.0.0.1.evil.example"),
        *("192.168.0.1", "10.0.0.1", "[::2]", "localhost:evil", "localhost@evil.example", "user"),
    ],
)
def test_a_name_that_was_made_to_lead_here_is_not(http: Http, host: str) -> None:
    for path in ("/ready", "/tasks", "/nowhere"):
        assert http.told(421, "GET", path.replace("/ready", "/stats"), headers={"Host": host})


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", ""])
def test_another_origin_gets_nothing(http: Http, app: Mainspring, origin: str) -> None:
    wish = {"type": "echo"}
    told = http.told(403, "POST", "/tasks", json=wish, headers={"Origin": origin})
    assert told["type"].endswith(":foreign-origin")
    http.told(403, "GET", "/tasks", headers={"Origin": origin})
    headers = {"Sec-Fetch-Site": "cross-site"}
    http.told(403, "POST", "/tasks", json=wish, headers=headers)
    assert app.find() == []


def test_a_page_of_this_very_origin_is_let_in(http: Http) -> None:
    headers = {"Origin": str(http.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    http.told(201, "POST", "/tasks", json={"type": "echo"}, headers=headers)


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (200, get()),
        (200, get(line=b"HEAD /queues HTTP/1.1")),
        (503, get(line=b"GET /health HTTP/1.0")),
        (200, get(line=b"GET /docs HTTP/1.1")),
        (200, get(line=b"GET /topics/subscribe?topics=t HTTP/1.1")),
        (201, post(CHUNKED, CHUNKS)),
        (400, b"\0\r\n\r\n"),
        (400, b"GET /queues HTTP/1.1\r\n\r\n"),
        (400, post(b"Content-Length: 1\r\n", b"{")),
        (403, get(b"Origin: https://evil.example\r\n")),
        (404, get(line=b"GET /nowhere HTTP/1.1")),
        (404, get(line=b"HEAD /nowhere HTTP/1.1")),
        (404, get(SOCKET, b"GET /nowhere HTTP/1.1")),
        (405, get(line=b"PUT /tasks HTTP/1.1")),
        (408, post(b"Content-Length: 9\r\n", b"{")),
        (413, post(b"Content-Length: 100000000\r\n", b"{")),
        (414, get(line=b"GET /tasks?tag=" + b"t" * 8_000 + b" HTTP/1.1")),
        (415, get(b"Content-Length: 0\r\n", b"POST /tasks HTTP/1.1")),
        (421, get().replace(b"localhost", b"evil.example")),
        (422, get(line=b"GET /tasks?limit=0 HTTP/1.1")),
        (426, get(SOCKET.replace(b"Key", b"No"), TALK)),
        (426, get(SOCKET.replace(b"13", b"7"), TALK)),
        (403, get(SOCKET + b"Origin: https://evil.example\r\n", TALK)),
        (101, get(SOCKET, TALK)),
        (431, get(b"X: x\r\n" * 101)),
        (431, get(b"X: " + b"x" * 33_000 + b"\r\n")),
    ],
)
def test_every_answer_tells_browsers_to_be_careful(
    server: Running, monkeypatch: pytest.MonkeyPatch, status: int, asked: bytes
) -> None:
    monkeypatch.setattr("mainspring.server.forms.asked.SLOWEST_BODY", 0.05)
    with socket.create_connection(("127.0.0.1", server.port), 20) as client:
        client.sendall(asked)
        answer = b""
        while b"\r\n\r\n" not in answer:
            data = client.recv(65536)
            assert data
            answer += data
    first, *lines = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert int(first.split()[1]) == status
    headers = httpx.Headers(dict(line.split(": ", 1) for line in lines))
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; frame-ancestors 'none'")
    assert policy.partition("frame-ancestors 'none'")[2] == "" or b"/docs" in asked
    assert not {"access-control-allow-origin", "server", "set-cookie"} & headers.keys()
    if status >= 400 and b"/health" not in asked:
        assert headers["content-type"] == PROBLEM


def test_mounted_it_answers_for_the_hosts_it_is_told(app: Mainspring) -> None:
    shop = Starlette(routes=[Mount("/queue", app=app.asgi(hosts=["shop.example"]))])
    answers = {}

    async def ask() -> None:
        transport = httpx.ASGITransport(app=shop)
        for host in ("shop.example", "evil.example"):
            async with httpx.AsyncClient(transport=transport, base_url=f"https://{host}") as client:
                answers[host] = await client.post("/queue/tasks", json={"type": "echo"})
                missing = await client.get("/queue/nowhere")
                assert missing.status_code in (404, 421)

    asyncio.run(ask())
    assert answers["shop.example"].status_code == 201
    assert answers["shop.example"].headers["location"].startswith("/queue/tasks/")
    assert answers["evil.example"].status_code == 421
    with pytest.raises(InvalidArguments, match="hosts: expected"):
        app.asgi(hosts=[""])
    with pytest.raises(InvalidArguments, match="hosts: expected a list"):
        app.asgi(hosts="shop.example")


def test_without_its_extra_the_server_says_what_to_install() -> None:
    code = """
import sys
sys.modules["starlette"] = None
from mainspring import ConfigError, Mainspring
from mainspring.cli import run
try:
    Mainspring("sqlite://:memory:").asgi()
except ConfigError as error:
    print(error)
print(run(["serve"]))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "pip install 'mainspring[server]'" in done.stdout
    assert done.stdout.endswith("78\n")
