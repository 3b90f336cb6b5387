"""No request hides in another: what a proxy lets through is read here as the proxy reads it."""

import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from mainspring import Mainspring, Tasks
from mainspring.server.connection import protocol
from mainspring.server.forms import asked
from tests.server.conftest import Running
from tests.server.hostile import CANARY, CORPUS, LAST, Hostile, get
from tests.servers import proxies

Address = str | tuple[str, int]

by_name = pytest.mark.parametrize("hostile", CORPUS, ids=[each.name for each in CORPUS])


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mainspring]:
    path = tmp_path_factory.mktemp("smuggling") / "jobs.db"
    with Mainspring(f"sqlite:///{path}", Tasks()) as app:
        yield app


@pytest.fixture(scope="module")
def server(app: Mainspring) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "SLOWEST_HEADERS", 1.0)
        patch.setattr(asked, "SLOWEST_BODY", 0.2)
        running = Running(app)
        yield running
        running.stop()


@pytest.fixture(scope="module", params=["haproxy", "nginx"])
def proxy(request: pytest.FixtureRequest, server: Running) -> Iterator[str]:
    run = {"haproxy": proxies.haproxy, "nginx": proxies.nginx}[request.param]
    with run(server.port) as path:
        yield str(path)


def all_of(address: Address, raw: bytes) -> bytes:
    """Whatever comes back for these bytes, until the other side hangs up."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    answer = b""
    with socket.socket(family) as client:
        client.settimeout(20)
        client.connect(address)
        try:
            client.sendall(raw)
            while data := client.recv(65536):
                answer += data
        except ConnectionError:
            pass  # it hung up on what it had not read; what it had said before counts
    return answer


def statuses(answer: bytes, *, to_head: bool = False) -> list[int]:
    """Of each answer in turn. One without a head, as HTTP/0.9 had it, is 0."""
    found: list[int] = []
    while answer:
        if not answer.startswith(b"HTTP/1."):
            return [*found, 0]
        head, _, answer = answer.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        status = int(first.split()[1])
        if status < 200:
            continue
        named = dict(line.lower().split(b": ", 1) for line in lines)
        assert (b"transfer-encoding" in named) + (b"content-length" in named) == 1
        if b"content-length" not in named:
            _, answer = answer.split(b"0\r\n\r\n", 1)
        elif found or not to_head:
            answer = answer[int(named[b"content-length"]) :]
        found.append(status)
    return found


def no_harm_came_of_it(address: Address, app: Mainspring) -> None:
    """The next one's answer is its own, and what was hidden was never done."""
    id = str(uuid4()).encode()
    assert id in all_of(address, get(b"Connection: close\r\n", b"GET /tasks/%b HTTP/1.1" % id))
    assert "canary" not in app.store.counts()


def test_a_canary_that_gets_through_is_seen(tmp_path: Path) -> None:
    with Mainspring(f"sqlite:///{tmp_path}/jobs.db", Tasks()) as app:
        server = Running(app)
        assert statuses(all_of(("127.0.0.1", server.port), CANARY + LAST)) == [200, 404]
        assert "canary" in app.store.counts()
        server.stop()


@by_name
def test_what_could_be_read_in_two_ways_is_refused(
    server: Running, app: Mainspring, hostile: Hostile
) -> None:
    address = ("127.0.0.1", server.port)
    answer = all_of(address, hostile.raw + LAST)
    assert statuses(answer, to_head=hostile.raw.startswith(b"HEAD")) == hostile.statuses, answer
    no_harm_came_of_it(address, app)


@by_name
def test_a_proxy_and_the_server_see_the_same_requests(
    proxy: str, app: Mainspring, hostile: Hostile
) -> None:
    answer = all_of(proxy, hostile.raw + LAST)
    count = len(statuses(answer, to_head=hostile.raw.startswith(b"HEAD")))
    assert count <= hostile.requests + hostile.raw.count(CANARY) + 1, answer
    no_harm_came_of_it(proxy, app)
