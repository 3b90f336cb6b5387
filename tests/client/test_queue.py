"""The client's messages."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from mainspring import (
    AsyncClient,
    Client,
    InvalidArguments,
    LeaseLost,
    Mainspring,
    PayloadTooLarge,
    QueueFull,
    UnknownJob,
)
from mainspring.client import Message
from tests.client.conftest import BadLine, Story
from tests.worker.conftest import eventually


@dataclass
class Video:
    file: str
    seconds: int = 0


def test_a_message_is_published_consumed_and_acknowledged(client: Client) -> None:
    first = client.queue.publish("videos", {"file": "a.mp4"}, priority=5, headers={"user": "7"})
    second = client.queue.publish("videos", {"file": "b.mp4"})
    assert (first.position, second.position) == (1, 2)
    message = client.queue.consume("videos")
    assert message is not None
    assert message.message_id == first.message_id
    assert (message.message, message.headers, message.attempt) == (
        {"file": "a.mp4"},
        {"user": "7"},
        1,
    )
    assert (message.queue, message.type) == ("videos", "message")
    assert message.published_at <= datetime.now(UTC) < message.deadline
    message.ack()
    stats = client.queue.stats("videos")
    assert (stats.depth, stats.published_total, stats.consumed_total, stats.acked_total) == (
        1,
        2,
        1,
        1,
    )
    assert (stats.consumers, stats.in_flight, stats.dead_letter_count) == (0, 0, 0)
    assert stats.avg_wait_time_ms >= 0


def test_where_nothing_waits_nothing_comes(client: Client) -> None:
    assert client.queue.consume("videos") is None
    before = time.monotonic()
    assert client.queue.consume("videos", timeout=0.3) is None
    assert time.monotonic() - before >= 0.3


def test_a_consumer_that_waits_is_woken(client: Client, app: Mainspring) -> None:
    taken: list[Message[Any] | None] = []
    waiting = threading.Thread(
        target=lambda: taken.append(client.queue.consume("videos", timeout=30))
    )
    waiting.start()
    client.queue.publish("videos", 1)
    waiting.join(20)
    assert [each and each.message for each in taken] == [1]


@pytest.mark.parametrize(
    "body", [None, 0, "é", [1, {"a": None}], b"", b"\0\xff", {"base64": "x", "more": 1}]
)
def test_a_body_comes_back_as_it_went(client: Client, body: Any) -> None:
    client.queue.publish("q", body)
    message = client.queue.consume("q")
    assert message is not None
    assert message.message == body


def test_a_message_is_settled_by_its_receipt_or_its_id(client: Client) -> None:
    for _ in range(2):
        client.queue.publish("q", 1)
    one, other = client.queue.consume_many("q", 2)
    client.queue.ack("q", one.receipt, {"ok": True})
    client.queue.ack("q", other.message_id)
    assert client.tasks.get(one.message_id).result == {"ok": True}
    with pytest.raises(UnknownJob):
        client.queue.ack("q", str(uuid4()))
    with pytest.raises(InvalidArguments, match="receipt"):
        client.queue.ack("q", "no receipt")


def test_a_message_that_failed_comes_again_and_then_is_a_dead_letter(client: Client) -> None:
    client.queue.publish("q", 1, max_retries=1)
    message = client.queue.consume("q")
    assert message is not None
    assert message.nack(delay=0.05, error="not now") == "requeued"
    again = client.queue.consume("q", timeout=20)
    assert again is not None
    assert again.attempt == 2
    assert client.queue.nack("q", again.receipt) == "dead_lettered"
    stats = client.queue.stats("q")
    assert (stats.dead_letter_count, stats.dead_lettered_total) == (1, 1)
    [letter] = client.queue.dead_letters("q")
    assert (str(letter.id), letter.payload) == (message.message_id, 1)
    assert client.queue.replay_dead_letters("q", message.message_id) == 1
    last = client.queue.consume("q")
    assert last is not None
    assert last.nack(requeue=False, error="for good") == "dead_lettered"
    assert [each.error and each.error.message for each in client.queue.dead_letters("q")] == [
        "for good"
    ]
    assert client.queue.purge_dead_letters("q") == 1
    assert list(client.queue.dead_letters("q")) == []


def test_a_deadline_is_kept_moved_and_passes(client: Client) -> None:
    client.queue.publish("q", 1)
    message = client.queue.consume("q", ack_deadline=60)
    assert message is not None
    assert timedelta(seconds=50) < message.deadline - datetime.now(UTC) < timedelta(seconds=61)
    until = message.extend("5m")
    assert timedelta(seconds=290) < until - datetime.now(UTC) < timedelta(seconds=301)
    client.queue.extend("q", message.receipt, 0.05)
    other = client.queue.consume("q", timeout=20)
    assert other is not None
    assert other.attempt == 2
    with pytest.raises(LeaseLost):
        message.ack()
    other.ack()


def test_a_message_that_is_released_costs_no_attempt(client: Client) -> None:
    client.queue.publish("q", 1)
    for _ in range(2):
        message = client.queue.consume("q", timeout=20)
        assert message is not None
        assert message.attempt == 1
        message.release(delay=0.01)


def test_the_block_of_a_message_settles_it(client: Client) -> None:
    client.queue.publish_many("q", [1, 2, 3], max_retries=0)
    message = client.queue.consume("q")
    assert message is not None
    with message:
        assert message.message == 1
    failing = client.queue.consume("q")
    assert failing is not None
    with pytest.raises(ValueError, match="not good"), failing:
        raise ValueError("not good")
    leaving = client.queue.consume("q")
    assert leaving is not None
    with pytest.raises(KeyboardInterrupt), leaving:
        raise KeyboardInterrupt
    [letter] = client.queue.dead_letters("q")
    assert letter.error is not None
    assert letter.error.message == "ValueError: not good"
    stats = client.queue.stats("q")
    assert (stats.acked_total, stats.depth) == (1, 1)


def test_messages_are_read_as_the_type_that_is_wanted(client: Client) -> None:
    client.queue.publish("q", {"length": 7})
    client.queue.publish("q", Video("a.mp4", 30))
    message = client.queue.consume("q", type=Video)
    assert message is not None
    assert message.message == Video("a.mp4", 30)
    [letter] = client.queue.dead_letters("q")
    assert letter.error is not None
    assert "file" in letter.error.message


def test_only_the_kinds_that_are_wanted_are_taken(client: Client) -> None:
    client.queue.publish("q", 1, type="cut")
    client.queue.publish("q", 2, type="thumbnail")
    message = client.queue.consume("q", types=["thumbnail"], consumer="w1")
    assert message is not None
    assert (message.message, message.type) == (2, "thumbnail")
    assert client.queue.consume("q", types=["thumbnail"]) is None


def test_options_mean_what_they_mean_in_the_library(client: Client) -> None:
    id = uuid4()
    soon = datetime.now(UTC) + timedelta(hours=1)
    late = client.queue.publish("q", 1, id=id, delay="1h", label="Later", tags=["x"], key="k")
    assert (late.message_id, late.position) == (str(id), None)
    client.queue.publish("q", 2, run_at=soon, expires="2h")
    one = client.queue.publish("q", 3, unique="u", unique_for=5)
    assert client.queue.publish("q", 3, unique="u").message_id == one.message_id
    task = client.tasks.get(id)
    assert (task.label, task.tags) == ("Later", ("x",))


def test_what_does_not_fit_is_refused_in_words(client: Client, app: Mainspring) -> None:
    with pytest.raises(InvalidArguments, match="unknown option 'prio'"):
        client.queue.publish("q", 1, prio=5)  # type: ignore[call-arg]
    with pytest.raises(InvalidArguments, match="priority"):
        client.queue.publish("q", 1, priority=101)
    with pytest.raises(InvalidArguments, match="max"):
        client.queue.consume_many("q", 0)
    with pytest.raises(InvalidArguments, match="timeout"):
        client.queue.consume("q", timeout="soon")
    with pytest.raises(InvalidArguments, match="queue"):
        client.queue.publish("", 1)
    with pytest.raises(PayloadTooLarge):
        client.queue.publish("q", "x" * 1_000_001)
    app.configure("small", max_depth=1)
    with pytest.raises(QueueFull), Client(str(client_url(client)), retries=0) as hasty:
        hasty.queue.publish_many("small", [1, 2])


def client_url(client: Client) -> str:
    return client._line._settings.url


def test_a_message_whose_answer_was_lost_is_stored_once(bad: BadLine, app: Mainspring) -> None:
    bad.faults = ["after", "before", "after"]
    with Client(bad.url) as client:
        published = client.queue.publish("q", 1)
        client.queue.publish_many("q", [2, 3])
        assert client.queue.stats("q").depth == 3
        bad.faults = ["before"]
        message = client.queue.consume("q")
        assert message is not None
        assert message.message_id == published.message_id
        bad.faults = ["after", "after"]
        message.ack()
        assert client.queue.stats("q").acked_total == 1


def test_a_delivery_whose_answer_was_lost_comes_again_after_its_deadline(bad: BadLine) -> None:
    with Client(bad.url) as client:
        client.queue.publish("q", 1)
        bad.faults = ["after"]
        message = client.queue.consume("q", timeout=20, ack_deadline=0.2)
        assert message is not None
        assert (message.message, message.attempt) == (1, 2)


def test_the_async_client_does_the_same(told: Callable[[Story], Any]) -> None:
    async def story(client: AsyncClient) -> None:
        waiting = asyncio.ensure_future(client.queue.consume("q", timeout=30, type=Video))
        published = await client.queue.publish("q", Video("a.mp4"), priority=9)
        message = await waiting
        assert message is not None
        assert (message.message_id, message.message) == (published.message_id, Video("a.mp4"))
        await message.extend("5m")
        await message.ack({"done": True})
        await client.queue.publish_many("q", ["x", Video("b.mp4")], max_retries=0)
        other = await client.queue.consume("q", type=Video)
        assert other is not None
        with pytest.raises(ValueError, match="bad"):
            async with other:
                raise ValueError("bad")
        letters = [letter async for letter in client.queue.dead_letters("q")]
        assert len(letters) == 2
        assert await client.queue.replay_dead_letters("q") == 2
        found = await client.queue.consume_many("q", 5)
        assert len(found) == 2
        async with found[0]:
            pass
        await found[1].release()
        stats = await client.queue.stats("q")
        assert (stats.acked_total, stats.depth, stats.dead_lettered_total) == (2, 1, 2)

    told(story)


def test_who_stops_waiting_takes_nothing(told: Callable[[Story], Any], app: Mainspring) -> None:
    async def story(client: AsyncClient) -> None:
        waiting = asyncio.ensure_future(client.queue.consume("q", timeout=30))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    told(story)
    app.queue("q").publish(1)
    eventually(lambda: app.queue("q").consume())
