"""Check: what is broken is said in a sentence, whatever it is."""

from collections.abc import Callable
from typing import Any

import pytest

from mainspring.cells import Put
from mainspring.durations import HOUR
from mainspring.posts import NewPost
from mainspring.store import Store
from tests.contract.stage import Stage, Time, new

Break = Callable[[Any, Callable[[str], str]], object]

NUMBER = b"%014d"

DAMAGES: dict[str, tuple[Break, str]] = {
    "no body": (lambda r, k: r.hdel(k("body"), NUMBER % 1), "does not exist"),
    "no place": (lambda r, k: r.zrem(k("ready:default"), NUMBER % 1), "not where its row says"),
    "two places": (lambda r, k: r.zadd(k("ready:default"), {NUMBER % 4: 1}), "not where"),
    "wrong count": (lambda r, k: r.hincrby(k("count"), "3:default", 1), "counts"),
    "old number": (lambda r, k: r.set(k("number"), 1), "last number given"),
    "no id": (lambda r, k: r.delete(k("id")), "not found by its id"),
    "no policy": (lambda r, k: r.delete(k("policy")), "policy"),
    "no grant": (lambda r, k: r.delete(k("grant")), "grant that does not exist"),
    "no holding": (lambda r, k: r.delete(k("holds")), "does not reach"),
    "no lease": (lambda r, k: r.delete(k("leases")), "expiry"),
    "no edge": (lambda r, k: r.delete(k(f"kids:{2:014d}")), "waits for no job"),
    "no parents": (lambda r, k: r.delete(k(f"parents:{3:014d}")), "does not know"),
    "no key": (lambda r, k: r.delete(k("unique")), "unique key"),
    "no expiry": (lambda r, k: r.delete(k("expiry:default")), "nothing will end it"),
    "not blocked": (lambda r, k: r.delete(k("blocked")), "blocked, or not"),
    "early release": (lambda r, k: r.sadd(k("releases"), NUMBER % 2), "has not ended"),
    "no segment": (lambda r, k: r.delete(k("span")), "segment"),
    "no entry": (lambda r, k: r.hdel(k("kv"), "a"), "listed otherwise"),
    "no key in the list": (lambda r, k: r.zrem(k("kv:keys"), "b"), "listed otherwise"),
    "no end": (lambda r, k: r.delete(k("kv:due")), "another end"),
    "old version": (lambda r, k: r.hset(k("meta"), "kv", 1), "last one given is 1"),
    "same version": (lambda r, k: r.hset(k("kv"), "a", r.hget(k("kv"), "b")), "same version"),
    "no post": (lambda r, k: r.hdel(k("post"), "2"), "#2 has no text"),
    "no time of a post": (lambda r, k: r.hdel(k("post:at"), "3"), "#3 has no time"),
    "old last post": (lambda r, k: r.hset(k("meta"), "posts:last", 2), "#3 has a text"),
    "no queue": (lambda r, k: r.delete(k("queue")), "queue"),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_named(store: Store, damage: Break, words: str) -> None:
    stage = Stage(store, Time())
    parent = new()
    stage.insert(new(), parent, new().after(parent), new(queue="run"))
    stage.insert(new(unique="k", expires=HOUR))
    stage.claim(queues=("run",))
    store.kv_set([Put("a", b"1"), Put("b", b"2", ttl=HOUR)])
    store.post([NewPost("t", b"1")] * 3)
    assert store.check() == []
    client = store._parts.client  # type: ignore[attr-defined]
    damage(client.redis, client.key)
    found = store.check()
    assert any(words in sentence for sentence in found), found
