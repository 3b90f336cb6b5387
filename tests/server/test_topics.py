"""Topics over HTTP: publish, and hear it by Server-Sent Events and by a WebSocket."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import json
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from mainspring import Mainspring
from mainspring.durations import SECOND
from mainspring.job import Now
from mainspring.posts import KEPT
from mainspring.server.connection import together
from mainspring.server.routes import topics
from tests.server.conftest import Http, Running, until
from tests.server.test_events import events

Event = dict[str, Any]


@contextmanager
def stream(http: Http, query: str, **headers: str) -> Iterator[Iterator[Event]]:
    """The events of a subscription, the first of which has come."""
    with http.stream("GET", f"/topics/subscribe?{query}", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = events(answer.iter_lines())
        first = next(found)
        assert first["event"] == first["data"]["type"] == "connected"
        yield found


@contextmanager
def talk(server: Running, query: str, **options: Any) -> Iterator[ClientConnection]:
    url = f"ws://127.0.0.1:{server.port}/topics/ws?{query}"
    with connect(url, proxy=None, **options) as connection:
        assert heard(connection)["type"] == "connected"
        yield connection


def heard(connection: ClientConnection) -> Any:
    return json.decode(connection.recv(timeout=20))


def publish(http: Http, topic: str, body: Any, **headers: str) -> int:
    said = {"body": body, "headers": headers}
    number: int = http.told(201, "POST", f"/topics/{topic}/publish", json=said)["number"]
    return number


def bodies(found: Iterator[Event], n: int) -> list[Any]:
    return [next(found)["data"]["body"] for _ in range(n)]


def test_what_is_published_comes_by_server_sent_events(http: Http) -> None:
    with stream(http, "topics=orders.*,users.%23") as found:
        publish(http, "other", 1)
        number = publish(http, "orders.created", {"id": 7}, source="api")
        event = next(found)
        assert event["event"] == "message"
        assert event["data"].pop("at") > 0
        assert event["data"] == {
            "type": "message",
            "topic": "orders.created",
            "body": {"id": 7},
            "headers": {"source": "api"},
            "number": number,
            "position": event["id"],
        }
        publish(http, "users", "all")
        assert bodies(found, 1) == ["all"]


def test_what_is_published_comes_by_a_websocket(server: Running, http: Http) -> None:
    with talk(server, "topics=a&topics=b.*") as connection:
        connection.send("what a client says is passed over")
        publish(http, "b.c", [1])
        message = heard(connection)
        assert (message["type"], message["topic"], message["body"]) == ("message", "b.c", [1])
        publish(http, "a", None)
        assert heard(connection)["body"] is None


def test_what_python_publishes_comes_too_and_bytes_are_base64(http: Http, app: Mainspring) -> None:
    with stream(http, "topics=t") as found:
        app.topics.publish("t", b"\0\xff")
        data = next(found)["data"]
        assert "body" not in data
        assert data["base64"] == "AP8="
        http.told(201, "POST", "/topics/t/publish", json={"base64": "AP8="})
        assert next(found)["data"]["base64"] == "AP8="


def test_a_program_hears_what_comes_over_http(http: Http, app: Mainspring) -> None:
    with app.topics.subscribe("t.#") as posts:
        publish(http, "t.a.b", {"n": 1}, h="1")
        post = posts.get(20)
        assert post is not None
        assert (post.topic, post.body, post.headers) == ("t.a.b", {"n": 1}, {"h": "1"})


def test_a_stream_goes_on_where_it_broke_off(http: Http) -> None:
    with stream(http, "topics=t") as found:
        publish(http, "t", 1)
        seen = next(found)["id"]
    publish(http, "t", 2)
    publish(http, "other", 3)
    publish(http, "t", 4)
    with stream(http, "topics=t", **{"Last-Event-ID": seen}) as found:
        publish(http, "t", 5)
        assert bodies(found, 3) == [2, 4, 5]
    with stream(http, f"topics=t&after={seen}") as found:
        assert bodies(found, 3) == [2, 4, 5]


def test_a_quiet_stream_tells_how_far_it_is(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that who comes back after a long silence is not told that posts for others are gone."""
    monkeypatch.setattr(topics, "SILENCE", 0.05)
    with http.stream("GET", "/topics/subscribe?topics=t") as answer:
        lines = answer.iter_lines()
        assert "event: connected" in lines
        number = publish(http, "other", 1)
        assert f"id: {number}" in lines
        assert next(lines) == ": still here"


def test_who_comes_back_too_late_is_told_how_many_are_gone(
    http: Http, server: Running, app: Mainspring
) -> None:
    number = publish(http, "t", 1)
    for n in range(3):
        publish(http, "t", n)
    app.store.upkeep()
    [*_, last] = app.store.posts({}).posts
    late = last.at + KEPT + SECOND
    app.store.upkeep(now=Now(late, late))
    publish(http, "t", "kept")
    with connect(
        f"ws://127.0.0.1:{server.port}/topics/ws?topics=t&after={number}", proxy=None
    ) as connection:
        first = heard(connection)
        assert (first["type"], first["missed"]) == ("connected", 3)
        assert heard(connection)["body"] == "kept"


def test_many_subscribers_hear_each_publisher_in_order(server: Running, app: Mainspring) -> None:
    with ExitStack() as stack:
        queries = [f"topics=t.*,only.{n}" for n in range(30)]
        connections = [stack.enter_context(talk(server, query)) for query in queries]
        for n in range(100):
            app.topics.publish(f"t.{n % 3}", n)
        for n in range(30):
            app.topics.publish(f"only.{n}", "last")
        for n, connection in enumerate(connections):
            messages = [heard(connection) for _ in range(101)]
            assert [each["body"] for each in messages] == [*range(100), "last"]
            assert messages[-1]["topic"] == f"only.{n}"


def slow_reader(port: int) -> socket.socket:
    """Asks, and does not read what comes."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(30)
    client.connect(("127.0.0.1", port))
    head = "Host: localhost\r\nConnection: close\r\n\r\n"
    client.sendall(f"GET /topics/subscribe?topics=t HTTP/1.1\r\n{head}".encode())
    assert client.recv(1)
    return client


def drained(client: socket.socket) -> bytes:
    found = []
    while data := client.recv(65536):
        found.append(data)
    return b"".join(found)


LARGE = 60
"""So many large posts are more than what the system, the server and a subscription hold back."""


def flood(app: Mainspring, topic: str) -> None:
    for _ in range(LARGE):
        app.topics.publish(topic, "x" * 900_000)


def test_a_slow_subscriber_is_cut_off_and_told_and_others_are_not_held_up(
    http: Http, server: Running, app: Mainspring
) -> None:
    client = slow_reader(server.port)
    with stream(http, "topics=t,end") as found:
        for _ in range(LARGE):
            app.topics.publish("t", "x" * 900_000)
            assert len(next(found)["data"]["body"]) == 900_000
        publish(http, "end", "there")
        assert bodies(found, 1) == ["there"]
    told = drained(client)
    client.close()
    assert told.count(b"event: message") < LARGE
    [slow] = [line for line in told.split(b"\n") if line.startswith(b'data: {"type":"slow"')]
    end = json.decode(slow.removeprefix(b"data: "))
    assert end["missed"] + told.count(b"event: message") == LARGE
    assert told.rstrip().endswith(b"0"), "the stream has ended well"
    with stream(http, f"topics=t&after={end['position']}") as found:
        for _ in range(end["missed"]):
            assert next(found)["event"] == "message", "what was missed is still kept"


def test_who_reads_nothing_at_all_is_hung_up_on(
    server: Running, app: Mainspring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "SLOWEST_READER", 0.2)
    client = slow_reader(server.port)
    until(lambda: app.opened.relay.listeners == 1)
    flood(app, "t")
    until(lambda: app.opened.relay.listeners == 0)
    client.close()


def test_a_slow_websocket_is_closed_and_told(http: Http, server: Running, app: Mainspring) -> None:
    with talk(server, "topics=t", max_queue=1) as connection:
        with stream(http, "topics=end") as found:
            flood(app, "t")
            publish(http, "end", 1)
            assert bodies(found, 1) == [1]
        told = [heard(connection)]
        while told[-1]["type"] == "message":
            told.append(heard(connection))
        with pytest.raises(ConnectionClosed) as closed:
            heard(connection)
        assert told[-1]["type"] == "slow"
        assert told[-1]["missed"] + len(told) - 1 == LARGE
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013


def test_a_server_that_stops_ends_all_streams(server: Running, http: Http) -> None:
    with talk(server, "topics=t") as connection, stream(http, "topics=t") as found:
        server.stop()
        assert list(found) == []
        with pytest.raises(ConnectionClosed) as closed:
            heard(connection)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code in (1001, 1012)


def test_two_servers_over_one_store_tell_each_others_posts(
    app: Mainspring, http: Http, tmp_path: Path
) -> None:
    with Mainspring(f"sqlite:///{tmp_path}/jobs.db") as twin:
        other = Running(twin)
        with talk(other, "topics=t") as connection, stream(http, "topics=t") as found:
            for n in range(20):
                publish(http, "t", n)
                twin.topics.publish("t", n)
            mine = [heard(connection)["body"] for _ in range(40)]
            assert mine == bodies(found, 40)
            assert sorted(mine) == sorted([*range(20)] * 2)
        other.stop()


def test_nobody_is_left_listening_who_has_gone(
    http: Http, server: Running, app: Mainspring
) -> None:
    with stream(http, "topics=t"), talk(server, "topics=t"):
        assert app.opened.relay.listeners == 2
    until(lambda: app.opened.relay.listeners == 0)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("subscribe", "at least one"),
        ("subscribe?topics=a..b", "levels"),
        ("subscribe?topics=%23.a", "# only as"),
        ("subscribe?topics=a&after=x", "position"),
        ("subscribe?topics=a&more=1", "more"),
        ("subscribe?" + "&".join(f"topics=a{n}" for n in range(101)), "at most 100"),
    ],
)
def test_what_cannot_be_subscribed_to_is_refused(http: Http, path: str, told: str) -> None:
    assert told in http.told(422, "GET", f"/topics/{path}")["detail"]


@pytest.mark.parametrize(
    ("topic", "said", "told"),
    [
        ("a.*", {"body": 1}, "without \\* and #"),
        ("a", {}, "expected body or base64"),
        ("a", {"body": 1, "base64": ""}, "expected body or base64"),
        ("a", {"base64": "?"}, "base64"),
        ("a", {"body": 1, "priority": 3}, "priority"),
        ("a", {"body": 1, "headers": {"x": 1}}, "headers"),
        ("a", {"body": "x" * 1_000_001}, "at most 1,000,000 bytes"),
    ],
)
def test_what_cannot_be_published_is_refused(
    http: Http, topic: str, said: dict[str, Any], told: str
) -> None:
    with pytest.raises(AssertionError, match=told):
        http.told(201, "POST", f"/topics/{topic}/publish", json=said)


def test_a_websocket_that_cannot_be_is_told_why(server: Running, http: Http) -> None:
    for query, status in (("topics=a..b", 422), ("", 422)):
        with pytest.raises(InvalidStatus) as refused, talk(server, query):
            pass
        assert refused.value.response.status_code == status
    with pytest.raises(InvalidStatus) as refused, talk(server, "topics=a", origin="http://x.org"):
        pass
    assert refused.value.response.status_code == 403, "a page of another site"
    assert http.get("/topics/ws?topics=a").status_code == 426
    with talk(server, "topics=a") as connection:
        connection.send("x" * 5000)
        with pytest.raises(ConnectionClosed) as closed:
            heard(connection)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009, "too much was said"


# --- with keys ------------------------------------------------------------------------------------


def key(app: Mainspring, *permissions: str, only: tuple[str, ...] = ()) -> dict[str, str]:
    made = app.keys.create("somebody", permissions, only=only)
    return {"Authorization": f"Bearer {made.key}"}


def test_a_key_hears_and_says_only_what_it_is_for(
    http: Http, server: Running, app: Mainspring
) -> None:
    mine = key(app, "read", "enqueue", only=("mine.*",))
    all_of_it = key(app, "admin")
    until(lambda: http.get("/topics/subscribe").status_code == 401)
    query = "topics=%23&after=0"
    with (
        stream(http, query, **mine) as found,
        talk(server, query, additional_headers=mine) as connection,
    ):
        for topic in ("other.a", "mine.a", "other.b", "mine.b"):
            said = {"body": topic}
            http.told(201, "POST", f"/topics/{topic}/publish", json=said, headers=all_of_it)
        assert bodies(found, 2) == ["mine.a", "mine.b"]
        assert [heard(connection)["body"] for _ in range(2)] == ["mine.a", "mine.b"]
    with stream(http, query, **mine) as found:
        assert bodies(found, 2) == ["mine.a", "mine.b"], "of what is kept, too"
    http.told(403, "POST", "/topics/other.a/publish", json={"body": 1}, headers=mine)
    http.told(201, "POST", "/topics/mine.a/publish", json={"body": 1}, headers=mine)


def test_publishing_and_subscribing_take_permissions_of_their_own(
    http: Http, server: Running, app: Mainspring
) -> None:
    reads, enqueues = key(app, "read"), key(app, "enqueue")
    until(lambda: http.get("/topics/subscribe").status_code == 401)
    http.told(403, "POST", "/topics/t/publish", json={"body": 1}, headers=reads)
    http.told(201, "POST", "/topics/t/publish", json={"body": 1}, headers=enqueues)
    http.told(403, "GET", "/topics/subscribe?topics=t", headers=enqueues)
    for headers, status in ((enqueues, 403), ({}, 401)):
        with (
            pytest.raises(InvalidStatus) as refused,
            talk(server, "topics=t", additional_headers=headers),
        ):
            pass
        assert refused.value.response.status_code == status
    with stream(http, "topics=t&after=0", **reads) as found:
        assert bodies(found, 1) == [1]
