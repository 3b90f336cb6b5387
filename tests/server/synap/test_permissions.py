"""What each of Synap's commands and paths takes: a key for it, and for the names it uses."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from mainspring import Mainspring
from mainspring.server.backend.service import Service
from mainspring.server.synap.rest import WAYS
from mainspring.server.synap.routes import SynapRoutes
from mainspring.server.terms import Terms
from tests.server.conftest import Running
from tests.server.synap.conftest import Wire

LOOKING = {
    *("queue.list", "queue.stats", "queue.dead_letters", "kv.get", "kv.exists", "kv.mget"),
    *("kv.scan", "kv.keys", "kv.dbsize", "kv.ttl", "kv.stats", "kv.getrange", "kv.strlen"),
    *("pubsub.subscribe", "pubsub.unsubscribe", "pubsub.stats", "pubsub.topics", "pubsub.list"),
    *("pubsub.info", "stream.consume", "stream.stats", "stream.list"),
}
WRITING = {
    *("queue.create", "queue.publish", "kv.set", "kv.del", "kv.incr", "kv.decr", "kv.mset"),
    *("kv.msetnx", "kv.mdel", "kv.expire", "kv.persist", "kv.append", "kv.setrange", "kv.getset"),
    *("pubsub.publish", "stream.create", "stream.get_or_create", "stream.publish"),
    *("transaction.multi", "transaction.exec", "transaction.discard", "transaction.watch"),
    "transaction.unwatch",
}
CONSUMING = {"queue.consume", "queue.ack", "queue.nack"}
RULING = {
    *("queue.delete", "queue.purge", "queue.dead_letters.retry", "queue.dead_letters.purge"),
    *("kv.flushdb", "kv.flushall", "stream.delete"),
}
COMMANDS = {"read": LOOKING, "enqueue": WRITING, "work": CONSUMING, "admin": RULING}


@pytest.fixture
def server(app: Mainspring) -> Iterator[Running]:
    running = Running(app, Terms(synap=True, keys=True))
    yield running
    running.stop()


def holding(app: Mainspring, server: Running, *permissions: str, only: Any = ()) -> Wire:
    key = app.keys.create("k", permissions, only=only).key
    headers = {"Authorization": f"Bearer {key}"}
    return Wire(base_url=f"http://127.0.0.1:{server.port}", headers=headers, timeout=30)


def test_every_command_is_listed_here(app: Mainspring) -> None:
    known = SynapRoutes(Service(app)).table.keys()
    assert known == LOOKING | WRITING | CONSUMING | RULING


@pytest.mark.parametrize("permission", COMMANDS)
def test_a_key_carries_out_the_commands_it_is_for_and_no_other(
    app: Mainspring, server: Running, permission: str
) -> None:
    with holding(app, server, permission) as wire:
        for needed, commands in COMMANDS.items():
            for command in commands:
                error = wire.ask(command, {})["error"] or ""
                refused = error.startswith("Forbidden: expected a key with")
                assert refused == (permission not in (needed, "admin")), (command, error)


def test_a_path_takes_the_same_key_as_its_command(app: Mainspring, server: Running) -> None:
    for way in WAYS:
        path = re.sub(r"\{[a-z_]+(:path)?\}", "x", way.place)
        [needed] = [name for name, commands in COMMANDS.items() if way.command in commands]
        with holding(app, server, "work" if needed != "work" else "read") as wire:
            assert wire.request(way.method, path, json={}).status_code == 403, way
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as nobody:
            assert nobody.request(way.method, path, json={}).status_code == 401, way


@pytest.mark.parametrize("credentials", [None, "Bearer", "Bearer wrong", "Basic cm9vdDpyb290"])
def test_no_command_is_carried_out_without_a_key(
    server: Running, app: Mainspring, credentials: str | None
) -> None:
    key = app.keys.create("k", ["admin"]).key
    headers = {"Authorization": credentials} if credentials else {}
    body = {"command": "kv.dbsize", "request_id": "1", "payload": {}}
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", headers=headers) as client:
        for path in ("/api/v1/command", f"/api/v1/command?api_key={key}"):
            assert client.post(path, json=body).status_code == 401
        assert client.get("/health").status_code == 200


def test_who_only_writes_is_not_told_what_was_there(app: Mainspring, server: Running) -> None:
    app.kv.set("k", "secret")
    with holding(app, server, "enqueue") as wire:
        assert "expected a key with read" in wire.refused("kv.getset", key="k", value="x")
        assert "expected a key with read" in wire.refused("kv.set", key="k", value="x", get=True)
        assert app.kv.get("k") == "secret"
    with holding(app, server, "enqueue", "read") as wire:
        assert wire.told("kv.set", key="k", value="x", get=True)["old_value"] == "secret"
        assert wire.told("kv.getset", key="k", value="y") == "x"


def test_what_a_key_may_not_know_is_not_there_and_not_made(
    app: Mainspring, server: Running
) -> None:
    with holding(app, server, "admin") as wire:
        wire.told("queue.create", name="yours")
        wire.told("queue.publish", queue="yours", payload=[1])
        wire.told("kv.set", key="yours", value=1)
        wire.told("stream.create", room="yours")
        wire.told("pubsub.publish", topic="yours", payload=1)
    with holding(app, server, "admin", only=["mine*"]) as wire:
        assert wire.told("queue.list") == {"queues": []}
        assert wire.refused("queue.stats", queue="yours") == "Queue not found: yours"
        assert wire.told("queue.consume", queue="yours", consumer_id="c") == {"message": None}
        assert wire.told("queue.delete", queue="yours") == {"deleted": False}
        assert wire.told("kv.get", key="yours") is None
        assert wire.told("kv.mget", keys=["yours"]) == {"values": [None]}
        assert wire.told("kv.del", key="yours") == {"deleted": False}
        assert wire.told("kv.expire", key="yours", ttl=1) == {"result": False}
        assert wire.told("kv.keys")["keys"] == wire.told("stream.list")["rooms"] == []
        assert wire.told("kv.flushdb") == {"flushed": 0}
        assert "not found" in wire.refused("stream.stats", room="yours")
        assert wire.told("pubsub.topics") == {"topics": [], "count": 0}
        assert "not found" in wire.refused("pubsub.info", topic="yours")
        wire.told("transaction.multi", client_id="t")
        assert wire.told("kv.del", key="yours", client_id="t") == {"deleted": False}
        for command, fields in (
            ("queue.create", {"name": "new"}),
            ("queue.publish", {"queue": "yours", "payload": [1]}),
            ("kv.set", {"key": "yours", "value": 2}),
            ("kv.mset", {"pairs": [{"key": "yours", "value": 2}]}),
            ("kv.incr", {"key": "yours"}),
            ("kv.append", {"key": "yours", "value": "x"}),
            ("kv.getset", {"key": "yours", "value": "x"}),
            ("stream.create", {"room": "new"}),
            ("pubsub.publish", {"topic": "yours", "payload": 1}),
        ):
            assert wire.refused(command, **fields).startswith("Forbidden: "), command
        wire.told("kv.set", key="mine", value=1)
    with holding(app, server, "admin") as wire:
        assert wire.told("kv.keys")["keys"] == ["mine", "yours"]
        assert wire.told("queue.stats", queue="yours")["depth"] == 1
        assert wire.refused("transaction.exec", client_id="t").endswith("in progress")


def test_figures_are_of_what_a_key_may_know(app: Mainspring, server: Running) -> None:
    with holding(app, server, "admin") as wire:
        wire.told("kv.set", key="yours", value=1)
        wire.told("kv.get", key="yours")
        wire.told("kv.del", key="yours")
        wire.told("pubsub.publish", topic="yours", payload=1)
    with holding(app, server, "admin", only=["mine*"]) as wire:
        told = wire.told("kv.stats")
        assert not any(told.pop("operations").values())
        assert not any(told.values())
        wire.told("kv.set", key="mine", value=1)
        assert wire.told("kv.stats")["operations"]["sets"] == 1
        assert "expected a key for all names" in wire.refused("pubsub.stats")
    with holding(app, server, "admin") as wire:
        told = wire.told("kv.stats")["operations"]
        assert told == {"gets": 1, "sets": 2, "dels": 1, "hits": 1, "misses": 0}
        assert wire.told("pubsub.stats")["messages_published"] == 1


def test_the_product_keeps_its_own_entries_to_itself(app: Mainspring, server: Running) -> None:
    with holding(app, server, "admin") as wire:
        wire.told("queue.create", name="q")
        wire.told("stream.create", room="r")
        wire.told("transaction.multi", client_id="t")
        assert wire.told("kv.keys") == {"keys": [], "count": 0}
        assert wire.told("kv.scan", prefix="\x01") == {"keys": [], "count": 0}
        assert wire.told("kv.dbsize") == {"size": 0}
        assert wire.told("kv.flushall") == {"flushed": 0}
        assert wire.told("stream.list")["count"] == 1
        [own] = [cell.key for cell in app.store.kv_scan("\x01synap/room/")]
        assert "printable" in wire.refused("kv.get", key=own)
        assert "printable" in wire.refused("kv.del", key=own)
        assert "printable" in wire.refused("kv.mdel", keys=[own])
        assert "printable" in wire.refused("transaction.watch", keys=[own], client_id="t")
        assert "printable" in wire.refused("kv.del", key=own, client_id="t")


def test_what_only_a_key_for_everything_can_do_is_written_down(
    app: Mainspring, server: Running
) -> None:
    with holding(app, server, "admin") as wire:
        wire.told("queue.create", name="q", config={"max_depth": 5})
        wire.told("queue.create", name="q")
        wire.told("queue.publish", queue="q", payload=[1])
        wire.told("queue.purge", queue="q")
        wire.refused("queue.purge", queue="none")
        wire.rest("DELETE", "/queue/q")
    with holding(app, server, "read") as wire:
        wire.refused("kv.flushdb")
    command = "POST /api/v1/command"
    purge = {"command": "queue.purge", "payload": {"queue": "q"}}
    nothing = {"command": "queue.purge", "payload": {"queue": "none"}}
    deeds = [(deed.what, deed.status, deed.after) for deed in app.audit.since("1m")]
    assert deeds == [
        (command, 200, {"name": "q", "config": {"max_depth": 5}}),
        (command, 200, purge),
        (command, 404, nothing),
        ("DELETE /queue/q", 200, None),
    ]
