"""Who is slow, stalls or goes away costs a bounded amount, for a bounded time, and nobody else."""

import logging
import resource
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from uuid import UUID

import pytest

from mainspring import Mainspring
from mainspring.server import serve
from mainspring.server.connection import protocol, together
from mainspring.server.forms import asked
from mainspring.server.routes import events
from mainspring.server.terms import Terms
from tests.crash.network import network
from tests.server.conftest import Http, Running, until
from tests.server.hostile import CHUNKED, HOST, JOB, get, post

AT_ONCE = struct.pack("ii", 1, 0)
"""To linger so long: a socket that is closed resets its connection."""

CROWD = 2000


@contextmanager
def connected(server: Running, sent: bytes = b"") -> Iterator[socket.socket]:
    """A client that has room for little, after it sent that."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect(("127.0.0.1", server.port))
        client.sendall(sent)
        yield client


def rest(client: socket.socket) -> bytes:
    """All that comes until the server hangs up, also on what it had not read."""
    answer = b""
    with suppress(ConnectionError):
        while data := client.recv(65536):
            answer += data
    return answer


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    client.close()


def waiting(app: Mainspring, payload: object = None) -> str:
    """A job that nobody runs."""
    return str(app.enqueue("echo", payload, delay="1h").id)


def asking(path: str, headers: bytes = b"") -> bytes:
    return get(headers, f"GET {path} HTTP/1.1".encode())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "SLOWEST_READER", 0.2)
    monkeypatch.setattr(protocol, "SLOWEST_HEADERS", 0.2)
    monkeypatch.setattr(asked, "SLOWEST_BODY", 0.2)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("headers", [b"", b"Connection: close\r\n"])
@pytest.mark.parametrize("path", ["/tasks", "/tasks/{id}/events"])
def test_who_does_not_read_its_answer_is_hung_up_on(
    server: Running, app: Mainspring, path: str, headers: bytes
) -> None:
    server.little_is_kept_on_the_way()
    calm = server.coroutines()
    id = waiting(app, "p" * 500_000)
    with connected(server, asking(path.format(id=id), headers)) as client:
        until(lambda: server.connections() == 1)
        until(lambda: server.connections() == 0)
        # Nor does the kernel keep for it what it did not take.
        end = select.poll()
        end.register(client, 0)
        assert end.poll(20_000)
    until(lambda: server.coroutines() <= calm)


@pytest.mark.usefixtures("impatient")
def test_who_reads_one_byte_now_and_then_is_hung_up_on(server: Running, app: Mainspring) -> None:
    server.little_is_kept_on_the_way()
    waiting(app, "p" * 500_000)
    with connected(server, asking("/tasks")) as client, suppress(ConnectionError):
        while server.connections() and client.recv(1):
            time.sleep(0.01)
    until(lambda: server.connections() == 0)


def test_a_page_ends_before_it_is_too_large_and_says_where_the_next_begins(
    http: Http, app: Mainspring
) -> None:
    made = [waiting(app, "p" * 900_000) for _ in range(30)]
    shown: list[str] = []
    after = 2**63 - 1
    while after:
        page = http.told(200, "GET", f"/tasks?limit=200&after={after}")
        assert 0 < len(page["tasks"]) < 10
        shown += [each["id"] for each in page["tasks"]]
        after = page["next"]
    assert shown == made[::-1]


def test_who_reads_slowly_but_steadily_gets_it_all(
    server: Running, app: Mainspring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "SLOWEST_READER", 0.3)
    server.little_is_kept_on_the_way()
    waiting(app, "p" * 900_000)
    answer = b""
    with connected(server, asking("/tasks", b"Connection: close\r\n")) as client:
        while data := client.recv(100_000):
            answer += data
            if len(answer) < 800_000:
                time.sleep(0.0002 * len(data) / 100)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-length: %d\r\n" % len(body) in head


def test_who_sends_slowly_but_steadily_is_answered(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked, "SLOWEST_BODY", 0.3)
    body = b'{"type":"echo","payload":"%b"}' % (b"p" * 300_000)
    head = post(b"Connection: close\r\nContent-Length: %d\r\n" % len(body), b"")
    with connected(server, head) as client:
        for at in range(0, len(body), 10_000):
            client.sendall(body[at : at + 10_000])
            time.sleep(0.02)
        assert rest(client).startswith(b"HTTP/1.1 201 ")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("sent", "dribbled"),
    [
        (b"GET /queues HTTP/1.1\r\n" + HOST, b"X: y\r\n"),
        (asking("/ready", b"Content-Length: 1000000\r\n"), b"x"),
        (asking("/queues", CHUNKED), b"1\r\nx\r\n"),
        (asking("/queues", CHUNKED) + b"0\r\n", b"X: y\r\n"),
        (asking("/queues"), b"\r\n"),
        (post(b"Content-Length: 1000000\r\n", b""), b" "),
        (post(CHUNKED, b""), b"1\r\n \r\n"),
    ],
    ids=["head", "body", "chunks", "trailers", "empty lines", "job", "job in chunks"],
)
def test_who_sends_a_little_now_and_then_is_hung_up_on(
    server: Running, sent: bytes, dribbled: bytes
) -> None:
    with connected(server, sent) as client:
        until(lambda: server.connections() == 1)
        with suppress(ConnectionError):
            while server.connections():
                client.sendall(dribbled)
                time.sleep(0.01)
        until(lambda: server.connections() == 0)


@pytest.mark.usefixtures("impatient")
def test_who_ends_its_body_after_the_answer_is_not_kept_for_ever(server: Running) -> None:
    with connected(server, asking("/ready", b"Content-Length: 3\r\n")) as client:
        assert client.recv(1)
        client.sendall(b"abc")
        assert rest(client).count(b"HTTP/1.1") == 0


def test_what_is_asked_ahead_of_answers_has_a_bound(server: Running, app: Mainspring) -> None:
    calm = server.coroutines()
    ahead = asking(f"/tasks/{waiting(app)}/wait") + asking("/ready") * 5_000
    with connected(server, ahead) as client:
        assert rest(client) == b""
    until(lambda: server.coroutines() <= calm)


@pytest.mark.parametrize("behind", [b"", asking("/ready"), post(CHUNKED, b"5\r\n")])
@pytest.mark.parametrize("path", ["/tasks/{id}/wait?timeout=300", "/tasks/{id}/events"])
def test_nobody_waits_for_who_went_away(
    server: Running, app: Mainspring, path: str, behind: bytes
) -> None:
    calm = server.coroutines()
    with connected(server, asking(path.format(id=waiting(app))) + behind):
        until(lambda: server.coroutines() > calm)
    until(lambda: server.coroutines() <= calm)
    assert server.connections() == 0


def test_garbage_behind_a_request_is_not_answered_in_the_midst_of_its_answer(
    server: Running, app: Mainspring
) -> None:
    with connected(server, asking(f"/tasks/{waiting(app)}/events")) as client:
        begun = client.recv(65536)
        client.sendall(b"\0\0\0\0")
        assert (begun + rest(client)).count(b"HTTP/1.1") == 1


def test_a_client_whose_cable_was_pulled_is_not_kept(
    app: Mainspring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "GONE", 1)
    monkeypatch.setattr(events, "SILENCE", 0.05)
    job = app.enqueue("never", {})
    with network("far") as net:
        running = Running(app, host=net.here)
        url = f"http://{net.here}:{running.port}/tasks/{job.id}/events"
        read = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1]).read()"
        with subprocess.Popen([*net.within("far"), sys.executable, "-c", read, url]) as client:
            until(lambda: running.service.waiters == 1)
            net.cut("far")
            until(lambda: running.connections() == 0)
            client.kill()
        running.stop()


def test_who_resets_its_connection_at_any_stage_leaves_nothing_behind(
    server: Running, http: Http, app: Mainspring, caplog: pytest.LogCaptureFixture
) -> None:
    server.little_is_kept_on_the_way()
    http.told(200, "GET", "/ready")
    calm, ours = server.coroutines(), server.connections()
    id = waiting(app, "p" * 500_000)
    stages = [
        b"",
        b"GET /que",
        b"GET /queues HTTP/1.1\r\n" + HOST,
        post(b"Content-Length: 1000\r\n", JOB),
        post(CHUNKED, b"5\r\nab"),
        post(b"Expect: 100-continue\r\nContent-Length: 12\r\n", b""),
        asking("/tasks"),
        asking("/tasks") * 20,
        asking("/nowhere"),
        asking(f"/tasks/{id}/wait?timeout=300"),
        asking(f"/tasks/{id}/events"),
        asking(f"/tasks/{id}/events") * 3,
        b"\0\0\0\0",
    ]
    with caplog.at_level(logging.WARNING):
        for sent in stages:
            for after in (0, 1, 5000):  # at once, as soon as an answer begins, in its midst
                with connected(server, sent) as client:
                    client.settimeout(0.05)
                    with suppress(OSError):
                        for _ in range(after):
                            client.recv(16)
                    reset(client)
                http.told(200, "GET", "/ready")
        until(lambda: server.connections() == ours and server.coroutines() <= calm)
        app.cancel(UUID(id))
    assert caplog.messages == []
    assert http.told(200, "GET", f"/tasks/{id}")["task"]["status"] == "cancelled"


def memory() -> int:
    """Bytes that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 3 * CROWD)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def roomy(app: Mainspring) -> Iterator[Running]:
    running = Running(app, Terms(connections=2 * CROWD))
    yield running
    running.stop()


@pytest.mark.usefixtures("many_files")
def test_a_crowd_that_waits_and_some_who_never_read_leave_others_unharmed(
    roomy: Running, app: Mainspring
) -> None:
    server = roomy
    server.little_is_kept_on_the_way()
    large, id = waiting(app, "p" * 500_000), waiting(app)
    calm, before = server.coroutines(), memory()
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(connected(server, asking(f"/tasks/{large}/events")))
            stack.enter_context(connected(server, asking(f"/tasks/{large}")))
        wait = asking(f"/tasks/{id}/wait?timeout=300", b"Connection: close\r\n")
        crowd = [stack.enter_context(connected(server, wait)) for _ in range(CROWD)]
        until(lambda: server.connections() == 40 + CROWD, 60)
        until(lambda: server.coroutines() >= calm + CROWD, 60)
        assert memory() - before < 150_000_000
        with Http(base_url=f"http://127.0.0.1:{server.port}", timeout=60) as http:
            told = http.task(payload="others")
            assert http.told(200, "GET", f"/tasks/{told['id']}")["task"]["payload"] == "others"
        answered: list[bytes] = []
        reader = threading.Thread(target=lambda: answered.extend(map(rest, crowd)))
        app.cancel(UUID(id))
        reader.start()
        reader.join(60)
        assert sum(b'"status":"cancelled"' in each for each in answered) == CROWD
    until(lambda: server.coroutines() <= calm)
