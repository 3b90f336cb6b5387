"""Over https:// it is known who answers, or nothing is said."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mainspring.engines import open_store
from mainspring.errors import StoreUnavailable
from mainspring.job import State
from tests.contract.stage import new
from tests.remote.conftest import Handler, Listener
from tests.servers.mainspring import Server

FILES = Path(__file__).resolve().parents[1] / "server" / "certificates"


@pytest.fixture
def guarded(place: str) -> Iterator[Server]:
    options = ("--tls-cert", str(FILES / "server.pem"), "--tls-key", str(FILES / "server.key"))
    server = Server(place, *options)
    yield server
    server.stop()


def test_a_server_whose_certificate_is_trusted_is_spoken_to(
    guarded: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(FILES / "authority.pem"))
    store = open_store(guarded.url)
    signal = store.listen()
    while signal.wait(0.2):
        pass
    store.insert([new()])
    assert signal.wait(20)
    assert store.counts()["default"][State.PENDING] == 1
    signal.close()
    store.close()


def test_another_is_told_nothing(guarded: Server) -> None:
    with pytest.raises(StoreUnavailable, match="its certificate is not trusted: "):
        open_store(guarded.url, "ms_secret")


def test_a_server_without_a_certificate_is_told_nothing(
    listening: Callable[[Handler], Listener],
) -> None:
    heard: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(10_000))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    url = listening(handle).url.replace("http://", "https://")
    with pytest.raises(StoreUnavailable):
        open_store(url, "ms_secret")
    assert heard
    assert not any(b"ms_secret" in each for each in heard)
