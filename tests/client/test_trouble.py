"""What a client does when the server, or the way to it, is in trouble."""

import asyncio
import subprocess
import sys
import time

import pytest

from mainspring import (
    AsyncClient,
    Client,
    ConfigError,
    InvalidArguments,
    KeyRefused,
    Mainspring,
    StoreUnavailable,
)
from tests.client.conftest import BadLine


def answer(status: int, *headers: str, body: str = "") -> bytes:
    lines = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(body)}", "Connection: close"]
    return ("\r\n".join([*lines, *headers]) + "\r\n\r\n" + body).encode()


BUSY = answer(503, "Retry-After: 0")
SLOW_DOWN = answer(429, "Retry-After: 0.05")


@pytest.mark.parametrize("fault", ["before", "after", BUSY, SLOW_DOWN, answer(502)])
def test_what_may_be_sent_again_is_sent_again(
    bad: BadLine, app: Mainspring, fault: str | bytes
) -> None:
    bad.faults = [fault, fault]
    with Client(bad.url) as client:
        client.kv.set("k", 1)
        bad.faults = [fault]
        assert client.kv.get("k").value == 1
    assert len(bad.requests) == 5


def test_a_task_whose_answer_was_lost_is_stored_once(bad: BadLine, app: Mainspring) -> None:
    bad.faults = ["after", "after"]
    with Client(bad.url) as client:
        task = client.tasks.add("echo", 1)
        other = client.tasks.add("echo", 1)
    assert [job.id for job in app.find()] == [other.id, task.id]


@pytest.mark.parametrize("fault", ["after", BUSY])
def test_what_may_have_been_done_and_must_not_be_done_twice_is_not_sent_again(
    bad: BadLine, app: Mainspring, fault: str | bytes
) -> None:
    with Client(bad.url) as client:
        bad.faults = [fault]
        with pytest.raises(StoreUnavailable):
            client.kv.increment("n")
        bad.faults = [fault]
        with pytest.raises(StoreUnavailable):
            client.kv.set("k", 1, if_absent=True)
    assert len(bad.requests) == 2


def test_what_was_refused_for_its_rate_is_sent_again_whatever_it_is(
    bad: BadLine, app: Mainspring
) -> None:
    bad.faults = [SLOW_DOWN, SLOW_DOWN]
    with Client(bad.url) as client:
        assert client.kv.increment("n") == 1


def test_the_pause_that_the_server_asks_for_is_kept(bad: BadLine) -> None:
    bad.faults = [answer(429, "Retry-After: 1")]
    before = time.monotonic()
    with Client(bad.url) as client:
        client.kv.get("k")
    assert time.monotonic() - before >= 1


def test_a_pause_that_is_too_long_is_left_to_the_program(bad: BadLine) -> None:
    bad.faults = [answer(429, "Retry-After: 3600")]
    with (
        Client(bad.url) as client,
        pytest.raises(StoreUnavailable, match="tried again in 3600 s"),
    ):
        client.kv.get("k")
    assert len(bad.requests) == 1


def test_attempts_come_to_an_end(bad: BadLine) -> None:
    bad.faults = [*["before"] * 3, *[BUSY] * 3]
    with Client(bad.url, retries=2) as client:
        with pytest.raises(StoreUnavailable, match="does not answer"):
            client.kv.get("k")
        with pytest.raises(StoreUnavailable, match="status 503"):
            client.kv.get("k")
    assert len(bad.requests) == 6


def test_who_waits_outlasts_a_server_that_is_away_for_less_long(
    bad: BadLine, app: Mainspring
) -> None:
    app.queue("mail").publish({"n": 1})
    with Client(bad.url, retries=1) as client:
        bad.faults = [*["before"] * 3, BUSY]
        message = client.queue.consume("mail", timeout=20)
        assert message is not None
        assert message.message == {"n": 1}
        bad.faults = ["before"] * 2
        with pytest.raises(StoreUnavailable, match=f"^{bad.url}: the server does not answer: "):
            client.queue.consume("mail")
    assert len(bad.requests) == 7


def test_where_nobody_listens_is_said(bad: BadLine) -> None:
    with (
        Client("http://127.0.0.1:1", retries=0) as client,
        pytest.raises(StoreUnavailable, match="does not answer"),
    ):
        client.kv.increment("n")


def test_an_answer_that_does_not_come_is_given_up(bad: BadLine) -> None:
    import socket

    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        Client(f"http://127.0.0.1:{mute.getsockname()[1]}", timeout=0.2, retries=1) as client,
        pytest.raises(StoreUnavailable),
    ):
        client.kv.get("k")


def test_the_async_client_does_the_same(bad: BadLine, app: Mainspring) -> None:
    async def story() -> None:
        async with AsyncClient(bad.url) as client:
            bad.faults = ["before", "after", BUSY]
            await client.kv.set("k", 1)
            bad.faults = ["after"]
            with pytest.raises(StoreUnavailable):
                await client.kv.increment("n")

    asyncio.run(story())
    assert app.kv.get("k") == 1
    assert app.kv.get("n") == 1


def test_a_key_goes_along_from_the_argument_or_the_environment(
    bad: BadLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSPRING_API_KEY", "from-outside")
    with Client(bad.url) as client:
        client.kv.get("k")
    with Client(bad.url, api_key="given") as client:
        client.kv.get("k")
    assert b"authorization: bearer from-outside" in bad.requests[0].lower()
    assert b"authorization: bearer given" in bad.requests[1].lower()


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_is_an_error_of_its_own(bad: BadLine, status: int) -> None:
    bad.faults = [answer(status)]
    with Client(bad.url) as client, pytest.raises(KeyRefused):
        client.kv.get("k")


def test_what_is_no_mainspring_server_is_told_from_one(bad: BadLine) -> None:
    from mainspring import MainspringError

    with Client(bad.url) as client:
        bad.faults = [answer(200, body="<html>hello</html>")]
        with pytest.raises(StoreUnavailable, match="what is none"):
            client.kv.get("k")
        bad.faults = [answer(404, body="<html>not here</html>")]
        with pytest.raises(MainspringError, match="status 404"):
            client.kv.get("k")
        bad.faults = [answer(302, "Location: http://localhost:1/")]
        with pytest.raises(MainspringError, match="status 302"):
            client.kv.get("k")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("localhost:8700", "expected the address of a server"),
        ("sqlite:///jobs.db", "expected the address of a server"),
        ("", "expected the address of a server"),
        ("http://", "expected the address of a server"),
        ("http://me:secret@localhost", "expected no user"),
        ("http://localhost?x=1", "expected no"),
    ],
)
def test_an_address_that_is_none_is_refused_in_words(url: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as raised:
        Client(url)
    assert "secret" not in str(raised.value)


def test_what_is_not_installed_is_named_when_it_is_asked_for() -> None:
    code = (
        "import sys; sys.modules['httpx2'] = None\n"
        "from mainspring import *\n"
        "import mainspring\n"
        "try:\n    mainspring.Client\n"
        "except mainspring.ConfigError as error:\n    print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'mainspring[client]'" in said.stdout


def test_settings_that_do_not_fit_are_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="api_key: expected up to 500"):
        Client(api_key="two words")
    with pytest.raises(InvalidArguments, match="retries: expected 0 to 100"):
        Client(retries=-1)
    with pytest.raises(InvalidArguments, match="timeout"):
        Client(timeout="soon")


def test_a_key_opens_what_it_is_for(app: Mainspring, url: str) -> None:
    made = app.keys.create("videos", ["read", "enqueue", "work"], only=["videos", "video:*"])
    with Client(url, api_key=made.key) as client:
        client.queue.publish("videos", 1)
        message = client.queue.consume("videos")
        assert message is not None
        message.ack()
        client.kv.set("video:1", "seen")
        assert not client.kv.get("other").found
        with pytest.raises(KeyRefused, match="queue"):
            client.queue.publish("other", 1)
        with pytest.raises(KeyRefused, match="admin"):
            client.queue.purge_dead_letters("videos")
    for key in ("ms_wrong", None):
        with Client(url, api_key=key) as client, pytest.raises(KeyRefused):
            client.kv.get("video:1")


def test_many_wait_at_once_and_each_gets_its_own(url: str) -> None:
    async def story() -> None:
        async with AsyncClient(url) as client:
            waiting = [
                asyncio.ensure_future(client.queue.consume("q", timeout=30)) for _ in range(150)
            ]
            await client.queue.publish_many("q", range(150))
            taken = [message.message for message in await asyncio.gather(*waiting) if message]
            assert sorted(taken) == list(range(150))

    asyncio.run(story())
