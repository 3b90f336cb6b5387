"""Synap's queues: its shapes and statuses, and what is better kept than there."""

import threading
import time
from typing import Any

import pytest

from mainspring import Mainspring, State
from tests.server.conftest import until
from tests.server.synap.conftest import Wire


def octets(text: str) -> list[int]:
    return list(text.encode())


@pytest.fixture
def queue(synap: Wire) -> str:
    synap.told("queue.create", name="q")
    return "q"


def published(synap: Wire, text: str = "m", **fields: Any) -> str:
    id: str = synap.told("queue.publish", queue="q", payload=octets(text), **fields)["message_id"]
    return id


def consumed(synap: Wire, consumer: str = "c", **fields: Any) -> Any:
    return synap.told("queue.consume", queue="q", consumer_id=consumer, **fields)["message"]


def test_a_message_is_published_taken_and_acknowledged(synap: Wire, queue: str) -> None:
    id = published(synap, "hello", headers={"by": "me"})
    message = consumed(synap)
    assert {key: message[key] for key in ("id", "payload", "priority", "retry_count")} == {
        "id": id, "payload": octets("hello"), "priority": 5, "retry_count": 0,
    }  # fmt: skip
    assert (message["max_retries"], message["headers"]) == (3, {"by": "me"})
    assert synap.told("queue.ack", queue="q", message_id=id) == {"success": True}
    assert synap.told("queue.consume", queue="q", consumer_id="c") == {"message": None}
    until(lambda: synap.told("queue.stats", queue="q")["consumed"] == 1)
    stats = synap.told("queue.stats", queue="q")
    assert {key: stats[key] for key in list(stats)[:7]} == {
        "depth": 0, "consumers": 0, "published": 1, "consumed": 1, "acked": 1, "nacked": 0,
        "dead_lettered": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    "data", [b"", b"\x00\xff", b"hello", b'{"a": 1}', b'"quoted"', b"12", b" 12 ", "ü".encode()]
)
def test_every_byte_of_a_payload_comes_back(synap: Wire, queue: str, data: bytes) -> None:
    synap.told("queue.publish", queue="q", payload=list(data))
    assert bytes(consumed(synap)["payload"]) == data


def test_a_payload_is_the_same_for_programs_that_do_not_speak_synap(
    synap: Wire, queue: str, app: Mainspring
) -> None:
    for payload in ('{"file": "a.mp4"}', "hello"):
        published(synap, payload)
    synap.told("queue.publish", queue="q", payload=[255, 0])
    bodies = [message.body for message in app.queue("q").consume_many(3)]
    assert bodies == [{"file": "a.mp4"}, "hello", b"\xff\x00"]
    for body in ({"file": "a.mp4"}, "hello", b"\xff\x00"):
        app.queue("q").publish(body)
    payloads = [bytes(consumed(synap)["payload"]) for _ in range(3)]
    assert payloads == [b'{"file":"a.mp4"}', b"hello", b"\xff\x00"]


def test_a_message_of_any_json_needs_no_queue_that_was_made(synap: Wire) -> None:
    told = synap.told("queue.publish", queue="q", message={"n": 1}, priority=7)
    assert told["position"] == 1
    assert synap.told("queue.list") == {"queues": ["q"]}
    assert bytes(consumed(synap)["payload"]) == b'{"n":1}'


def test_higher_priorities_come_first_and_nine_is_the_highest(synap: Wire, queue: str) -> None:
    for text, priority in (("low", 0), ("usual", None), ("high", 8), ("beyond", 200)):
        published(synap, text, priority=priority)
    messages = [consumed(synap) for _ in range(4)]
    assert [bytes(message["payload"]).decode() for message in messages] == [
        "beyond", "high", "usual", "low",
    ]  # fmt: skip
    assert [message["priority"] for message in messages] == [9, 8, 5, 0]


def test_what_is_given_back_comes_again_at_once_until_its_retries_are_over(
    synap: Wire, queue: str
) -> None:
    id = published(synap, max_retries=2)
    for n in range(3):
        message = consumed(synap)
        assert (message["id"], message["retry_count"], message["max_retries"]) == (id, n, 2)
        told = synap.told("queue.nack", queue="q", message_id=id)
        assert told["success"] is True
        assert told["action"] == ("requeued" if n < 2 else "dead_lettered")
    assert consumed(synap) is None
    until(lambda: synap.told("queue.stats", queue="q")["consumed"] == 3)
    stats = synap.told("queue.stats", queue="q")
    assert (stats["nacked"], stats["dead_lettered"], stats["dead_letters"]) == (3, 1, 1)


def test_what_is_not_to_be_requeued_is_a_dead_letter_and_not_lost(synap: Wire, queue: str) -> None:
    id = published(synap, "bad")
    consumed(synap)
    told = synap.told("queue.nack", queue="q", message_id=id, requeue=False, error="no such file")
    assert told["action"] == "dead_lettered"
    told = synap.told("queue.dead_letters", queue="q")
    [letter] = told["messages"]
    assert (letter["message_id"], letter["payload"]) == (id, octets("bad"))
    assert (letter["reason"], letter["error"]) == ("rejected", "no such file")
    assert synap.told("queue.dead_letters.retry", queue="q", message_ids=[id]) == {"retried": 1}
    assert consumed(synap)["id"] == id
    synap.told("queue.nack", queue="q", message_id=id, requeue=False)
    assert synap.told("queue.dead_letters.purge", queue="q") == {"purged": 1}
    assert synap.told("queue.dead_letters", queue="q") == {"messages": [], "count": 0}


def test_no_retries_are_none(synap: Wire, queue: str) -> None:
    id = published(synap, max_retries=0)
    consumed(synap)
    assert synap.told("queue.nack", queue="q", message_id=id)["action"] == "dead_lettered"


def test_any_consumer_can_acknowledge_any_message(synap: Wire, queue: str) -> None:
    id = published(synap)
    consumed(synap, "one")
    assert synap.told("queue.stats", queue="q")["consumers"] == 1
    assert synap.told("queue.ack", queue="q", message_id=id) == {"success": True}


def test_a_message_of_another_queue_is_not_there(synap: Wire, queue: str) -> None:
    synap.told("queue.create", name="other")
    id = published(synap)
    consumed(synap)
    for command in ("queue.ack", "queue.nack"):
        told = synap.refused(command, queue="other", message_id=id)
        assert told == f"Message not found: {id}"
    assert synap.told("queue.ack", queue="q", message_id=id) == {"success": True}


def test_who_does_not_acknowledge_in_time_loses_the_message(synap: Wire) -> None:
    synap.told("queue.create", name="q", config={"ack_deadline_secs": 1})
    id = published(synap)
    assert consumed(synap)["id"] == id
    again = consumed(synap, "other", timeout=20, ack_deadline=60)
    assert (again["id"], again["retry_count"]) == (id, 1)


def test_a_consumer_waits_for_a_message_as_long_as_it_wants(synap: Wire, queue: str) -> None:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(consumed(synap, timeout=20)))
    thread.start()
    until(lambda: thread.is_alive())
    id = published(synap)
    thread.join()
    assert found[0]["id"] == id
    began = time.monotonic()
    assert consumed(synap, timeout=0.2) is None
    assert time.monotonic() - began >= 0.2


def test_a_consumer_with_enough_gets_no_more(synap: Wire) -> None:
    synap.told("queue.create", name="q", config={"prefetch_limit": 2})
    ids = [published(synap) for _ in range(3)]
    assert [consumed(synap, "a")["id"] for _ in range(2)] == ids[:2]
    assert consumed(synap, "a") is None
    assert consumed(synap, "b")["id"] == ids[2]
    synap.told("queue.ack", queue="q", message_id=ids[0])
    published(synap)
    assert consumed(synap, "a") is not None


def test_a_consumer_that_holds_all_it_may_gets_it_again_when_its_time_is_over(synap: Wire) -> None:
    config = {"prefetch_limit": 1, "ack_deadline_secs": 1}
    synap.told("queue.create", name="q", config=config)
    id = published(synap)
    assert consumed(synap, "a")["id"] == id
    found: list[Any] = []
    until(lambda: found.append(consumed(synap, "a")) or found[-1] is not None)
    assert (found[-1]["id"], found[-1]["retry_count"]) == (id, 1)


def test_a_full_queue_takes_no_more(synap: Wire) -> None:
    synap.told("queue.create", name="q", config={"max_depth": 1})
    published(synap)
    assert synap.refused("queue.publish", queue="q", payload=[1]) == "Queue is full: q"
    synap.rest("POST", "/queue/q/publish", {"payload": [1]}, status=507)


def test_the_settings_of_a_queue_are_those_of_its_first_creation(
    synap: Wire, app: Mainspring
) -> None:
    config = {
        "max_depth": 7, "ack_deadline_secs": 45, "default_max_retries": 1, "default_priority": 2,
        "retry_delays": [10, 60],
    }  # fmt: skip
    synap.told("queue.create", name="q", config=config)
    assert synap.told("queue.create", name="q", config={"max_depth": 1}) == {"success": True}
    [info] = app.queues()
    assert (info.max_depth, info.ack_deadline, info.max_retries) == (7, 45_000_000, 1)
    id = published(synap)
    message = consumed(synap)
    assert (message["priority"], message["max_retries"]) == (2, 1)
    synap.told("queue.nack", queue="q", message_id=id)
    assert app.store.get([bytes.fromhex(id.replace("-", ""))])[0].state is State.RETRYING  # type: ignore[union-attr]
    assert consumed(synap) is None


def test_a_queue_that_is_not_there_is_told(synap: Wire) -> None:
    words = "Queue not found: none"
    assert synap.refused("queue.publish", queue="none", payload=[1]) == words
    assert synap.refused("queue.ack", queue="none", message_id="x") == words
    assert synap.refused("queue.nack", queue="none", message_id="x") == words
    assert synap.refused("queue.stats", queue="none") == words
    assert synap.refused("queue.purge", queue="none") == words
    assert synap.told("queue.consume", queue="none", consumer_id="c") == {"message": None}
    assert synap.told("queue.delete", queue="none") == {"deleted": False}
    assert synap.told("queue.list") == {"queues": []}


def test_a_message_that_is_not_held_is_told(synap: Wire, queue: str) -> None:
    id = published(synap)
    unknown = "0" * 8 + "-0000-7000-8000-" + "0" * 12
    for given in (id, unknown, "invalid-message-id"):
        words = f"Message not found: {given}"
        assert synap.refused("queue.ack", queue="q", message_id=given) == words
        assert synap.refused("queue.nack", queue="q", message_id=given) == words
    consumed(synap)
    synap.told("queue.ack", queue="q", message_id=id)
    assert synap.refused("queue.ack", queue="q", message_id=id) == f"Message not found: {id}"


REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("queue.create", {}, "Missing 'name' field"),
    ("queue.publish", {"payload": [1]}, "Missing 'queue' field"),
    ("queue.publish", {"queue": "q"}, "Missing 'payload' field"),
    ("queue.publish", {"queue": "q", "payload": "text"}, "Missing 'payload' field"),
    ("queue.publish", {"queue": "q", "payload": [256]}, "'payload' must be an array of bytes"),
    ("queue.consume", {"queue": "q"}, "Missing 'consumer_id' field"),
    ("queue.consume", {"queue": "q", "consumer_id": "c", "timeout": 1e9}, "'timeout' must be"),
    ("queue.consume", {"queue": "q", "consumer_id": "c", "timeout": "1"}, "'timeout' must be"),
    ("queue.ack", {"queue": "q"}, "Missing 'message_id' field"),
    ("queue.delete", {}, "Missing 'name' field"),
]


def test_what_cannot_be_done_is_told_in_words(synap: Wire, queue: str) -> None:
    for name, payload, words in REFUSALS:
        told = synap.ask(name, payload)
        assert not told["success"]
        assert told["error"].startswith(f"Invalid request: {words}"), told


def test_a_purge_removes_what_waits_and_nothing_else(synap: Wire, queue: str) -> None:
    held = published(synap)
    consumed(synap)
    published(synap)
    published(synap, delay=60)
    assert synap.told("queue.purge", queue="q") == {"purged": 2}
    assert synap.told("queue.ack", queue="q", message_id=held) == {"success": True}


def test_a_queue_that_was_deleted_is_gone_with_its_messages(
    synap: Wire, queue: str, app: Mainspring
) -> None:
    published(synap)
    published(synap)
    consumed(synap)
    assert synap.told("queue.delete", name="q") == {"deleted": True}
    assert synap.told("queue.list") == {"queues": []}
    assert synap.refused("queue.publish", queue="q", payload=[1]) == "Queue not found: q"
    assert synap.told("queue.delete", queue="q") == {"deleted": False}
    synap.told("queue.create", name="q")
    assert consumed(synap) is None
    app.queue("other").publish(1)
    assert synap.told("queue.list") == {"queues": ["other", "q"]}


def test_the_paths_have_shapes_of_their_own(synap: Wire) -> None:
    assert synap.rest("POST", "/queue/q", {}) == {"success": True, "queue": "q"}
    told = synap.rest("POST", "/queue/q/publish", {"payload": octets("Hello"), "priority": 5})
    id = told["message_id"]
    message = synap.rest("GET", "/queue/q/consume/worker-1")
    assert (message["message_id"], message["payload"]) == (id, octets("Hello"))
    assert (message["priority"], message["retry_count"], message["max_retries"]) == (5, 0, 3)
    assert message["headers"] == {}
    assert synap.rest("POST", "/queue/q/ack", {"message_id": id}) == {"success": True}
    words = f"Message not found: {id}"
    assert synap.rest("POST", "/queue/q/ack", {"message_id": id}, status=404)["error"] == words
    nothing = dict.fromkeys(
        ("message_id", "payload", "priority", "retry_count", "max_retries", "headers")
    )
    assert synap.rest("GET", "/queue/q/consume/worker-1") == nothing
    assert synap.rest("GET", "/queue/none/consume/worker-1") == nothing
    body = {"message_id": id}
    error = synap.rest("POST", "/queue/q/nack", body, status=400)["error"]
    assert error == "Invalid request: Missing 'requeue' field"
    assert synap.rest("GET", "/queue/q/stats")["published"] == 1
    assert synap.rest("GET", "/queue/list") == {"queues": ["q"]}
    assert synap.rest("POST", "/queue/q/purge") == {"success": True, "purged": 0}
    assert synap.rest("DELETE", "/queue/q") == {"success": True, "deleted": True}
    assert synap.rest("DELETE", "/queue/q") == {"success": True, "deleted": False}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "publish", {"payload": [1]}),
        ("POST", "ack", {"message_id": "x"}),
        ("POST", "nack", {"message_id": "x", "requeue": True}),
        ("GET", "stats", None),
        ("POST", "purge", None),
    ],
)
def test_a_path_of_a_queue_that_is_not_there_has_status_404(
    synap: Wire, method: str, path: str, body: Any
) -> None:
    told = synap.rest(method, f"/queue/none/{path}", body, status=404)
    assert told == {"error": "Queue not found: none", "code": 404}


def test_a_path_can_wait_too(synap: Wire, queue: str) -> None:
    id = published(synap, delay=0.3)
    assert synap.rest("GET", "/queue/q/consume/c?timeout=20&ack_deadline=60")["message_id"] == id
