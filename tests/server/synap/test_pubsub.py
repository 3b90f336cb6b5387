"""Synap's publish and subscribe."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from msgspec import json
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from mainspring import Mainspring
from tests.server.conftest import Running, until
from tests.server.synap.conftest import Wire


def heard(connection: ClientConnection) -> Any:
    return json.decode(connection.recv(timeout=20))


@contextmanager
def listening(server: Running, topics: str) -> Iterator[tuple[ClientConnection, Any]]:
    url = f"ws://127.0.0.1:{server.port}/pubsub/ws?topics={topics}"
    with connect(url, proxy=None) as connection:
        yield connection, heard(connection)


def test_what_is_published_comes_over_the_websocket(synap: Wire, server: Running) -> None:
    with listening(server, "a,b.*") as (connection, first):
        assert first.pop("subscriber_id")
        assert first == {"type": "connected", "topics": ["a", "b.*"], "subscription_count": 2}
        synap.told("pubsub.publish", topic="other", payload=0)
        told = synap.told("pubsub.publish", topic="b.c", payload={"n": 1}, metadata={"by": "me"})
        assert told.keys() == {"message_id", "topic", "subscribers_matched"}
        assert (told["topic"], told["subscribers_matched"]) == ("b.c", 1)
        message = heard(connection)
        assert message.pop("timestamp") > 0
        assert message == {
            "type": "message", "message_id": told["message_id"], "topic": "b.c",
            "payload": {"n": 1}, "metadata": {"by": "me"},
        }  # fmt: skip
    until(lambda: synap.told("pubsub.stats")["total_subscribers"] == 0)


def test_others_hear_what_is_published_here_and_the_other_way(
    synap: Wire, server: Running, app: Mainspring
) -> None:
    with app.topics.subscribe("a") as subscription:
        synap.told("pubsub.publish", topic="a", data="hello")
        post = subscription.get("20s")
        assert post is not None
        assert post.body == "hello"
    with listening(server, "a") as (connection, _):
        app.topics.publish("a", [1], headers={"h": "x"})
        message = heard(connection)
        assert (message["payload"], message["metadata"]) == ([1], {"h": "x"})


def test_a_websocket_needs_topics(server: Running) -> None:
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(f"ws://127.0.0.1:{server.port}/pubsub/ws", proxy=None),
    ):
        pass
    assert refused.value.response.status_code == 400


def test_subscriptions_are_registered_and_counted(synap: Wire) -> None:
    told = synap.told("pubsub.subscribe", topics=["a.b", "a.*", "x.#"], subscriber_id="s")
    expected = {"subscriber_id": "s", "topics": ["a.b", "a.*", "x.#"], "subscription_count": 3}
    assert told == expected
    assert synap.told("pubsub.subscribe", topics=["a.b"])["subscriber_id"]
    assert synap.told("pubsub.publish", topic="a.b", payload=1)["subscribers_matched"] == 2
    assert synap.told("pubsub.publish", topic="x.y.z", payload=1)["subscribers_matched"] == 1
    assert synap.told("pubsub.stats") == {
        "total_topics": 2, "total_subscribers": 2, "total_wildcard_subscriptions": 2,
        "messages_published": 2, "messages_delivered": 3, "slow_consumers_dropped": 0,
    }  # fmt: skip
    assert synap.told("pubsub.topics") == {"topics": ["a.b", "x.y.z"], "count": 2}
    info = synap.told("pubsub.info", topic="a.b")
    assert info.pop("created_at") > 0
    assert info == {"topic": "a.b", "subscriber_count": 2, "message_count": 1}
    told = synap.told("pubsub.unsubscribe", subscriber_id="s", topics=["a.b", "none"])
    assert told == {"unsubscribed": 1}
    assert synap.told("pubsub.unsubscribe", subscriber_id="s") == {"unsubscribed": 2}
    assert synap.told("pubsub.unsubscribe", subscriber_id="s") == {"unsubscribed": 0}


def test_what_cannot_be_done_is_told_in_words(synap: Wire) -> None:
    words = "Invalid request: "
    assert synap.refused("pubsub.publish", topic="", payload=1).startswith(words + "topic: ")
    missing = "Missing 'payload' or 'data' field"
    assert synap.refused("pubsub.publish", topic="a") == words + missing
    assert synap.refused("pubsub.subscribe", topics=[]) == words + "At least one topic required"
    assert synap.refused("pubsub.info", topic="none") == words + "Topic 'none' not found"


def test_failures_of_the_paths_have_status_200(synap: Wire) -> None:
    told = synap.rest("POST", "/pubsub/subscribe", {"topics": ["a"]})
    id = told["subscriber_id"]
    told = synap.rest("POST", "/pubsub/a/publish", {"payload": 1})
    assert (told["topic"], told["subscribers_matched"]) == ("a", 1)
    assert synap.rest("GET", "/pubsub/topics") == {"topics": ["a"], "count": 1}
    assert synap.rest("GET", "/pubsub/a/info")["message_count"] == 1
    assert synap.rest("GET", "/pubsub/stats")["messages_published"] == 1
    unsubscribed = synap.rest("POST", "/pubsub/unsubscribe", {"subscriber_id": id})
    assert unsubscribed == {"unsubscribed": 1}
    assert synap.rest("GET", "/pubsub/none/info").keys() == {"error"}
    assert synap.rest("POST", "/pubsub/a/publish", {}).keys() == {"error"}
