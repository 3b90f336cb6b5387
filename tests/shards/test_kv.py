"""Key-value over several shards: entries are spread, found and never mistaken for each other."""

from collections.abc import Callable
from typing import Any

import pytest

from mainspring.cells import Add, Put
from mainspring.engines.shards.store import ShardsStore
from mainspring.errors import NotInteger, StoreUnavailable, VersionConflict
from mainspring.move import copy
from mainspring.store import Store

KEYS = [f"k{n:02}" for n in range(40)]
Open = Callable[..., ShardsStore]
Single = Callable[[str], Store]


def filled(store: Store) -> dict[str, int]:
    """All keys, and the versions of their entries."""
    versions = store.kv_set([Put(key, key.encode()) for key in KEYS])
    return dict(zip(KEYS, versions, strict=True))


def keys_in(store: Store) -> set[str]:
    return {cell.key for cell in store.kv_scan()}


def test_entries_are_spread_and_read_in_one_order(open_shards: Open, single: Single) -> None:
    store = open_shards("abc")
    versions = filled(store)
    parts = [keys_in(single(name)) for name in "abc"]
    assert sum(map(len, parts)) == len(KEYS)
    assert all(parts)
    assert [cell.key for cell in store.kv_scan()] == KEYS
    assert {cell.key: cell.version for cell in store.kv_scan()} == versions
    assert [cell.key for cell in store.kv_scan("k1", after="k12", limit=3)] == ["k13", "k14", "k15"]
    assert [cell and cell.value for cell in store.kv_get(["k39", "none", "k00"])] == [
        b"k39",
        None,
        b"k00",
    ]
    assert len(set(versions.values())) == len(KEYS)


def test_every_verb_reaches_entries_wherever_they_are(open_shards: Open) -> None:
    store = open_shards()
    assert store.kv_add([Add(key, n) for n, key in enumerate(KEYS)]) == list(range(40))
    assert store.kv_touch([*KEYS, "none"], 60_000_000) == [True] * 40 + [False]
    assert store.kv_delete([*KEYS, "none"]) == 40


def test_a_conflict_names_the_versions_that_programs_know(open_shards: Open) -> None:
    store = open_shards()
    versions = filled(store)
    for key in KEYS:
        with pytest.raises(VersionConflict) as caught:
            store.kv_set([Put(key, b"", expected=5)])
        assert (caught.value.expected, caught.value.found) == (5, versions[key])
        [later] = store.kv_set([Put(key, b"", expected=versions[key])])
        assert later > versions[key]
    with pytest.raises(NotInteger):
        store.kv_add([Add("k00", 1)])


def test_an_entry_stays_where_it_was_written_when_a_shard_is_added(
    open_shards: Open, single: Single
) -> None:
    before = open_shards("ab")
    versions = filled(before)
    after = open_shards("abc")
    assert [cell and cell.version for cell in after.kv_get(KEYS)] == list(versions.values())
    later = {key: after.kv_set([Put(key, b"", expected=n)])[0] for key, n in versions.items()}
    assert keys_in(single("c")) == set()
    assert after.kv_delete(KEYS) == 40
    anew = filled(after)
    assert keys_in(single("c"))
    assert not {*anew.values()} & {*versions.values(), *later.values()}
    assert len(after.kv_scan()) == 40


def test_a_draining_shard_gets_no_new_entries_and_its_own_are_read(
    open_shards: Open, single: Single
) -> None:
    versions = filled(open_shards("ab"))
    in_b = keys_in(single("b"))
    store = open_shards("ab", draining="b")
    assert {cell.key: cell.version for cell in store.kv_scan()} == versions
    store.kv_set([Put(f"new{n}", b"") for n in range(20)])
    assert keys_in(single("b")) == in_b


def test_a_drained_shard_is_copied_to_the_others(open_shards: Open, single: Single) -> None:
    filled(open_shards("ab"))
    rest = open_shards("a")
    copied = copy(single("b"), rest)
    assert copied.entries == copied.new_entries > 0
    assert copied.wrong == ()
    assert [cell.key for cell in rest.kv_scan()] == KEYS


def test_with_a_shard_away_what_is_at_home_elsewhere_goes_on(
    open_shards: Open, single: Single, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_shards("ab")
    filled(store)
    in_a = sorted(keys_in(single("a")))
    in_b = sorted(keys_in(single("b")))
    [b] = [shard for shard in store._ring.shards if shard.name == "b"]

    def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        for verb in ("kv_get", "kv_set", "kv_scan"):
            patch.setattr(b.store(), verb, away)
        assert len(store.kv_get(in_a)) == len(in_a)
        store.kv_set([Put(in_a[0], b"new")])
        for keys in ([in_b[0]], ["none"]):
            with pytest.raises(StoreUnavailable, match="shard 'b'"):
                store.kv_get(keys)
            with pytest.raises(StoreUnavailable, match="shard 'b'"):
                store.kv_set([Put(keys[0], b"")])
    assert len(store.kv_get(in_b)) == len(in_b)
