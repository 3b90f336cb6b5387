"""Synap's wire on stores of each kind: what it asks of them beyond the verbs that others use."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mainspring import Mainspring
from mainspring.server.terms import Terms
from tests.server.conftest import Running, until
from tests.server.synap.conftest import Wire
from tests.servers import postgres
from tests.servers.redis import in_folder, redis_url

STORES: dict[str, Callable[[Path], str]] = {
    "memory": lambda folder: "sqlite://:memory:",
    "postgres": lambda folder: postgres.in_folder(folder, postgres.server_url),
    "redis": lambda folder: in_folder(redis_url(), folder),
    "shards": lambda folder: (
        f"shards://a=sqlite:///{folder}/a.db b=sqlite:///{folder}/b.db c=sqlite:///{folder}/c.db"
    ),
}


@pytest.fixture(params=STORES)
def synap(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Wire]:
    with Mainspring(STORES[request.param](tmp_path)) as app:
        running = Running(app, Terms(synap=True))
        with Wire(base_url=f"http://127.0.0.1:{running.port}", timeout=30) as client:
            yield client
        running.stop()


def test_transactions(synap: Wire) -> None:
    for n in range(8):
        synap.told("kv.set", key=f"k{n}", value=n, ttl=60)
    synap.told("transaction.multi", client_id="t")
    synap.told("transaction.watch", client_id="t", keys=["k0", "none"])
    for n in range(1, 8):
        synap.told("kv.incr", client_id="t", key=f"k{n}", amount=10)
    synap.told("kv.del", client_id="t", key="k7")
    synap.told("transaction.exec", client_id="t")
    assert synap.told("kv.mget", keys=[f"k{n}" for n in range(8)]) == {
        "values": [0, *range(11, 17), None]
    }
    assert synap.told("kv.keys")["count"] == 7
    assert 58 <= synap.told("kv.ttl", key="k3")["ttl"] <= 60
    synap.told("transaction.watch", client_id="t", keys=["k0", "none"])
    synap.told("kv.set", client_id="t", key="k1", value=1)
    synap.told("kv.set", key="none", value=1)
    assert synap.told("transaction.exec", client_id="t")["aborted"]
    assert synap.told("kv.get", key="k1") == "11"
    assert "in progress" in synap.refused("transaction.exec", client_id="t")


def test_values_and_their_ends(synap: Wire) -> None:
    synap.told("kv.set", key="a", value='{"x": 1}', ttl=60)
    assert synap.told("kv.append", key="a", value="\x00") == {"length": 9}
    assert synap.told("kv.get", key="a") == '{"x": 1}\x00'
    assert synap.told("kv.expire", key="a", ttl=0) == {"result": True}
    assert synap.told("kv.get", key="a") is None
    synap.told("kv.set", key="b", value=1, ttl=0)
    assert synap.told("kv.dbsize") == {"size": 0}
    for n in range(5):
        synap.told("kv.set", key=f"k{n}", value=n)
    assert synap.told("kv.flushdb") == {"flushed": 5}


def test_streams(synap: Wire) -> None:
    synap.told("stream.create", room="r")
    for n in range(12):
        assert synap.told("stream.publish", room="r", event="e", data=n)["offset"] == n
    events = synap.told("stream.consume", room="r", subscriber_id="s", from_offset=3)["events"]
    assert [event["offset"] for event in events] == list(range(3, 12))
    assert [bytes(event["data"]) for event in events] == [b"%d" % n for n in range(3, 12)]
    synap.told("stream.delete", room="r")
    assert synap.told("stream.list") == {"rooms": [], "count": 0}


def test_queues(synap: Wire) -> None:
    synap.told("queue.create", name="q", config={"default_max_retries": 1})
    id = synap.told("queue.publish", queue="q", payload=[0, 255])["message_id"]
    for n in range(2):
        message = synap.told("queue.consume", queue="q", consumer_id="c", timeout=20)["message"]
        assert (message["id"], message["payload"]) == (id, [0, 255])
        assert (message["retry_count"], message["max_retries"]) == (n, 1)
        synap.told("queue.nack", queue="q", message_id=id)
    until(lambda: synap.told("queue.stats", queue="q")["consumed"] == 2)
    stats = synap.told("queue.stats", queue="q")
    assert (stats["depth"], stats["nacked"], stats["dead_lettered"]) == (0, 2, 1)
    synap.told("queue.delete", queue="q")
    assert synap.told("queue.list") == {"queues": []}
