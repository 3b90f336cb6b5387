"""Key-value over HTTP: entries, conditions, counters, pages, and who may see which."""

import asyncio
import time
from typing import Any
from urllib.parse import quote

import httpx2 as httpx
import pytest

from mainspring import Mainspring
from mainspring.server.application import application
from tests.server.conftest import Http, Running, asked_of, until


def at(key: str) -> str:
    return f"/kv/{quote(key, safe='')}"


def test_an_entry_is_put_got_and_deleted(http: Http) -> None:
    kept = http.told(200, "PUT", "/kv/video:7", json={"value": {"percent": 40}})
    assert kept == {"success": True, "key": "video:7", "version": kept["version"]}
    assert http.told(200, "GET", "/kv/video:7") == {
        "success": True,
        "found": True,
        "key": "video:7",
        "value": {"percent": 40},
        "version": kept["version"],
        "expiresAt": None,
    }
    assert http.told(200, "DELETE", "/kv/video:7") == {"success": True, "deleted": 1}
    assert http.told(200, "DELETE", "/kv/video:7") == {"success": True, "deleted": 0}


def test_what_is_not_there_is_404_and_says_so(http: Http) -> None:
    told = http.told(404, "GET", "/kv/nothing")
    assert (told["type"], told["found"]) == ("urn:mainspring:problem:unknown-key", False)
    assert http.request("HEAD", "/kv/nothing").status_code == 404
    assert http.told(404, "POST", "/kv/nothing/touch")["found"] is False


@pytest.mark.parametrize("value", [None, 0, -1.5, "é", [1, [2]], {"a": None}, 2**63, ""])
def test_a_value_comes_back_as_it_went(http: Http, app: Mainspring, value: Any) -> None:
    http.told(200, "PUT", "/kv/k", json={"value": value})
    assert http.told(200, "GET", "/kv/k")["value"] == value
    assert app.kv.get("k", "none") == value


def test_bytes_are_base64_under_a_name_of_their_own(http: Http, app: Mainspring) -> None:
    http.told(200, "PUT", "/kv/k", json={"base64": "AP8="})
    assert app.kv.get("k") == b"\x00\xff"
    told = http.told(200, "GET", "/kv/k")
    assert told["base64"] == "AP8="
    assert "value" not in told
    http.told(200, "PUT", "/kv/k", json={"value": {"base64": "AP8="}})
    assert app.kv.get("k") == {"base64": "AP8="}


@pytest.mark.parametrize(
    "key",
    [
        "a/b",
        "/a",
        "a/",
        "a//b",
        "a/increment",
        "touch",
        "get",
        "a b",
        "a+b",
        "100%",
        "%2F",
        "é",
        "🦊",
        "a?b#c",
        "k=v&w",
        "a\\b",
        '"',
        "...",
        ":",
        "x" * 1000,
    ],
)
def test_a_key_may_hold_any_characters(http: Http, app: Mainspring, key: str) -> None:
    http.told(200, "PUT", at(key), json={"value": 1})
    assert [entry.key for entry in app.kv.scan()] == [key]
    assert http.told(200, "POST", f"{at(key)}/increment") == {
        "success": True,
        "key": key,
        "value": 2,
    }
    assert http.told(200, "POST", f"{at(key)}/touch", json={"ttl": 60})["key"] == key
    assert http.told(200, "GET", at(key))["value"] == 2
    assert http.told(200, "GET", "/kv", params={"prefix": key})["entries"][0]["key"] == key
    assert http.told(200, "DELETE", at(key))["deleted"] == 1


def test_slashes_in_a_key_need_no_escape(http: Http, app: Mainspring) -> None:
    http.told(200, "PUT", "/kv/users/ada/visits", json={"value": 1})
    assert app.kv.increment("users/ada/visits") == 2
    assert http.told(200, "POST", "/kv/users/ada/visits/increment")["value"] == 3


def test_a_key_that_is_no_text_is_refused(server: Running, http: Http) -> None:
    for key, status in (
        ("%FF", 400),
        ("%ED%A0%80", 400),
        ("a%00b", 422),
        ("%0A", 422),
        ("a%0A", 422),
        ("", 422),
    ):
        request = f"GET /kv/{key} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        said = asyncio.run(asked_of(server.port, request.encode()))
        assert said.startswith(f"HTTP/1.1 {status} ".encode()), (key, said)
    http.told(422, "PUT", at("x" * 1001), json={"value": 1})


def test_an_entry_is_there_until_its_time_has_come(http: Http) -> None:
    before = time.time() * 1000
    http.told(200, "PUT", "/kv/k", json={"value": 1, "ttl": 3600})
    told = http.told(200, "GET", "/kv/k")
    assert 3_590_000 < told["expiresAt"] - before < 3_610_000
    assert http.told(200, "POST", "/kv/k/touch", json={"ttl": "2h"})["expiresAt"] > before + 7.1e6
    assert http.told(200, "POST", "/kv/k/touch")["expiresAt"] is None
    http.told(200, "PUT", "/kv/k", json={"value": 1, "ttl": 0.1})
    until(lambda: http.get("/kv/k").status_code == 404)


def test_a_write_may_want_the_version_that_was_read(http: Http) -> None:
    first = http.put("/kv/k", json={"value": 1})
    tag = first.headers["etag"]
    assert tag == f'"{first.json()["version"]}"' == http.get("/kv/k").headers["etag"]
    second = http.told(200, "PUT", "/kv/k", json={"value": 2}, headers={"If-Match": tag})
    told = http.told(412, "PUT", "/kv/k", json={"value": 3}, headers={"If-Match": tag})
    assert told["type"] == "urn:mainspring:problem:version-conflict"
    assert (told["key"], told["expected"], told["found"]) == (
        "k",
        first.json()["version"],
        second["version"],
    )
    http.told(200, "PUT", "/kv/k", json={"value": 4, "version": second["version"]})
    http.told(409, "PUT", "/kv/k", json={"value": 5, "version": second["version"]})
    assert http.told(200, "GET", "/kv/k")["value"] == 4


def test_a_write_may_want_that_nothing_is_there(http: Http) -> None:
    http.told(200, "PUT", "/kv/leader", json={"value": "a", "ifAbsent": True})
    assert http.told(409, "PUT", "/kv/leader", json={"value": "b", "ifAbsent": True})["found"] > 0
    http.told(412, "PUT", "/kv/leader", json={"value": "b"}, headers={"If-None-Match": "*"})
    http.told(200, "PUT", "/kv/other", json={"value": "b"}, headers={"If-None-Match": "*"})
    assert http.told(200, "GET", "/kv/leader")["value"] == "a"


def test_a_counter_loses_nothing_and_says_what_it_is(http: Http, app: Mainspring) -> None:
    assert http.told(200, "POST", "/kv/visits/increment")["value"] == 1
    assert http.told(200, "POST", "/kv/visits/increment", json={"by": 5})["value"] == 6
    assert http.told(200, "POST", "/kv/visits/increment", json={"by": -8})["value"] == -2
    http.told(200, "POST", "/kv/new/increment", json={"ttl": "1m"})
    assert http.told(200, "GET", "/kv/new")["expiresAt"] is not None
    app.kv.set("text", "seven")
    told = http.told(409, "POST", "/kv/text/increment")
    assert told["type"] == "urn:mainspring:problem:not-integer"
    http.told(422, "POST", "/kv/visits/increment", json={"by": 2**63})


def test_a_page_is_sorted_and_tells_where_the_next_begins(http: Http, app: Mainspring) -> None:
    app.kv.set_many({f"user/{n:02}": n for n in range(5)} | {"other": 1})
    first = http.told(200, "GET", "/kv", params={"prefix": "user/", "limit": 2})
    assert [each["key"] for each in first["entries"]] == ["user/00", "user/01"]
    assert first["next"] == "user/01"
    rest = http.told(200, "GET", "/kv", params={"prefix": "user/", "after": first["next"]})
    assert [each["value"] for each in rest["entries"]] == [2, 3, 4]
    assert rest["next"] is None
    assert len(http.told(200, "GET", "/kv")["entries"]) == 6
    http.told(422, "GET", "/kv", params={"limit": 0})


def test_a_page_ends_where_it_gets_too_large(http: Http, app: Mainspring) -> None:
    for n in range(12):
        app.kv.set(f"k{n:02}", "x" * 900_000)
    page = http.told(200, "GET", "/kv")
    assert len(page["entries"]) == 9
    rest = http.told(200, "GET", "/kv", params={"after": page["next"]})
    assert [each["key"] for each in rest["entries"]] == ["k09", "k10", "k11"]


def test_many_are_got_set_and_deleted_at_once(http: Http, app: Mainspring) -> None:
    said = http.told(200, "POST", "/kv/set", json={"values": {"a": 1, "b": [2]}, "ttl": 60})
    assert said["versions"].keys() == {"a", "b"}
    told = http.told(200, "POST", "/kv/get", json={"keys": ["b", "none", "a", "a"]})
    assert [(each["key"], each["value"]) for each in told["entries"]] == [("b", [2]), ("a", 1)]
    assert all(each["expiresAt"] for each in told["entries"])
    assert http.told(200, "POST", "/kv/delete", json={"keys": ["a", "none"]})["deleted"] == 1
    http.told(422, "POST", "/kv/set", json={"values": {"good": 1, "bad\n": 2}})
    assert app.kv.get_many(["a", "b", "good"]) == {"b": [2]}


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "told"),
    [
        ("PUT", "/kv/k", {}, {}, "expected value or base64"),
        ("PUT", "/kv/k", {"value": 1, "base64": "AA=="}, {}, "expected value or base64"),
        ("PUT", "/kv/k", {"base64": "é"}, {}, "base64"),
        ("PUT", "/kv/k", {"value": 1, "TTL": 5}, {}, "TTL"),
        ("PUT", "/kv/k", {"value": 1, "ttl": 0}, {}, "more than 0 seconds"),
        ("PUT", "/kv/k", {"value": 1, "ttl": "soon"}, {}, "expected a duration"),
        ("PUT", "/kv/k", {"value": 1, "version": 0}, {}, "version"),
        ("PUT", "/kv/k", {"value": 1, "version": 1, "ifAbsent": True}, {}, "both"),
        ("PUT", "/kv/k", {"value": 1, "version": 1}, {"If-Match": '"2"'}, "both"),
        ("PUT", "/kv/k", {"value": 1}, {"If-Match": "*"}, "If-Match"),
        ("PUT", "/kv/k", {"value": 1}, {"If-Match": 'W/"2"'}, "If-Match"),
        ("PUT", "/kv/k", {"value": 1}, {"If-None-Match": '"2"'}, "If-None-Match"),
        ("DELETE", "/kv/k", None, {"If-Match": '"2"'}, "whatever its version"),
        ("POST", "/kv/k/increment", {"by": 1.5}, {}, "by"),
        ("POST", "/kv/get", {"keys": ["k"] * 101}, {}, "keys"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(
    http: Http, app: Mainspring, method: str, path: str, body: Any, headers: Any, told: str
) -> None:
    said = http.told(422, method, path, json=body, headers=headers)
    assert told in said["detail"]
    assert list(app.kv.scan()) == []


def test_a_value_that_is_too_large_is_refused(http: Http) -> None:
    http.told(413, "PUT", "/kv/k", json={"value": "x" * 1_000_001})


# --- who may see what ----------------------------------------------------------------------------


def asked_by(key: str, app: Mainspring, method: str, path: str, **more: Any) -> Any:
    """What the application answers to who has this key: status and JSON."""
    headers = {"Authorization": f"Bearer {key}"}

    async def ask() -> Any:
        transport = httpx.ASGITransport(app=application(app))
        url = "http://localhost"
        async with httpx.AsyncClient(transport=transport, base_url=url, headers=headers) as client:
            answer = await client.request(method, path, **more)
            return answer.status_code, answer.json()

    return asyncio.run(ask())


@pytest.fixture
def tenant(app: Mainspring) -> str:
    return app.keys.create("t1", ["read", "enqueue"], only=["t1:*", "both:?"]).key


def test_what_a_caller_may_not_use_is_for_it_as_if_it_were_not_there(
    app: Mainspring, tenant: str
) -> None:
    app.kv.set_many({"t1:a": 1, "t2:a": 2, "both:x": 3, "both:xy": 4, "t0": 5, "u": 6})
    assert asked_by(tenant, app, "GET", "/kv/t1:a")[0] == 200
    absent = asked_by(tenant, app, "GET", "/kv/t1:none")
    assert asked_by(tenant, app, "GET", "/kv/t2:a") == absent
    assert asked_by(tenant, app, "POST", "/kv/t2:a/touch") == absent
    assert asked_by(tenant, app, "DELETE", "/kv/t2:a") == (200, {"success": True, "deleted": 0})
    listed = asked_by(tenant, app, "GET", "/kv")[1]
    assert [each["key"] for each in listed["entries"]] == ["both:x", "t1:a"]
    page = asked_by(tenant, app, "GET", "/kv", params={"limit": 1})[1]
    assert page["next"] == "both:x"
    assert asked_by(tenant, app, "GET", "/kv", params={"prefix": "t2"})[1]["entries"] == []
    some = asked_by(tenant, app, "POST", "/kv/get", json={"keys": ["t1:a", "t2:a"]})[1]
    assert [each["key"] for each in some["entries"]] == ["t1:a"]
    dropped = asked_by(tenant, app, "POST", "/kv/delete", json={"keys": ["t1:a", "t2:a"]})[1]
    assert dropped["deleted"] == 1
    assert app.kv.get("t2:a") == 2


def test_who_only_writes_is_not_told_what_is_there(app: Mainspring) -> None:
    app.kv.set("k", "secret")
    writer = app.keys.create("w", ["enqueue"]).key
    status, told = asked_by(writer, app, "POST", "/kv/k/touch", json={"ttl": 60})
    assert (status, told["found"], told["key"]) == (200, True, "k")
    assert "value" not in told
    both = app.keys.create("b", ["enqueue", "read"]).key
    assert asked_by(both, app, "POST", "/kv/k/touch")[1]["value"] == "secret"


def test_what_a_caller_may_not_use_it_cannot_make(app: Mainspring, tenant: str) -> None:
    assert asked_by(tenant, app, "PUT", "/kv/t2:b", json={"value": 1})[0] == 403
    assert asked_by(tenant, app, "POST", "/kv/t2:b/increment")[0] == 403
    values = {"t1:b": 1, "t2:b": 1}
    assert asked_by(tenant, app, "POST", "/kv/set", json={"values": values})[0] == 403
    assert list(app.kv.scan()) == []


def test_reading_takes_one_permission_and_writing_another(app: Mainspring) -> None:
    app.kv.set("k", 1)
    reads = app.keys.create("r", ["read"]).key
    writes = app.keys.create("w", ["enqueue"]).key
    for method, path, body in (
        ("GET", "/kv/k", None),
        ("GET", "/kv", None),
        ("POST", "/kv/get", {"keys": ["k"]}),
    ):
        assert asked_by(reads, app, method, path, json=body)[0] == 200
        assert asked_by(writes, app, method, path, json=body)[0] == 403
    for method, path, body in (
        ("POST", "/kv/k/increment", {}),
        ("POST", "/kv/k/touch", {}),
        ("PUT", "/kv/k", {"value": 2}),
        ("POST", "/kv/set", {"values": {"k": 2}}),
        ("POST", "/kv/delete", {"keys": []}),
        ("DELETE", "/kv/k", None),
    ):
        assert asked_by(reads, app, method, path, json=body)[0] == 403
        assert asked_by(writes, app, method, path, json=body)[0] == 200
