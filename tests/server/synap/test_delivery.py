"""Messages over a WebSocket."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from msgspec import json
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from mainspring import Mainspring, State
from tests.server.conftest import Running, until
from tests.server.synap.conftest import Wire


def told(connection: ClientConnection) -> Any:
    return json.decode(connection.recv(timeout=20))


def say(connection: ClientConnection, **said: Any) -> None:
    connection.send(json.encode(said).decode())


@contextmanager
def consuming(server: Running, consumer: str = "c") -> Iterator[ClientConnection]:
    url = f"ws://127.0.0.1:{server.port}/queue/q/ws/{consumer}"
    with connect(url, proxy=None) as connection:
        assert told(connection) == {"type": "connected", "queue": "q", "consumer_id": consumer}
        yield connection


def publish(synap: Wire, n: int) -> str:
    id: str = synap.told("queue.publish", queue="q", payload=[n])["message_id"]
    return id


def test_messages_come_as_they_are_published_and_are_settled(
    synap: Wire, server: Running, app: Mainspring
) -> None:
    synap.told("queue.create", name="q")
    first = publish(synap, 1)
    with consuming(server) as connection:
        message = told(connection)
        assert (message["type"], message["message_id"], message["payload"]) == (
            "message",
            first,
            [1],
        )
        assert (message["priority"], message["retry_count"], message["headers"]) == (5, 0, {})
        assert message["created_at"] > 0
        second = publish(synap, 2)
        assert told(connection)["message_id"] == second
        say(connection, command="ack", message_id=first)
        say(connection, command="nack", message_id=second)
        again = told(connection)
        assert (again["message_id"], again["retry_count"]) == (second, 1)
        say(connection, command="nack", message_id=second, requeue=False)
        until(lambda: app.counts()["q"]["failed"] == 1)
        assert app.counts()["q"]["completed"] == 1


def test_a_consumer_holds_no_more_than_it_may(synap: Wire, server: Running) -> None:
    synap.told("queue.create", name="q", config={"prefetch_limit": 2})
    ids = [publish(synap, n) for n in range(3)]
    with consuming(server) as connection:
        assert [told(connection)["message_id"] for _ in range(2)] == ids[:2]
        say(connection, command="ack", message_id=ids[1])
        assert told(connection)["message_id"] == ids[2]
        assert synap.told("queue.stats", queue="q")["in_flight"] == 2


def test_what_cannot_be_done_ends_the_connection(synap: Wire, server: Running) -> None:
    synap.told("queue.create", name="q")
    for said, words in (
        ({"command": "ack", "message_id": "x"}, "Message not found: x"),
        ({"command": "burn", "message_id": "x"}, "Invalid request: "),
    ):
        with consuming(server) as connection:
            say(connection, **said)
            error = told(connection)
            assert error["type"] == "error"
            assert error["error"].startswith(words)
            with pytest.raises(ConnectionClosed):
                connection.recv(timeout=20)


def test_who_goes_away_takes_no_further_message_along(
    synap: Wire, server: Running, app: Mainspring
) -> None:
    synap.told("queue.create", name="q")
    with consuming(server, "gone") as connection:
        publish(synap, 1)
        told(connection)
    until(lambda: server.service.waiters == 0)
    publish(synap, 2)
    assert app.find(queues="q", states=State.PENDING)
    with consuming(server, "next") as connection:
        assert told(connection)["payload"] == [2]


def test_a_queue_that_is_not_there_has_no_connection(server: Running) -> None:
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(f"ws://127.0.0.1:{server.port}/queue/none/ws/c", proxy=None),
    ):
        pass
    assert refused.value.response.status_code == 404


def test_a_server_that_stops_lets_go_of_consumers(app: Mainspring, server: Running) -> None:
    app.configure("q", by_hand=True)
    with consuming(server) as connection:
        server.service.stop()
        with pytest.raises(ConnectionClosed):
            connection.recv(timeout=20)
