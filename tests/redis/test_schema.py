"""The schema: made at once, known again, and nothing of others touched."""

import pytest

from mainspring.engines import open_store
from mainspring.errors import SchemaError
from mainspring.job import HandedBack, Select
from mainspring.store import Store
from tests.contract.stage import Stage, Time, everything, ids, new
from tests.redis.conftest import client_of
from tests.servers.redis import Server


def test_a_newer_schema_is_refused(server: Server) -> None:
    client_of(server).hset("{mainspring}:meta", "version", 99)
    with pytest.raises(SchemaError, match="newer"):
        open_store(server.url)


@pytest.mark.parametrize("value", ["", "x"])
def test_what_is_no_schema_is_refused(server: Server, value: str) -> None:
    client_of(server).hset("{mainspring}:meta", "version", value)
    with pytest.raises(SchemaError):
        open_store(server.url)


@pytest.mark.parametrize("name", ["meta", "body", "releases", "leases", "number"])
def test_keys_of_somebody_else_are_refused_and_left_alone(server: Server, name: str) -> None:
    client_of(server).rpush(f"{{mainspring}}:{name}", "mine")
    with pytest.raises(SchemaError, match="prefix"):
        open_store(server.url)
    assert client_of(server).lrange(f"{{mainspring}}:{name}", 0, -1) == [b"mine"]


def test_a_key_that_turned_into_something_else_is_named(server: Server) -> None:
    store = open_store(server.url)
    store.insert([new()])
    client_of(server).set("{mainspring}:at", "mine")
    with pytest.raises(SchemaError):
        store.exchange([], Stage(store, Time()).wish())
    store.close()


@pytest.mark.parametrize(
    "name",
    ["ready:default", "later:default", "tag:t", "key:k", "count", "span", "policy", "unique"],
)
def test_a_key_of_another_kind_keeps_an_insert_out_as_a_whole(store: Store, name: str) -> None:
    stage = Stage(store, Time())
    kept = stage.put(queue="kept", unique="k")
    client = store._parts.client  # type: ignore[attr-defined]
    before = client.redis.dump(client.key(name)) or b""
    client.redis.delete(client.key(name))
    client.redis.setrange(client.key(name), 0, "mine")
    with pytest.raises(SchemaError):
        stage.insert(new(), new(tags=("t",), key="k", unique="x", delay=5))
    client.redis.delete(client.key(name))
    if before:
        client.redis.restore(client.key(name), 0, before)
    assert store.check() == []
    assert ids(everything(store)) == [kept.id]


def test_two_prefixes_are_two_stores(server: Server) -> None:
    stores = [open_store(f"{server.url}?prefix={name}") for name in ("a", "b")]
    stores[0].insert([new()])
    assert len(stores[0].find(Select())) == 1
    assert stores[1].find(Select()) == []
    for store in stores:
        store.close()


def test_everything_lies_under_one_hash_tag(server: Server) -> None:
    store = open_store(server.url)
    stage = Stage(store, Time())
    parent = stage.put(unique="k", tags=("t",), key="x", headers={"a": "b"}, expires=5)
    stage.insert(new(delay=5).after(parent))
    stage.claim()
    stage.heartbeat()
    store.close()
    keys = client_of(server).keys()
    assert keys
    assert all(key.startswith(b"{mainspring}:") for key in keys)


def test_a_store_of_which_everything_was_deleted_leaves_nothing_behind(store: Store) -> None:
    stage = Stage(store, Time())
    client = store._parts.client  # type: ignore[attr-defined]
    stage.put()
    stage.store.delete(Select(), now=stage.now)
    before = set(client.redis.keys(f"{client.tag}:*"))
    parent = stage.put(unique="k", tags=("t",), key="x", expires=5_000_000)
    stage.insert(new(delay=5).after(parent), new().after(parent))
    for held in stage.claim():
        stage.fail(held)
    stage.tidy()
    assert len(stage.store.delete(Select(), now=stage.now).ids) == 3
    # Entries of a list that are out of date go by their time, as do settled grants.
    left = {key.partition(b":")[2] for key in set(client.redis.keys(f"{client.tag}:*")) - before}
    by_time = (b"grant", b"settled", b"minute", b"ended:")
    assert [key for key in left if not key.startswith(by_time)] == []
    assert stage.store.check() == []


def test_a_store_that_was_flushed_begins_anew(server: Server) -> None:
    stage = Stage(open_store(server.url), Time())
    stage.put()
    held = stage.take()
    client_of(server).flushall()
    assert stage.end(held, HandedBack()).lost == ((held.number, held.token),)
    job = stage.put()
    assert stage.take().id == job.id
    assert stage.store.check() == []
    stage.store.close()
