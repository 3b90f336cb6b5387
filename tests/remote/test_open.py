"""What one has to say to reach a server, what is told when it is wrong, and what is never shown."""

import asyncio
import re
from collections.abc import Callable

import pytest

from mainspring import ConfigError, Mainspring, Tasks
from mainspring.engines import open_store
from mainspring.engines.http.address import address, key
from mainspring.engines.http.store import HttpStore
from mainspring.errors import KeyRefused, MainspringError, SchemaError, StoreUnavailable
from mainspring.events import Bus
from mainspring.settings import load
from mainspring.worker.worker import Worker
from tests.remote.conftest import Handler, Listener, answer, asked
from tests.servers.mainspring import Server

Listening = Callable[[Handler], Listener]

SECRET = "ms_0123456789abcdef_very-secret"


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://host:8700", ("host", 8700, False, "")),
        ("http://host", ("host", 80, False, "")),
        ("https://host/jobs/", ("host", 443, True, "/jobs")),
        ("https://[::1]:9000/a%20b", ("::1", 9000, True, "/a%20b")),
    ],
)
def test_the_parts_of_a_url(url: str, parts: tuple[object, ...]) -> None:
    assert address(url)[:4] == parts


@pytest.mark.parametrize(
    "url",
    [
        *("http://", "http://:8700", "http://host:port", "http://host:99999", "http://[::1"),
        *("http://host/?key=x", "http://host/#a", "http://host/ä", "http://ho st/", "http:///x"),
    ],
)
def test_a_url_that_leads_to_no_server_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="store URL: "):
        address(url)


@pytest.mark.parametrize("url", [f"http://u:{SECRET}@host", f"https://{SECRET}@host:1"])
def test_a_key_in_the_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError, match="its key goes into api_key") as error:
        open_store(url)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("given", ["", " ", "a b", "ä", "a\n", "x" * 501, 5])
def test_a_key_that_can_be_none_is_refused_and_not_shown(given: object) -> None:
    with pytest.raises(ConfigError, match="api_key: expected") as error:
        key(given)
    if isinstance(given, str) and given.strip():
        assert given not in str(error.value)


def test_a_key_is_that_of_the_argument_or_that_of_the_environment() -> None:
    environment = {"MAINSPRING_API_KEY": f"{SECRET}\n"}
    assert key("mine", environment) == "mine"
    assert key(None, environment) == SECRET
    assert key(None, {}) == ""


def test_settings_have_a_key_and_do_not_show_it() -> None:
    settings = load({}, {"MAINSPRING_API_KEY": "env:SHOP_KEY", "SHOP_KEY": SECRET})
    assert settings.api_key == SECRET
    assert SECRET not in repr(settings)
    with pytest.raises(ConfigError, match="a key in the variable 'SHOP_KEY', which is not set"):
        load({}, {"MAINSPRING_API_KEY": "env:SHOP_KEY"})


def test_the_key_goes_to_the_server_and_nowhere_else(listening: Listening) -> None:
    heard: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await asked(reader))
        problem = b'{"type":"urn:mainspring:problem:unauthorized","detail":"no such key"}'
        writer.write(answer("401 Unauthorized", problem, "Content-Type: application/problem+json"))

    url = listening(handle).url
    app = Mainspring(url, Tasks(), api_key=SECRET)
    with pytest.raises(KeyRefused, match="no such key") as refused:
        app.counts()
    assert f"Authorization: Bearer {SECRET}".encode() in heard[0]
    shown = f"{app!r} {app.url} {refused.value} {refused.value!r}"
    assert SECRET not in shown


def test_a_key_over_a_line_that_others_read_is_warned_of(store: HttpStore) -> None:
    assert not [each for each in store.health().warnings if "https://" in each]
    store._key, store._address = SECRET, store._address._replace(host="192.0.2.1")
    assert "the API key crosses the network for all to read: use https://" in (
        store.health().warnings
    )


def test_health_tells_what_is_behind(store: HttpStore, server: Server) -> None:
    health = store.health()
    assert health.engine == "http"
    assert re.match(r"a server over sqlite SQLite 3\.", health.version)
    assert health.durability.startswith("full")


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (
            "200 OK",
            b'{"protocol":2,"version":"9.0"}',
            SchemaError,
            "protocol 1, got 2 .mainspring 9",
        ),
        ("200 OK", b"<h1>hello</h1>", SchemaError, "expected a mainspring server, got another"),
        ("200 OK", b'{"hello":1}', SchemaError, "expected a mainspring server, got another"),
        ("404 Not Found", b"", SchemaError, "expected a mainspring server of this version"),
        ("421 Misdirected", b'{"detail":"expected a Host"}', ConfigError, "expected a Host"),
        ("500 Oops", b"", MainspringError, "got status 500"),
        ("503 Away", b"", StoreUnavailable, "got status 503"),
    ],
)
def test_what_is_no_server_of_ours_is_told(
    listening: Listening, status: str, body: bytes, error: type[Exception], words: str
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(answer(status, body, "Content-Type: application/json"))

    with pytest.raises(error, match=words):
        open_store(listening(handle).url)


def test_a_connection_that_answers_in_another_language_is_told(listening: Listening) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(b"220 smtp ready\r\n")

    with pytest.raises(StoreUnavailable, match="220 smtp ready"):
        open_store(listening(handle).url)


def test_an_error_that_is_not_on_the_list_is_only_words(listening: Listening) -> None:
    kinds = ["keyboard-interrupt", "system-exit", "os", "Interrupted", "snooze"]

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        told = b'{"type":"urn:mainspring:problem:%b","detail":"boo"}' % kinds[0].encode()
        writer.write(answer("500 Oops", told, "Content-Type: application/problem+json"))

    url = listening(handle).url
    while kinds:
        with pytest.raises(MainspringError, match="boo") as error:
            open_store(url)
        assert type(error.value) is MainspringError
        kinds.pop(0)


def test_a_worker_whose_key_is_revoked_ends_and_says_so(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    place = Mainspring(server.store)
    made = place.keys.create("worker", ["work", "read"])
    worker = Worker(
        url=server.url,
        api_key=made.key,
        program=Mainspring(server.url),
        in_process=True,
        lease="1s",
        events=Bus(),
    )
    worker.start()
    place.keys.revoke(made.id)
    with pytest.raises(KeyRefused):
        worker.join()
    assert not [record for record in caplog.records if record.exc_info]
    place.close()
