"""Commands about the key-value store."""

import sys
from io import BytesIO, TextIOWrapper

import pytest

from mainspring import Mainspring
from tests.cli.conftest import URL, Cli

KV = ("--url", URL, "kv")


def test_values_are_set_got_and_deleted(cli: Cli, app: Mainspring) -> None:
    version = cli(*KV, "set", "a", '{"n": [1]}').out.strip()
    assert app.kv.entry("a").version == int(version)  # type: ignore[union-attr]
    assert cli(*KV, "get", "a").out == '{"n":[1]}\n'
    assert cli(*KV, "get", "a", "--json").json == {
        "key": "a",
        "value": {"n": [1]},
        "version": int(version),
        "expires": None,
    }
    assert cli(*KV, "delete", "a", "none").out == "1 deleted\n"
    assert cli(*KV, "delete", "a", "--json").json == {"deleted": 0}


def test_what_is_not_there_is_told_by_the_exit_code(cli: Cli, app: Mainspring) -> None:
    app.counts()
    for command in (("get", "a"), ("touch", "a")):
        said = cli(*KV, *command)
        assert (said.code, said.out) == (1, "")
        assert said.err == "nothing is kept under 'a'\n"
    said = cli(*KV, "get", "a", "--json")
    assert (said.code, said.json) == (1, None)


def test_a_value_comes_from_standard_input(
    cli: Cli, app: Mainspring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(b"[1, 2]")))
    assert cli(*KV, "set", "a", "-").code == 0
    assert app.kv.get("a") == [1, 2]


def test_bytes_are_printed_as_they_are_and_as_base64_for_machines(
    cli: Cli, app: Mainspring
) -> None:
    app.kv.set("a", b"bytes")
    assert cli(*KV, "get", "a").out == "bytes\n"
    told = cli(*KV, "get", "a", "--json").json
    assert told["base64"] == "Ynl0ZXM="
    assert "value" not in told


def test_a_value_may_end_and_be_kept_longer(cli: Cli, app: Mainspring) -> None:
    cli(*KV, "set", "a", "1", "--ttl", "1h")
    first = cli(*KV, "get", "a", "--json").json["expires"]
    assert cli(*KV, "touch", "a", "--ttl", "2h").out.startswith("until 2")
    assert cli(*KV, "get", "a", "--json").json["expires"] > first
    assert cli(*KV, "touch", "a").out == "until -\n"
    assert cli(*KV, "get", "a", "--json").json["expires"] is None


def test_a_conflict_is_a_failure_in_words(cli: Cli, app: Mainspring) -> None:
    assert cli(*KV, "set", "a", "1", "--if-absent").code == 0
    said = cli(*KV, "set", "a", "2", "--if-absent")
    assert (said.code, said.out) == (1, "")
    assert "key 'a': expected no entry, found version" in said.err
    assert cli(*KV, "set", "a", "2", "--if-version", "999").code == 1
    version = app.kv.entry("a").version  # type: ignore[union-attr]
    assert cli(*KV, "set", "a", "2", "--if-version", version).code == 0


def test_counters_count(cli: Cli, app: Mainspring) -> None:
    assert cli(*KV, "increment", "n", "--ttl", "1h").out == "1\n"
    assert cli(*KV, "increment", "n", "--by", "-5", "--json").json == {"key": "n", "value": -4}
    app.kv.set("text", "x")
    assert cli(*KV, "increment", "text").code == 1


def test_a_scan_is_a_table_page_by_page(cli: Cli, app: Mainspring) -> None:
    for key in ("a/1", "a/2", "b"):
        app.kv.set(key, {"key": key}, ttl="1h")
    app.kv.set("a/3", b"\xff\x1b[31m")
    said = cli(*KV, "scan", "a/")
    assert said.out.splitlines()[0].split() == ["key", "value", "version", "until"]
    assert [line.split()[0] for line in said.out.splitlines()[1:] if "a/" in line] == [
        "a/1",
        "a/2",
        "a/3",
    ]
    assert "\x1b" not in said.out
    assert [each["key"] for each in cli(*KV, "scan", "--json").json] == ["a/1", "a/2", "a/3", "b"]
    said = cli(*KV, "scan", "--limit", 2)
    assert "--after a/2" in said.err
    assert [each["key"] for each in cli(*KV, "scan", "--after", "a/2", "--json").json] == [
        "a/3",
        "b",
    ]


@pytest.mark.parametrize(
    "arguments",
    [("set", "a", "{x"), ("set", "a", "1", "--ttl", "soon"), ("get", ""), ("delete",)],
)
def test_wrong_usage_is_told(cli: Cli, app: Mainspring, arguments: tuple[str, ...]) -> None:
    app.counts()
    assert cli(*KV, *arguments).code == 2
