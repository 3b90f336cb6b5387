"""Key-value as programs see it: values, ends, versions, and what is refused."""

import asyncio
import copy
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mainspring import (
    Entry,
    InvalidArguments,
    KeyValue,
    Mainspring,
    NotInteger,
    PayloadTooLarge,
    VersionConflict,
)


@pytest.fixture
def kv() -> Iterator[KeyValue]:
    with Mainspring("sqlite://:memory:", max_payload=1000) as app:
        yield app.kv


@pytest.mark.parametrize(
    "value", [None, True, 0, -1.5, "é", [1, [2]], {"a": {"b": None}}, b"", b"\0\xff", [], {}]
)
def test_a_value_comes_back_as_it_went(kv: KeyValue, value: Any) -> None:
    kv.set("k", value)
    assert kv.get("k", "default") == value
    assert type(kv.get("k")) is type(value)


def test_richer_values_come_back_as_json(kv: KeyValue) -> None:
    kv.set("k", {"at": datetime(2030, 1, 1, tzinfo=UTC), "tags": {"one"}})
    assert kv.get("k") == {"at": "2030-01-01T00:00:00Z", "tags": ["one"]}


def test_what_is_not_there_is_the_default(kv: KeyValue) -> None:
    assert kv.get("k") is None
    assert kv.get("k", 5) == 5
    assert kv.entry("k") is None
    kv.set("k", None)
    assert kv.get("k", 5) is None
    assert kv.get_many(["k", "none", "k"]) == {"k": None}


def test_an_entry_tells_its_version_and_its_end(kv: KeyValue) -> None:
    version = kv.set("k", [1])
    assert kv.entry("k") == Entry("k", [1], version)
    before = datetime.now(UTC)
    kv.set("k", 2, ttl=timedelta(minutes=5))
    entry = kv.entry("k")
    assert entry is not None
    assert entry.version > version
    assert entry.expires is not None
    span = entry.expires - before
    assert timedelta(minutes=5) <= span < timedelta(minutes=6)
    assert kv.touch("k")
    assert kv.entry("k") == Entry("k", 2, entry.version)
    assert kv.touch("k", "1h")
    assert not kv.touch("none", "1h")


def test_a_value_is_written_only_over_what_was_read(kv: KeyValue) -> None:
    first = kv.set("k", 1, if_absent=True)
    second = kv.set("k", 2, if_version=first)
    with pytest.raises(VersionConflict, match=f"key 'k': expected version {first}, found version"):
        kv.set("k", 3, if_version=first)
    with pytest.raises(VersionConflict, match="expected no entry, found version"):
        kv.set("k", 3, if_absent=True)
    with pytest.raises(VersionConflict, match="expected version 1, found no entry"):
        kv.set("none", 3, if_version=1)
    assert kv.entry("k") == Entry("k", 2, second)


def test_a_conflict_goes_from_process_to_process(kv: KeyValue) -> None:
    kv.set("k", 1)
    with pytest.raises(VersionConflict) as caught:
        kv.set("k", 2, if_absent=True)
    there = copy.copy(caught.value)  # by the same parts as between processes
    assert (str(there), there.found) == (str(caught.value), caught.value.found)


def test_a_counter_is_an_integer_value(kv: KeyValue) -> None:
    assert [kv.increment("n"), kv.increment("n", 41), kv.increment("n", -2, ttl="5m")] == [
        1,
        42,
        40,
    ]
    assert kv.entry("n").expires is None  # type: ignore[union-attr]
    kv.increment("windowed", ttl="5m")
    assert kv.entry("windowed").expires is not None  # type: ignore[union-attr]
    kv.set("text", "1")
    kv.set("bytes", b"1")
    for key, words in (("text", 'got "1"'), ("bytes", "got 1 raw bytes")):
        with pytest.raises(NotInteger, match=words):
            kv.increment(key)


def test_delete_tells_how_many_there_were(kv: KeyValue) -> None:
    kv.set("a", 1)
    kv.set("b", 1)
    assert kv.delete("a", "b", "b", "none") == 2
    assert kv.delete() == 0


def test_a_scan_goes_through_all_pages(kv: KeyValue) -> None:
    keys = [f"k{n:03}" for n in range(250)]
    for key in keys:
        kv.set(key, key)
    kv.set("other", 1)
    assert [each.value for each in kv.scan("k")] == keys
    assert [each.key for each in kv.scan("k", limit=150)] == keys[:150]
    assert [each.key for each in kv.scan("k", after="k149", limit=101)] == keys[150:]
    assert [each.key for each in kv.scan(limit=0)] == []
    assert [each.key for each in kv.scan()] == [*keys, "other"]


def test_every_verb_has_a_twin(kv: KeyValue) -> None:
    async def main() -> None:
        version = await kv.aset("k", 1, ttl="1h")
        assert await kv.aget("k") == 1
        assert await kv.aentry("k") == kv.entry("k")
        assert await kv.aincrement("k", by=2) == 3
        with pytest.raises(VersionConflict):
            await kv.aset("k", 1, if_version=version)
        assert await kv.aget_many(["k"]) == {"k": 3}
        assert await kv.atouch("k")
        assert [each.key async for each in kv.ascan("k", limit=5)] == ["k"]
        assert sum(await asyncio.gather(*(kv.adelete("k") for _ in range(3)))) == 1

    asyncio.run(main())


NO_KEYS: list[Any] = ["", "a\n", "\0", "\ud800", "x" * 1001, "🙂" * 501, None, 5, b"k"]


@pytest.mark.parametrize("key", NO_KEYS, ids=lambda key: ascii(key)[:12])
def test_what_is_no_key_is_refused_by_every_verb(kv: KeyValue, key: Any) -> None:
    verbs: list[Callable[[], object]] = [
        lambda: kv.get(key),
        lambda: kv.entry(key),
        lambda: kv.get_many([key]),
        lambda: kv.set(key, 1),
        lambda: kv.increment(key),
        lambda: kv.touch(key),
        lambda: kv.delete("a", key),
    ]
    if key is not None:
        verbs.append(lambda: kv.scan(after=key))
    if key:
        verbs.append(lambda: kv.scan(key))
    for verb in verbs:
        with pytest.raises(InvalidArguments, match="expected"):
            verb()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "too large": ({"value": "x" * 999}, "at most 1,000 bytes, got 1,001"),
    "NaN": ({"value": float("nan")}, "key 'k': nan cannot be stored"),
    "object": ({"value": object()}, "key 'k': an object of type object"),
    "no time": ({"ttl": 0}, "ttl: expected more than 0"),
    "negative": ({"ttl": -1}, "ttl: expected"),
    "words": ({"ttl": "soon"}, "ttl: expected a duration"),
    "both": ({"if_version": 1, "if_absent": True}, "got both"),
    "version": ({"if_version": 0}, "if_version: expected a version, from 1, got 0"),
    "true": ({"if_version": True}, "if_version: expected"),
}


@pytest.mark.parametrize(("options", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    kv: KeyValue, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidArguments, match=words):
        kv.set("k", **{"value": 1, **options})
    assert list(kv.scan()) == []


def test_a_value_beyond_the_limit_has_an_error_of_its_own(kv: KeyValue) -> None:
    kv.set("k", b"x" * 999)
    with pytest.raises(PayloadTooLarge):
        kv.set("k", b"x" * 1000)


@pytest.mark.parametrize("by", [1.0, "1", None, True, 2**63, -(2**63) - 1])
def test_a_counter_takes_integers_only(kv: KeyValue, by: Any) -> None:
    with pytest.raises(InvalidArguments, match="by: expected an integer of 64 bits"):
        kv.increment("n", by)


@pytest.mark.parametrize("limit", [-1, 1.5, "1", True])
def test_a_scan_wants_a_number_as_its_limit(kv: KeyValue, limit: Any) -> None:
    with pytest.raises(InvalidArguments, match="limit: expected"):
        kv.scan(limit=limit)


def test_a_list_of_keys_is_no_text(kv: KeyValue) -> None:
    with pytest.raises(InvalidArguments, match="keys: expected a list"):
        kv.get_many("key")


def test_many_are_set_at_once_or_none(kv: KeyValue) -> None:
    versions = kv.set_many({"a": 1, "b": b"2"}, ttl="1h")
    found = kv.entries(["a", "none", "b"])
    assert {key: entry.version for key, entry in found.items()} == versions
    assert [entry.value for entry in found.values()] == [1, b"2"]
    assert all(entry.expires for entry in found.values())
    with pytest.raises(PayloadTooLarge):
        kv.set_many({"a": 3, "c": "x" * 1000})
    assert kv.get_many(["a", "c"]) == {"a": 1}
    assert kv.set_many({}) == {}
    assert asyncio.run(kv.aset_many({"a": 4})).keys() == {"a"}
    assert asyncio.run(kv.aentries(["a"]))["a"].value == 4
