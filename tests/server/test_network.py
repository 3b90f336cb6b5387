"""A server that others can reach: TLS, proxies, rates, and how many may come at once."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from shutil import copy
from typing import Any

import httpx2 as httpx
import pytest

from mainspring import ConfigError, Mainspring
from mainspring.server.backend.service import Service
from mainspring.server.connection import certificates
from mainspring.server.connection.certificates import tls_context
from mainspring.server.entry.guard import HEADERS, POLICY, Guard
from mainspring.server.entry.rates import MOST_BUCKETS, Rates, source
from mainspring.server.forms.problems import Problem
from mainspring.server.terms import Rate, Terms, Tls
from tests.server.conftest import PROBLEM, Http, Running, asked_of, until

FILES = Path(__file__).with_name("certificates")
SERVER = {"cert": str(FILES / "server.pem"), "key": str(FILES / "server.key")}
AUTHORITY = str(FILES / "authority.pem")


@contextmanager
def serving(app: Mainspring, **terms: Any) -> Iterator[Running]:
    running = Running(app, Terms(**terms))
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def client(running: Running, **options: Any) -> Iterator[Http]:
    scheme = "https" if "verify" in options else "http"
    base_url = f"{scheme}://127.0.0.1:{running.port}"
    with Http(base_url=base_url, timeout=30, **options) as http:
        yield http


def trust() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=AUTHORITY)


# --- TLS ------------------------------------------------------------------------------------------


def test_with_a_certificate_the_server_speaks_tls_and_nothing_else(app: Mainspring) -> None:
    with serving(app, tls=Tls(**SERVER)) as running:
        with client(running, verify=trust()) as http:
            assert http.task()["status"] == "pending"
        with client(running) as http, pytest.raises(httpx.TransportError):
            http.get("/ready")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
def test_tls_before_1_2_is_refused(app: Mainspring) -> None:
    context = trust()
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        serving(app, tls=Tls(**SERVER)) as running,
        socket.create_connection(("127.0.0.1", running.port)) as plain,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_clients_may_have_to_show_a_certificate(app: Mainspring) -> None:
    with serving(app, tls=Tls(**SERVER, client_ca=AUTHORITY)) as running:
        known = trust()
        known.load_cert_chain(FILES / "client.pem", FILES / "client.key")
        with client(running, verify=known) as http:
            http.told(200, "GET", "/tasks")
        with client(running, verify=trust()) as http, pytest.raises(httpx.TransportError):
            http.get("/tasks")


def test_a_renewed_certificate_is_taken_and_one_that_cannot_be_used_is_told(
    app: Mainspring,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(certificates, "LOOK", 0.02)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    copy(SERVER["cert"], cert)
    copy(SERVER["key"], key)

    def shown() -> bytes | None:
        with (
            socket.create_connection(("127.0.0.1", running.port)) as plain,
            trust().wrap_socket(plain, server_hostname="127.0.0.1") as line,
        ):
            return line.getpeercert(binary_form=True)

    with serving(app, tls=Tls(cert=str(cert), key=str(key))) as running:
        first = shown()
        copy(FILES / "client.pem", cert)  # its key is still to come
        until(lambda: "cannot be used" in caplog.text)
        assert shown() == first
        copy(FILES / "client.key", key)
        until(lambda: shown() != first)


@pytest.mark.parametrize(
    ("files", "setting"),
    [
        ({"cert": "none.pem"}, "tls_cert"),
        ({"cert": SERVER["cert"]}, "tls_cert"),
        ({"cert": SERVER["cert"], "key": str(FILES / "client.key")}, "tls_cert"),
        (SERVER | {"key": "none.key"}, "tls_key"),
        (SERVER | {"client_ca": "none.pem"}, "tls_client_ca"),
        (SERVER | {"client_ca": SERVER["key"]}, "tls_client_ca"),
    ],
)
def test_files_that_are_no_certificates_are_named(files: dict[str, str], setting: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{setting}: expected .*\.(pem|key)"):
        tls_context(Tls(**files))


# --- proxies --------------------------------------------------------------------------------------


async def reached(terms: Terms, app: Mainspring, **scope: Any) -> dict[str, Any]:
    """The scope that arrives behind the guard."""
    found: dict[str, Any] = {}

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        found.update(scope)

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    told = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "scheme": "http",
        "client": ("10.0.0.1", 1234),
        "server": ("127.0.0.1", 80),
        "headers": [],
    }
    told |= scope
    told["headers"] = [(b"host", b"localhost"), *told["headers"]]
    await Guard(inner, Service(app), terms, ())(told, nothing, nothing)
    return found


PROXIES = Terms(keys=False, proxies=(ip_network("10.0.0.0/24"), ip_network("fd00::/64")))


@pytest.mark.parametrize(
    ("peer", "told", "asker"),
    [
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.7, 10.0.0.9"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.7", "10.0.0.9"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6, made up, 10.0.0.9"], "10.0.0.9"),
        ("10.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("10.0.0.1", ["10.0.0.3"], "10.0.0.3"),
        ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("fd00::1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.1.1", ["198.51.100.7"], "10.0.1.1"),
        ("198.51.100.9", ["127.0.0.1"], "198.51.100.9"),
    ],
)
def test_who_asks_is_believed_of_listed_proxies_alone(
    app: Mainspring, peer: str, told: list[str], asker: str
) -> None:
    headers = [(b"x-forwarded-for", each.encode()) for each in told]
    scope = asyncio.run(reached(PROXIES, app, client=(peer, 1), headers=headers))
    assert scope["client"][0] == asker


@pytest.mark.parametrize(
    ("peer", "told", "scheme"),
    [
        ("10.0.0.1", "https", "https"),
        ("10.0.0.1", "http, HTTPS", "https"),
        ("10.0.0.1", "gopher", "http"),
        ("10.0.1.1", "https", "http"),
    ],
)
def test_by_which_scheme_one_came_is_believed_of_them_alone(
    app: Mainspring, peer: str, told: str, scheme: str
) -> None:
    headers = [(b"x-forwarded-proto", told.encode())]
    found = asyncio.run(reached(PROXIES, app, client=(peer, 1), headers=headers))
    assert found["scheme"] == scheme


@pytest.mark.parametrize("host", ["192.0.2.7", "192.0.2.7:8700", "queue.example", "[2001:db8::7]"])
def test_the_address_at_which_a_request_came_in_names_the_server(
    app: Mainspring, host: str
) -> None:
    server = "2001:db8::7" if "[" in host else "192.0.2.7"
    terms = Terms(keys=False, hosts=("Queue.Example.",))
    headers = [(b"host", host.encode())]
    found = asyncio.run(reached(terms, app, server=(server, 80), headers=headers))
    assert found["path"] == "/"


# --- rates ----------------------------------------------------------------------------------------


def test_one_request_too_many_is_told_to_come_later(app: Mainspring) -> None:
    with serving(app, rate=Rate(3, 3600.0)) as running, client(running) as http:
        for _ in range(3):
            http.told(200, "GET", "/tasks")
        told = http.get("/tasks")
        assert told.status_code == 429
        assert told.headers["content-type"] == PROBLEM
        assert 1000 < int(told.headers["retry-after"]) <= 1200


def test_a_bucket_fills_again(app: Mainspring) -> None:
    with serving(app, rate=Rate(2, 0.4)) as running, client(running) as http:
        until(lambda: http.get("/tasks").status_code == 429)
        until(lambda: http.get("/tasks").status_code == 200)


def test_a_wrong_key_costs_double(app: Mainspring) -> None:
    key = app.keys.create("n", ["read"]).key
    wrong = {"Authorization": f"Bearer {key[:-1]}{'B' if key[-1] == 'A' else 'A'}"}
    with serving(app, rate=Rate(8, 3600.0)) as running, client(running) as http:
        statuses = [http.get("/tasks", headers=wrong).status_code for _ in range(5)]
        assert statuses == [401, 401, 401, 401, 429]
        right = {"Authorization": f"Bearer {key}"}
        assert http.get("/tasks", headers=right).status_code == 429


def test_each_key_and_each_address_has_a_bucket_of_its_own(app: Mainspring) -> None:
    keys = [app.keys.create("n", ["read"]).key for _ in range(2)]
    proxies = (ip_network("127.0.0.1"),)
    with serving(app, rate=Rate(2, 3600.0), proxies=proxies) as running, client(running) as http:

        def status(key: str, address: str) -> int:
            headers = {"Authorization": f"Bearer {key}", "X-Forwarded-For": address}
            return http.get("/tasks", headers=headers).status_code

        one, other = keys
        assert [status(one, f"192.0.2.{n}") for n in range(3)] == [200, 200, 429]
        assert [status(other, "192.0.2.7") for _ in range(3)] == [200, 200, 429]


def test_a_made_up_address_does_not_get_a_bucket(app: Mainspring) -> None:
    with serving(app, rate=Rate(2, 3600.0)) as running, client(running) as http:
        statuses = [
            http.get("/tasks", headers={"X-Forwarded-For": f"192.0.2.{n}"}).status_code
            for n in range(3)
        ]
        assert statuses == [200, 200, 429]


def test_addresses_of_one_network_of_ipv6_are_one() -> None:
    assert source("2001:db8::1") == source("2001:db8::ffff:0:1")
    assert source("2001:db8:0:1::1") != source("2001:db8::1")
    assert source("::ffff:192.0.2.1") == source("192.0.2.1") == "192.0.2.1"


def test_strangers_without_number_take_no_memory_without_end() -> None:
    rates = Rates(Rate(1, 3600.0))
    for n in range(MOST_BUCKETS + 1):
        rates.take(str(n))
    with pytest.raises(Problem):
        rates.take(str(n))
    rates.take("0")


# --- how many -------------------------------------------------------------------------------------


def test_one_connection_too_many_is_told_so(app: Mainspring) -> None:
    with serving(app, connections=2) as running:
        held = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(2)]
        for each in held:
            each.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert each.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
        told = asyncio.run(asked_of(running.port, b""))
        assert told.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"retry-after: 1\r\n" in told
        assert b"cache-control: no-store\r\n" in told
        assert b'"detail":"2 connections are open"' in told
        held.pop().close()

        def answered() -> bool:
            request = b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            return asyncio.run(asked_of(running.port, request)).startswith(b"HTTP/1.1 200 OK")

        until(answered)
        held.pop().close()


def test_one_key_cannot_wait_more_often_than_it_may(app: Mainspring) -> None:
    one, other = (app.keys.create("n", ["read"]).key for _ in range(2))
    path = f"/tasks/{app.enqueue('echo', delay='1h').id}"
    with serving(app, waits=1) as running, client(running) as http:
        headers = {"Authorization": f"Bearer {one}"}
        with http.stream("GET", f"{path}/events", headers=headers) as stream:
            lines = stream.iter_lines()
            assert "event: state" in lines
            told = http.get(f"{path}/wait?timeout=1ms", headers=headers)
            assert told.status_code == 429
            assert told.headers["retry-after"] == "1"
            headers = {"Authorization": f"Bearer {other}"}
            http.told(200, "GET", f"{path}/wait?timeout=1ms", headers=headers)


# --- what is no request ---------------------------------------------------------------------------


def test_what_is_no_http_is_answered_as_all_else_is(app: Mainspring) -> None:
    with serving(app) as running:
        told = asyncio.run(asked_of(running.port, b"what is this\r\n\r\n"))
    head, _, body = told.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert f"content-type: {PROBLEM}".encode() in head
    for name, value in (*HEADERS, POLICY):
        assert b"%b: %b" % (name, value) in head
    assert b'"type":"urn:mainspring:problem:bad-request"' in body


@pytest.mark.parametrize("packing", ["gzip", "deflate", "br", "gzip, identity"])
def test_a_packed_body_is_refused(http: Http, packing: str) -> None:
    headers = {"Content-Encoding": packing, "Content-Type": "application/json"}
    http.told(415, "POST", "/tasks", content=b"\x1f\x8b", headers=headers)
    headers["Content-Encoding"] = "identity"
    http.told(201, "POST", "/tasks", content=b'{"type":"echo"}', headers=headers)
