"""Synap's key-value commands and paths."""

import time
from typing import Any

import pytest

from mainspring import Mainspring
from tests.server.synap.conftest import Wire

VALUES: list[tuple[Any, str]] = [
    *((text, text) for text in (
        "text", "", '"quoted"', '{"a": 1}', "null", "12", " 12", '\t"x"', "ü\u2028\x00", "[[]",
        "[" * 100 + "]" * 100, "1e999", "NaN",
    )),
    (7, "7"), (1.5, "1.5"), (True, "true"), (None, "null"), ([], "[]"),
    ({"b": [1, None]}, '{"b":[1,null]}'),
]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), VALUES)
def test_get_gives_the_very_text_of_a_string_and_json_of_all_else(
    synap: Wire, value: Any, text: str
) -> None:
    assert synap.told("kv.set", key="k", value=value) == {"success": True}
    assert synap.told("kv.get", key="k") == text
    assert bytes(synap.told("kv.get", key="k", type="bytes")).decode() == text


def test_values_are_the_same_for_programs_that_do_not_speak_synap(
    synap: Wire, app: Mainspring
) -> None:
    synap.told("kv.set", key="a", value='{"n": [1, 2]}')
    synap.told("kv.set", key="b", value="hello")
    synap.told("kv.set", key="c", value=5)
    assert app.kv.get_many(["a", "b", "c"]) == {"a": {"n": [1, 2]}, "b": "hello", "c": 5}
    app.kv.set("d", {"n": 1})
    app.kv.set("e", "hello")
    app.kv.set("f", b"\xff\x00")
    assert synap.told("kv.get", key="d") == '{"n":1}'
    assert synap.told("kv.get", key="e") == "hello"
    assert synap.told("kv.get", key="f") == "<binary data: 2 bytes>"
    assert synap.told("kv.get", key="f", type="bytes") == [255, 0]


COMMANDS: list[tuple[str, dict[str, Any], Any]] = [
    ("kv.get", {"key": "none"}, None),
    ("kv.set", {"key": "a", "value": "x"}, {"success": True}),
    ("kv.exists", {"key": "a"}, {"exists": True}),
    ("kv.exists", {"key": "none"}, {"exists": False}),
    ("kv.strlen", {"key": "a"}, {"length": 1}),
    ("kv.append", {"key": "a", "value": "yz"}, {"length": 3}),
    ("kv.get", {"key": "a"}, "xyz"),
    ("kv.append", {"key": "new", "value": "1"}, {"length": 1}),
    ("kv.getrange", {"key": "a", "start": 1, "end": -1}, "yz"),
    ("kv.getrange", {"key": "a", "start": -3, "end": 0}, "x"),
    ("kv.getrange", {"key": "a", "start": 5, "end": 9}, None),
    ("kv.getrange", {"key": "none", "start": 0, "end": 9}, None),
    ("kv.setrange", {"key": "a", "offset": 1, "value": "Y"}, {"length": 3}),
    ("kv.get", {"key": "a"}, "xYz"),
    ("kv.setrange", {"key": "pad", "offset": 2, "value": "p"}, {"length": 3}),
    ("kv.get", {"key": "pad"}, "\x00\x00p"),
    ("kv.getset", {"key": "a", "value": "next"}, "xYz"),
    ("kv.getset", {"key": "first", "value": "1"}, None),
    ("kv.incr", {"key": "n"}, {"value": 1}),
    ("kv.incr", {"key": "n", "amount": 4}, {"value": 5}),
    ("kv.decr", {"key": "n", "amount": 7}, {"value": -2}),
    ("kv.decr", {"key": "n"}, {"value": -3}),
    ("kv.get", {"key": "n"}, "-3"),
    ("kv.mset", {"pairs": [{"key": "m1", "value": "s"}, {"key": "m2", "value": {"j": 1}}]},
     {"success": True}),
    ("kv.get", {"key": "m1"}, '"s"'),
    ("kv.mget", {"keys": ["m1", "m2", "a", "none", "m1"]},
     {"values": ["s", {"j": 1}, None, None, "s"]}),
    ("kv.msetnx", {"pairs": [{"key": "m1", "value": 1}, {"key": "m3", "value": 1}]},
     {"success": False}),
    ("kv.exists", {"key": "m3"}, {"exists": False}),
    ("kv.msetnx", {"key": "m3", "value": 1}, {"success": True}),
    ("kv.mdel", {"keys": ["m1", "m2", "none", "m1"]}, {"deleted": 2}),
    ("kv.del", {"key": "m3"}, {"deleted": True}),
    ("kv.del", {"key": "m3"}, {"deleted": False}),
    ("kv.expire", {"key": "a", "ttl": 60}, {"result": True}),
    ("kv.ttl", {"key": "a"}, {"ttl": 60}),
    ("kv.persist", {"key": "a"}, {"result": True}),
    ("kv.ttl", {"key": "a"}, {"ttl": None}),
    ("kv.expire", {"key": "none", "ttl": 60}, {"result": False}),
    ("kv.persist", {"key": "none"}, {"result": False}),
    ("kv.scan", {"prefix": "n"}, {"keys": ["n", "new"], "count": 2}),
    ("kv.scan", {"limit": 2}, {"keys": ["a", "first"], "count": 2}),
    ("kv.keys", {"pattern": "n*"}, {"keys": ["n", "new"], "count": 2}),
    ("kv.keys", {"pattern": "?"}, {"keys": ["a", "n"], "count": 2}),
    ("kv.keys", {"pattern": "[^n]*"}, {"keys": ["a", "first", "pad"], "count": 3}),
    ("kv.dbsize", {}, {"size": 5}),
    ("kv.flushdb", {}, {"flushed": 5}),
    ("kv.dbsize", {}, {"size": 0}),
    ("kv.flushall", {}, {"flushed": 0}),
]  # fmt: skip


def test_every_command_answers_as_synap_does(synap: Wire) -> None:
    for name, payload, expected in COMMANDS:
        told = synap.ask(name, payload)
        assert (told["payload"], told["error"]) == (expected, None), (name, payload)


REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("kv.ttl", {"key": "none"}, "Key not found: none"),
    ("kv.expire", {"key": "none"}, "Invalid request: Missing 'ttl' field"),
    ("kv.getrange", {"key": "a", "start": 1}, "Invalid request: Missing 'end' field"),
    ("kv.mset", {}, "Invalid request: Missing 'pairs' field"),
    ("kv.mset", {"pairs": [{"value": 1}]}, "Invalid request: Each pair must have 'key'"),
    ("kv.mget", {"keys": "a"}, "Invalid request: 'keys' must be an array of strings"),
    ("kv.get", {"key": "\x01synap/"}, "Invalid request: key: expected 1 to 1000 printable"),
    ("kv.set", {"key": "", "value": 1}, "Invalid request: key: expected 1 to 1000 printable"),
    ("kv.set", {"key": "a", "value": 1, "ttl": -1}, "Invalid request: 'ttl' must be a number"),
    ("kv.setrange", {"key": "a", "offset": 2**40, "value": ""}, "Invalid request: 'offset' must"),
]


def test_what_cannot_be_done_is_told_in_words(synap: Wire) -> None:
    for name, payload, words in REFUSALS:
        told = synap.ask(name, payload)
        assert not told["success"]
        assert told["error"].startswith(words), told


def test_a_value_that_is_no_integer_is_not_added_to(synap: Wire) -> None:
    synap.told("kv.set", key="a", value="x")
    assert synap.refused("kv.incr", key="a").startswith("Invalid value: ")
    synap.told("kv.set", key="big", value=2**63 - 1)
    assert synap.refused("kv.incr", key="big").startswith("Invalid value: ")


def test_a_value_too_large_is_refused(synap: Wire, app: Mainspring) -> None:
    assert synap.refused("kv.set", key="a", value="x" * app.max_payload)
    assert synap.told("kv.get", key="a") is None


def test_an_entry_goes_when_its_time_is_over(synap: Wire) -> None:
    synap.told("kv.set", key="a", value=1, ttl=0)
    assert synap.told("kv.get", key="a") is None
    synap.told("kv.set", key="b", value=1, ttl=60)
    assert 59 <= synap.told("kv.ttl", key="b")["ttl"] <= 60
    synap.told("kv.append", key="b", value="0")
    assert 59 <= synap.told("kv.ttl", key="b")["ttl"] <= 60
    synap.told("kv.set", key="b", value=1)
    assert synap.told("kv.ttl", key="b") == {"ttl": None}


def test_the_stats_tell_what_was_asked_for(synap: Wire) -> None:
    synap.told("kv.set", key="a", value="xy")
    synap.told("kv.get", key="a")
    synap.told("kv.get", key="none")
    synap.told("kv.del", key="a")
    synap.told("kv.set", key="b", value="xy")
    expected = {
        "total_keys": 1,
        "total_memory_bytes": 5,
        "operations": {"gets": 2, "sets": 2, "dels": 1, "hits": 1, "misses": 1},
        "hit_rate": 0.5,
    }
    assert synap.told("kv.stats") == expected
    assert synap.rest("GET", "/kv/stats") == expected


def test_the_paths_have_shapes_of_their_own(synap: Wire) -> None:
    set_ = {"key": "a", "value": "data"}
    assert synap.rest("POST", "/kv/set", set_) == {"success": True, "key": "a", "written": True}
    assert synap.rest("GET", "/kv/get/a") == "data"
    assert synap.rest("GET", "/kv/get/a?type=bytes") == [100, 97, 116, 97]
    assert synap.rest("GET", "/kv/get/none") == {"error": "Key not found"}
    assert synap.rest("GET", "/key/a/exists") == {"key": "a", "exists": True}
    assert synap.rest("DELETE", "/kv/del/a") == {"deleted": True, "key": "a"}
    assert synap.rest("DELETE", "/kv/del/a") == {"deleted": False, "key": "a"}
    synap.rest("POST", "/kv/set", {"key": "a/b c", "value": 1})
    assert synap.rest("GET", "/kv/get/a%2Fb%20c") == "1"
    assert "value" in synap.rest("POST", "/kv/set", {"key": "a"}, status=400)["error"]


def test_a_set_may_have_conditions(synap: Wire) -> None:
    def set_(**fields: Any) -> Any:
        return synap.rest("POST", "/kv/set", {"key": "a", **fields})

    assert set_(value="1", xx=True)["written"] is False
    assert set_(value="1", nx=True)["written"] is True
    assert set_(value="2", nx=True, get=True) == {
        "success": True, "key": "a", "written": False, "old_value": 1,
    }  # fmt: skip
    assert set_(value="new", xx=True, get=True)["old_value"] == 1
    assert set_(value="3", get=True)["old_value"] == "new"
    set_(value="4", ttl=60)
    set_(value="5", keepttl=True)
    assert 59 <= synap.told("kv.ttl", key="a")["ttl"] <= 60


def test_an_end_can_be_told_in_four_ways(synap: Wire) -> None:
    now = time.time()
    for unit, value in (
        ("seconds", 60),
        ("milliseconds", 60_000),
        ("unix_seconds", int(now) + 60),
        ("unix_milliseconds", int(now * 1000) + 60_000),
    ):
        body = {"key": unit, "value": 1, "expiry": {"type": unit, "value": value}}
        synap.rest("POST", "/kv/set", body)
        assert 57 <= synap.told("kv.ttl", key=unit)["ttl"] <= 60
    body = {"key": "a", "value": 1, "expiry": {"type": "weeks", "value": 1}}
    assert "expiry" in synap.rest("POST", "/kv/set", body, status=400)["error"]


def test_values_are_kept_in_our_own_way_at_the_same_path(synap: Wire) -> None:
    told = synap.rest("POST", "/kv/set", {"values": {"a": "x", "b": [1]}})
    assert told["versions"].keys() == {"a", "b"}
    assert synap.told("kv.get", key="a") == "x"
    assert synap.put("/kv/get/c", json={"value": 1}).status_code == 200
    assert synap.told("kv.get", key="get/c") == "1"
