"""The client's key-value."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mainspring import (
    AsyncClient,
    Client,
    Entry,
    InvalidArguments,
    Mainspring,
    NotInteger,
    PayloadTooLarge,
    VersionConflict,
)
from mainspring.client import Value
from tests.client.conftest import Story


@dataclass
class Progress:
    percent: int
    note: str = ""


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1.5, "é", [1, [2]], {"a": {"b": None}}, b"", b"\0\xff", {"base64": "x"}],
)
def test_a_value_comes_back_as_it_went(client: Client, app: Mainspring, value: Any) -> None:
    version = client.kv.set("k", value)
    assert client.kv.get("k") == Value("k", True, value, version)
    assert app.kv.get("k", "none") == value


def test_what_is_not_there_is_not_found(client: Client) -> None:
    assert client.kv.get("none") == Value("none", False)
    assert client.kv.get("none").value is None


@pytest.mark.parametrize("key", ["a/b", "a b?c#d", ".", "..", "é🦊", "%2F", "x/increment", "get"])
def test_a_key_may_hold_any_characters(client: Client, app: Mainspring, key: str) -> None:
    client.kv.set(key, 1)
    assert [entry.key for entry in app.kv.scan()] == [key]
    assert client.kv.increment(key) == 2
    assert client.kv.touch(key, 60)
    assert client.kv.get(key).value == 2
    assert client.kv.delete(key) == 1


def test_a_value_is_read_as_the_type_that_is_wanted(client: Client) -> None:
    client.kv.set("k", Progress(40, "cutting"))
    found = client.kv.get("k", type=Progress)
    assert found.value == Progress(40, "cutting")
    client.kv.set("k", {"percent": "many"})
    with pytest.raises(InvalidArguments, match="percent: expected `int`, got `str`"):
        client.kv.get("k", type=Progress)
    assert client.kv.get("none", type=Progress).value is None


def test_a_time_to_live_is_in_seconds(client: Client) -> None:
    for ttl in (60, "1m", timedelta(minutes=1)):
        client.kv.set("k", 1, ttl=ttl)
        expires = client.kv.get("k").expires
        assert expires is not None
        assert timedelta(seconds=50) < expires - datetime.now(UTC) < timedelta(seconds=61)
    assert client.kv.touch("k")
    assert client.kv.get("k").expires is None
    assert not client.kv.touch("none", 5)


def test_a_write_may_want_a_version_or_none(client: Client) -> None:
    version = client.kv.set("k", 1, if_absent=True)
    newer = client.kv.set("k", 2, if_version=version)
    with pytest.raises(VersionConflict) as raised:
        client.kv.set("k", 3, if_version=version)
    assert (raised.value.key, raised.value.expected, raised.value.found) == ("k", version, newer)
    with pytest.raises(VersionConflict):
        client.kv.set("k", 3, if_absent=True)
    assert client.kv.get("k").value == 2


def test_counters_and_their_refusals(client: Client) -> None:
    assert [
        client.kv.increment("n"),
        client.kv.increment("n", 5),
        client.kv.increment("n", -7),
    ] == [
        1,
        6,
        -1,
    ]
    client.kv.set("text", "seven")
    with pytest.raises(NotInteger):
        client.kv.increment("text")


def test_many_at_once(client: Client) -> None:
    assert client.kv.set_many({"a": 1, "b": None, "c": [2]}, ttl=60).keys() == {"a", "b", "c"}
    assert client.kv.get_many(["c", "none", "b"]) == {"c": [2], "b": None}
    assert client.kv.delete("a", "none", "b") == 2


def test_a_scan_goes_through_all_pages(client: Client, app: Mainspring) -> None:
    for start in range(0, 230, 100):
        app.kv.set_many({f"user/{n:03}": n for n in range(start, min(230, start + 100))})
    app.kv.set("z", b"\xff")
    assert [entry.value for entry in client.kv.scan("user/")] == list(range(230))
    assert [entry.key for entry in client.kv.scan("user/", limit=2)] == ["user/000", "user/001"]
    assert len(list(client.kv.scan("user/", limit=150))) == 150
    [last] = client.kv.scan(after="user/229")
    assert last == Entry("z", b"\xff", last.version)
    assert list(client.kv.scan(limit=0)) == []


def test_what_does_not_fit_is_refused_in_words(client: Client) -> None:
    with pytest.raises(InvalidArguments, match="printable"):
        client.kv.set("a\n", 1)
    with pytest.raises(InvalidArguments, match="ttl"):
        client.kv.set("k", 1, ttl="soon")
    with pytest.raises(InvalidArguments, match="nan"):
        client.kv.set("k", float("nan"))
    with pytest.raises(InvalidArguments, match="printable"):
        client.kv.get("\ud800")
    with pytest.raises(InvalidArguments, match="got 7"):
        client.kv.get(7)  # type: ignore[call-overload]
    with pytest.raises(PayloadTooLarge):
        client.kv.set("k", "x" * 1_000_001)
    with pytest.raises(InvalidArguments, match="got bytes"):
        client.kv.set_many({"k": b"x"})


def test_the_async_client_does_the_same(told: Callable[[Story], Any]) -> None:
    async def story(client: AsyncClient) -> None:
        version = await client.kv.set("k", {"percent": 1}, ttl=60)
        found = await client.kv.get("k", type=Progress)
        assert (found.value, found.version) == (Progress(1), version)
        assert not (await client.kv.get("none")).found
        counted = await asyncio.gather(*(client.kv.increment("n") for _ in range(20)))
        assert sorted(counted) == list(range(1, 21))
        await client.kv.set_many({f"user/{n:03}": n for n in range(100)})
        await client.kv.set("user/100", 100)
        assert [each.value async for each in client.kv.scan("user/")] == list(range(101))
        assert await client.kv.get_many(["k", "n"]) == {"k": {"percent": 1}, "n": 20}
        assert await client.kv.touch("k") is True
        assert await client.kv.delete("k", "n") == 2

    told(story)
