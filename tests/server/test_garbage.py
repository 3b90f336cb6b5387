"""Whatever comes is answered, as a problem that says what was expected, and does no harm."""

import asyncio
import contextlib
from uuid import uuid4

import pytest

from mainspring.server.connection import protocol
from mainspring.server.forms import asked
from mainspring.server.forms.asked import LARGEST_BODY
from tests.server.conftest import PROBLEM, Http, Running, asked_of

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def server(lasting: Running) -> Running:
    return lasting


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b""),
        (400, b"{"),
        (400, b"\xff\xfe"),
        (400, b"[" * 100_000),
        (400, b'{"type":"x","payload":' + b"[" * 65 + b"]" * 65 + b"}"),
        (400, b"[" + b"[]," * 250_000 + b"[]]"),
        (400, b'{"type":"x","payload":NaN}'),
        (422, b'{"type":"x","payload":1e999}'),
        (400, b'{"type":"x","payload":"\\ud800"}'),
        (400, b'{"type":"x","payload":"\xff"}'),
        (422, b"null"),
        (422, b"7"),
        (422, b"[]"),
        (422, b"[7]"),
        (422, b"{}"),
        (422, b'{"type":""}'),
        (422, b'{"type":"a\\u0000b"}'),
        (422, b'{"type":"x","typo":1}'),
        (422, b'{"type":"x","state":"completed"}'),
        (422, b'{"type":"x","priority":101}'),
        (422, b'{"type":"x","priority":"high"}'),
        (422, b'{"type":"x","priority":1e18}'),
        (422, b'{"type":"x","delay":-1}'),
        (422, b'{"type":"x","delay":1e300}'),
        (422, b'{"type":"x","delay":"soon"}'),
        (422, b'{"type":"x","timeout":0}'),
        (422, b'{"type":"x","maxAttempts":0}'),
        (422, b'{"type":"x","maxAttempts":3,"maxRetries":2}'),
        (422, b'{"type":"x","retryBackoff":"magic"}'),
        (422, b'{"type":"x","runAt":"2026-01-01T00:00:00"}'),
        (422, b'{"type":"x","id":"7"}'),
        (422, b'{"type":"x","dependsOn":["7"]}'),
        (422, b'{"type":"x","headers":{"a":1}}'),
        (422, b'{"type":"x","queue":"' + b"q" * 256 + b'"}'),
        (422, b"[" + b'{"type":"x"},' * 1000 + b'{"type":"x"}]'),
        (413, b'{"type":"x","payload":"' + b"p" * 1_000_001 + b'"}'),
        (413, b'{"type":"x","payload":"' + b"p" * LARGEST_BODY + b'"}'),
    ],
)
def test_a_body_that_is_no_job_is_refused(http: Http, status: int, body: bytes) -> None:
    told = http.told(status, "POST", "/tasks", content=body, headers=JSON)
    assert told["status"] == status
    assert told["detail"]
    assert http.told(200, "GET", "/tasks")["tasks"] == []


def test_a_body_of_unknown_length_is_measured_as_it_comes(http: Http) -> None:
    chunks = [b'{"type":"x","payload":"', *[b"p" * 100_000] * 90]
    http.told(413, "POST", "/tasks", content=iter(chunks), headers=JSON)
    whole = iter([b'{"type":', b'"x"}'])
    http.told(201, "POST", "/tasks", content=whole, headers=JSON)
    http.told(200, "POST", "/queues/default/purge")


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_must_say_that_it_is_json(http: Http, kind: str) -> None:
    http.told(415, "POST", "/tasks", content=b'{"type":"x"}', headers={"Content-Type": kind})


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=201", "limit=-1", "limit=NaN", "limit=1000000000000000000", "limit="),
        *("after=0", "after=-1", f"after={2**63}", "after=x", "limit=1&limit=2", "status=done"),
        *("typo=1", "offset=0", "queue=", "queue=%00", "type=%F0%28", "tag=" + "t" * 256),
    ],
)
def test_a_query_that_does_not_fit_is_refused(http: Http, query: str) -> None:
    if query == "type=%F0%28":  # not UTF-8: a name nobody has
        assert http.told(200, "GET", f"/tasks?{query}")["tasks"] == []
    else:
        assert http.told(422, "GET", f"/tasks?{query}")["detail"]


@pytest.mark.parametrize("timeout", ["-1", "NaN", "inf", "301", "1e18", "soon", ""])
def test_a_wait_has_bounds(http: Http, timeout: str) -> None:
    http.told(422, "GET", f"/tasks/{uuid4()}/wait?timeout={timeout}")


@pytest.mark.parametrize("id", ["7", "nope", "'; --", "%00", "..", "{}", "x" * 1000])
def test_what_cannot_be_an_id_is_none_that_is_known(http: Http, id: str) -> None:
    http.told(404, "GET", f"/tasks/{id}/wait")
    http.told(404, "DELETE", f"/tasks/{id}")
    http.told(404, "POST", f"/tasks/{id}/cancel")


def test_a_path_that_is_not_there_and_a_method_that_is_not_taken(http: Http) -> None:
    http.told(404, "GET", "/nowhere")
    http.told(404, "GET", "/tasks/")
    answer = http.put("/tasks")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


def test_headers_and_addresses_have_bounds(http: Http) -> None:
    assert http.get("/tasks", headers={"x-long": "x" * 33_000}).status_code == 431
    assert http.get("/tasks", headers={f"x-{n}": "1" for n in range(101)}).status_code == 431
    assert http.get("/tasks?tag=" + "t" * 8_000).status_code == 414


def test_headers_without_end_are_cut_off(server: Running) -> None:
    endless = b"GET /tasks HTTP/1.1\r\nHost: localhost\r\n" + b"x-more: and more\r\n" * 100_000

    async def cut_off() -> None:
        with contextlib.suppress(ConnectionError):
            assert await asked_of(server.port, endless) == b""

    asyncio.run(cut_off())


@pytest.mark.parametrize("begun", [b"", b"GET /tasks HTTP/1.1\r\nHost: local"])
def test_who_does_not_come_to_the_end_of_the_headers_is_hung_up_on(
    server: Running, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(protocol, "SLOWEST_HEADERS", 0.05)
    assert asyncio.run(asked_of(server.port, begun)) == b""


def test_a_body_that_does_not_come_is_not_waited_for(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked, "SLOWEST_BODY", 0.05)
    head = b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = head + b"Content-Length: 9\r\n\r\n{"
    assert asyncio.run(asked_of(server.port, request)).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "request_",
    [
        b"\r\n\r\n\x00\x01",
        b"GET\r\n\r\n",
        b"GET /tasks HTTP/9.9\r\n\r\n",
        b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"POST /tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_hung_up_on(server: Running, request_: bytes) -> None:
    answer = asyncio.run(asked_of(server.port, request_))
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_whatever_is_refused_the_answer_is_a_problem(http: Http) -> None:
    for answer in (http.get("/nowhere"), http.put("/tasks"), http.get("/tasks?limit=0")):
        assert answer.headers["content-type"] == PROBLEM
        told = answer.json()
        assert told.keys() >= {"type", "title", "status", "detail"}
        assert told["status"] == answer.status_code
