"""The client's topics."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mainspring import (
    AsyncClient,
    Client,
    InvalidArguments,
    Mainspring,
    PayloadTooLarge,
    StoreUnavailable,
)
from mainspring.client import Post
from mainspring.client.events import Event, Events
from tests.client.conftest import BadLine, Story
from tests.server.conftest import Running


def test_what_is_published_is_heard_in_order(client: Client) -> None:
    with client.pubsub.subscribe("orders.*", "users.#") as posts:
        number = client.pubsub.publish("orders.created", {"id": 7}, headers={"from": "web"})
        client.pubsub.publish("other", 1)
        client.pubsub.publish("users.ada.seen", b"\0\xff")
        heard = iter(posts)
        first, second = next(heard), next(heard)
    assert (first.topic, first.message, first.headers) == (
        "orders.created",
        {"id": 7},
        {"from": "web"},
    )
    assert first.number == number
    assert timedelta(0) <= datetime.now(UTC) - first.at < timedelta(minutes=1)
    assert (second.topic, second.message) == ("users.ada.seen", b"\0\xff")


def test_a_subscription_may_begin_behind_a_post(client: Client) -> None:
    first = client.pubsub.publish("t", 1)
    client.pubsub.publish("t", 2)
    for after in (first, str(first)):
        with client.pubsub.subscribe("t", after=after) as posts:
            post = next(iter(posts))
            assert post.message == 2
    with client.pubsub.subscribe("t", after=0) as posts:
        assert next(iter(posts)).message == 1
    with client.pubsub.subscribe("t", after=post.position) as posts:
        client.pubsub.publish("t", 3)
        assert next(iter(posts)).message == 3


def heard(posts: Any, count: int) -> list[Any]:
    found: list[Any] = []
    for post in posts:
        found.append(post.message)
        if len(found) == count:
            break
    return found


def test_a_line_that_breaks_is_made_anew_and_nothing_is_missed(
    server: Running, client: Client, app: Mainspring, bad: BadLine
) -> None:
    bad.faults = ["before"]
    with Client(bad.url) as other, other.pubsub.subscribe("t") as posts:
        client.pubsub.publish("t", 0)
        assert heard(posts, 1) == [0]
        bad.cut()
        for n in range(1, 4):
            client.pubsub.publish("t", n)
        assert heard(posts, 3) == [1, 2, 3]
        assert posts.missed == 0
    assert len(bad.requests) == 3
    assert b"last-event-id" in bad.requests[-1].lower()


def test_a_server_that_is_started_anew_is_found_again(app: Mainspring) -> None:
    first = Running(app)
    taken: list[Post] = []
    began = threading.Event()

    def listen() -> None:
        with (
            Client(f"http://127.0.0.1:{first.port}") as client,
            client.pubsub.subscribe("t") as posts,
        ):
            began.set()
            for post in posts:
                taken.append(post)
                if post.message == "last":
                    return

    listener = threading.Thread(target=listen)
    listener.start()
    assert began.wait(20)
    app.topics.publish("t", "first")
    first.stop()
    app.topics.publish("t", "while it was away")
    second = Running(app, port=first.port)
    app.topics.publish("t", "last")
    listener.join(30)
    second.stop()
    assert [post.message for post in taken] == ["first", "while it was away", "last"]


def test_where_nobody_listens_is_said() -> None:
    with (
        Client("http://127.0.0.1:1", retries=1) as client,
        pytest.raises(StoreUnavailable, match="does not answer"),
        client.pubsub.subscribe("t"),
    ):
        pass


def test_what_does_not_fit_is_refused_in_words(client: Client) -> None:
    with pytest.raises(InvalidArguments, match="topic"):
        client.pubsub.publish("a..b", 1)
    with pytest.raises(PayloadTooLarge):
        client.pubsub.publish("t", "x" * 1_000_001)
    with pytest.raises(InvalidArguments, match="expected names or patterns"):
        client.pubsub.subscribe()
    with pytest.raises(InvalidArguments), client.pubsub.subscribe("a.#.b"):
        pass


def test_a_post_whose_answer_was_lost_is_not_sent_again(bad: BadLine, client: Client) -> None:
    with client.pubsub.subscribe("t") as posts:
        bad.faults = ["after"]
        with Client(bad.url) as other, pytest.raises(StoreUnavailable, match="may have been done"):
            other.pubsub.publish("t", 1)
        client.pubsub.publish("t", 2)
        assert heard(posts, 2) == [1, 2]


def test_the_async_client_does_the_same(told: Callable[[Story], Any], bad: BadLine) -> None:
    async def story(client: AsyncClient) -> None:
        async with AsyncClient(bad.url) as other, other.pubsub.subscribe("t.*") as posts:
            await asyncio.gather(*(client.pubsub.publish("t.n", n) for n in range(20)))
            found = []
            async for post in posts:
                found.append(post.message)
                if len(found) == 20:
                    break
            assert sorted(found) == list(range(20))
            bad.cut()
            await client.pubsub.publish("t.n", "again")
            async for post in posts:
                assert post.message == "again"
                break
            assert posts.missed == 0

    told(story)


def test_a_stream_is_the_same_however_it_is_cut() -> None:
    stream = (
        b"retry: 2000\n\nevent: connected\nid: 1\ndata: {}\n\n"
        b"id: 5\n: still here\n\nevent: message\r\nid: 7\r\ndata: one\r\ndata:two\r\n\r\n"
        b": nothing\n\ndata: three\nid: 8\n"
    )
    whole = list(Events("0").feed(stream))
    assert whole == [Event("connected", "{}"), Event("message", "one\ntwo")]
    for size in range(1, 20):
        events, found = Events("0"), []
        for start in range(0, len(stream), size):
            found += events.feed(stream[start : start + size])
        assert found == whole
        assert events.last_id == "7"  # the last event is not whole


def test_an_event_counts_as_heard_when_it_is_taken() -> None:
    """Else who ends behind the first of a piece, and goes on at the position, misses the others."""
    events = Events("0")
    taken = events.feed(b"id: 1\ndata: one\n\nid: 2\ndata: two\n\n")
    assert (next(taken), events.last_id) == (Event("message", "one"), "1")
    assert (next(taken), events.last_id) == (Event("message", "two"), "2")
