"""Whatever comes in the fields of a command, it is answered, and nothing breaks."""

import logging
from typing import Any

import pytest

from mainspring import Mainspring
from mainspring.server.backend.service import Service
from mainspring.server.synap.routes import SynapRoutes
from tests.server.synap.conftest import Wire

GARBAGE: list[Any] = [
    *(None, True, -1, 0, 2**63, 2**70, -(2**64), 1.5, 1e300, "", "x", "\x01s", "a..b", "*", "#"),
    *("é" * 1500, "\x00", [], [1], [-1], ["a"], ["a", "a"], ["\x01"], [None], [[]], {}, {"a": 1}),
    *([{"key": "a"}], [{"key": "a", "value": 1}] * 2, {"type": "seconds", "value": 2**70}, [300]),
]  # fmt: skip

GOOD: dict[str, Any] = {
    "name": "q", "queue": "q", "config": {}, "payload": [1], "consumer_id": "c", "priority": 1,
    "max_retries": 1, "headers": {"a": "b"}, "delay": 0, "ttl": 60, "timeout": 0,
    "ack_deadline": 30, "message_id": "00000000-0000-7000-8000-000000000000", "requeue": True,
    "limit": 1, "message_ids": ["00000000-0000-7000-8000-000000000000"], "error": "e",
    "key": "k", "value": "v", "amount": 1, "keys": ["k"], "pairs": [{"key": "k", "value": 1}],
    "pattern": "*", "prefix": "k", "type": "bytes", "start": 0, "end": 1, "offset": 0,
    "expiry": None, "topic": "t", "topics": ["t"], "metadata": {}, "subscriber_id": "s",
    "room": "r", "event": "e", "data": 1, "from_offset": 0, "max_events": 10, "client_id": "t",
    "nx": False, "get": True,
}  # fmt: skip

FIELDS: dict[str, set[str]] = {
    "queue": {
        *("name", "queue", "config", "payload", "consumer_id", "priority", "max_retries"),
        *("headers", "delay", "ttl", "timeout", "ack_deadline", "message_id", "requeue", "limit"),
        *("message_ids", "error"),
    },
    "kv": {
        *("key", "value", "ttl", "amount", "keys", "pairs", "pattern", "prefix", "limit", "type"),
        *("start", "end", "offset", "expiry", "client_id", "nx", "get"),
    },
    "pubsub": {"topic", "topics", "payload", "metadata", "subscriber_id"},
    "stream": {
        *("room", "event", "data", "metadata", "subscriber_id", "from_offset", "limit"),
        "max_events",
    },
    "transaction": {"client_id", "keys"},
}


@pytest.mark.parametrize("noun", FIELDS)
def test_garbage_in_a_field_breaks_nothing(
    synap: Wire, app: Mainspring, noun: str, caplog: pytest.LogCaptureFixture
) -> None:
    synap.told("queue.create", name="q")
    synap.told("stream.create", room="r")
    commands = [name for name in SynapRoutes(Service(app)).table if name.split(".")[0] == noun]
    good = {field: GOOD[field] for field in FIELDS[noun]}
    pairs = [(command, field) for command in commands for field in sorted(good)]
    for n, (command, field) in enumerate(pairs):
        for garbage in GARBAGE[n % 9 :: 9]:  # others each time: commands share their reading
            told = synap.ask(command, {**good, field: garbage})
            broken = (told["error"] or "").startswith("Internal error")
            assert not broken, (command, field, garbage)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert synap.rest("GET", "/health")["status"] == "healthy"
    assert app.store.check() == []
