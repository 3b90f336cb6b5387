"""Synap's own client for Python, unmodified, against the server."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from synap_sdk import SynapClient, SynapConfig
from synap_sdk.exceptions import SynapException

from mainspring import Mainspring
from mainspring.server.terms import Terms
from tests.server.conftest import Running

Use = Callable[[Any], Awaitable[None]]


def using(server: Running, use: Use, **config: Any) -> None:
    async def used() -> None:
        address = f"http://127.0.0.1:{server.port}"
        async with SynapClient(SynapConfig(address, **config)) as client:
            await use(client)

    asyncio.run(used())


def test_health(server: Running) -> None:
    async def use(client: Any) -> None:
        told = await client.health()
        assert (told["status"], told["service"]) == ("healthy", "synap")

    using(server, use)


def test_queue(server: Running, app: Mainspring) -> None:
    async def use(client: Any) -> None:
        queue = client.queue
        await queue.create_queue("tasks", max_size=10, message_ttl=60)
        await queue.create_queue("tasks")
        assert await queue.list() == ["tasks"]
        ids = [
            await queue.publish("tasks", {"action": "process"}, priority=9, max_retries=1),
            await queue.publish("tasks", "plain text"),
            await queue.publish("tasks", b"\xff\x00", priority=1),
        ]
        message = await queue.consume("tasks", "worker-1")
        assert (message.id, message.payload) == (ids[0], {"action": "process"})
        assert (message.priority, message.retries, message.max_retries) == (9, 0, 1)
        await queue.nack("tasks", message.id)
        again = await queue.consume("tasks", "worker-2")
        assert (again.id, again.retries) == (ids[0], 1)
        await queue.nack("tasks", again.id)
        others = [await queue.consume("tasks", "worker-1") for _ in range(2)]
        assert [other.payload for other in others] == ["plain text", b"\xff\x00"]
        for other in others:
            await queue.ack("tasks", other.id)
        assert await queue.consume("tasks", "worker-1") is None
        stats = await queue.stats("tasks")
        assert (stats["depth"], stats["acked"], stats["dead_lettered"]) == (0, 2, 1)
        with pytest.raises(SynapException, match="Message not found"):
            await queue.ack("tasks", ids[0])
        with pytest.raises(SynapException, match="Queue not found: none"):
            await queue.publish("none", 1)
        await queue.delete_queue("tasks")
        assert await queue.list() == []

    using(server, use)


def test_kv(server: Running, app: Mainspring) -> None:
    async def use(client: Any) -> None:
        kv = client.kv
        values = {"text": "John Doe", "dict": {"a": [1, None]}, "number": 7, "flag": True}
        for key, value in values.items():
            await kv.set(key, value, ttl=60)
            assert await kv.get(key) == value
        assert await kv.get("none") is None
        assert await kv.exists("text")
        await kv.delete("text")
        assert not await kv.exists("text")
        assert [await kv.incr("n"), await kv.incr("n", 5), await kv.decr("n", 2)] == [1, 6, 4]
        assert await kv.decr("n") == 3
        assert await kv.scan("n") == ["n", "number"]
        stats = await kv.stats()
        assert stats["total_keys"] == 4
        with pytest.raises(SynapException, match="Invalid value"):
            await kv.incr("dict")

    using(server, use)
    assert app.kv.get("dict") == {"a": [1, None]}


def test_pubsub(server: Running, app: Mainspring) -> None:
    async def use(client: Any) -> None:
        async with app.topics.subscribe("news.#") as subscription:
            await client.pubsub.subscribe_topics("s-1", ["news.*"])
            assert await client.pubsub.publish("news.local", {"n": 1}) == 1
            post = await subscription.aget("20s")
            assert post is not None
            assert post.body == {"n": 1}
        assert await client.pubsub.list_topics() == ["news.local"]
        assert (await client.pubsub.stats())["messages_published"] == 1
        await client.pubsub.unsubscribe_topics("s-1", ["news.*"])
        assert await client.pubsub.publish("news.local", 2) == 0

    using(server, use)


def test_stream(server: Running) -> None:
    async def use(client: Any) -> None:
        stream = client.stream
        await stream.create_room("events")
        assert await stream.get_or_create_room("events", max_events=10) is False
        assert [await stream.publish("events", "made", {"n": n}) for n in range(2)] == [0, 1]
        events = await stream.read("events", offset=1)
        assert [(event.offset, event.event) for event in events] == [(1, "made")]
        assert bytes(events[0].data) == b'{"n":1}'
        assert (await stream.stats("events"))["max_offset"] == 1
        assert await stream.list_rooms() == ["events"]
        await stream.delete_room("events")
        with pytest.raises(SynapException, match="Room 'events' not found"):
            await stream.publish("events", "made", 1)

    using(server, use)


def test_transaction(server: Running) -> None:
    async def use(client: Any) -> None:
        transaction = client.transaction
        await transaction.multi(client_id="t")
        await client.send_command("kv.set", {"key": "a", "value": "1", "client_id": "t"})
        assert await client.kv.get("a") is None
        assert (await transaction.exec(client_id="t"))["results"] == [{"ok": True}]
        assert await client.kv.get("a") == 1
        await transaction.multi(client_id="t")
        await transaction.watch(["a"], client_id="t")
        await client.kv.set("a", 2)
        assert (await transaction.exec(client_id="t"))["aborted"] is True
        await transaction.multi(client_id="t")
        await transaction.unwatch(client_id="t")
        await transaction.discard(client_id="t")

    using(server, use)


def test_keys(app: Mainspring) -> None:
    made = app.keys.create("sdk", ["enqueue", "work"], only=["mine*"])
    server = Running(app, Terms(synap=True, keys=True))

    async def holder(client: Any) -> None:
        await client.health()
        with pytest.raises(SynapException, match="Forbidden: expected a key with admin"):
            await client.queue.create_queue("mine")
        with pytest.raises(SynapException, match="Forbidden: expected a key with read"):
            await client.queue.list()
        app.configure("mine", by_hand=True)
        id = await client.queue.publish("mine", "hello")
        assert (await client.queue.consume("mine", "c")).id == id
        await client.queue.ack("mine", id)
        with pytest.raises(SynapException, match="Forbidden"):
            await client.queue.publish("other", "hello")
        app.queue("other").publish(1)
        assert await client.queue.consume("other", "c") is None
        with pytest.raises(SynapException, match="Forbidden"):
            await client.kv.set("other", 1)

    async def stranger(client: Any) -> None:
        await client.health()
        with pytest.raises(SynapException, match="expected a key"):
            await client.queue.publish("mine", 1)

    try:
        using(server, holder, auth_token=made.key)
        using(server, stranger)
        using(server, stranger, auth_token="ms_" + "0" * 16 + "_" + "x" * 43)
    finally:
        server.stop()
