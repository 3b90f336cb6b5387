"""Commands about keys, and the audit."""

from datetime import UTC, datetime

from mainspring import Mainspring
from mainspring.audit import Deed
from mainspring.keys import WRITTEN
from tests.cli.conftest import URL, Cli

KEYS = ("--url", URL, "keys")


def test_a_key_is_printed_alone_and_once(cli: Cli, app: Mainspring) -> None:
    said = cli(*KEYS, "create", "shop", "read", "enqueue", "--only", "mail*", "--expires", "90d")
    found = WRITTEN.fullmatch(said.out.removesuffix("\n"))
    assert found
    assert found[1] in said.err
    [key] = app.keys.list()
    assert (key.id, key.name, key.permissions, key.only) == (
        found[1],
        "shop",
        ("read", "enqueue"),
        ("mail*",),
    )
    assert key.expires is not None
    assert (key.expires - key.created).days == 90
    for told in (cli(*KEYS, "list"), cli(*KEYS, "list", "--json")):
        assert found[1] in told.out
        assert found[2] not in told.out


def test_a_key_is_told_to_machines(cli: Cli, app: Mainspring) -> None:
    told = cli(*KEYS, "create", "n", "admin", "--json")
    assert told.err == ""
    assert told.json == {
        "id": told.json["id"],
        "name": "n",
        "permissions": ["admin"],
        "only": [],
        "created": told.json["created"],
        "expires": None,
        "revoked": None,
        "used": None,
        "key": told.json["key"],
    }
    [listed] = cli(*KEYS, "list", "--json").json
    assert listed == {name: value for name, value in told.json.items() if name != "key"}


def test_keys_are_revoked(cli: Cli, app: Mainspring) -> None:
    ids = [app.keys.create(name, ["read"]).id for name in ("a", "b")]
    assert cli(*KEYS, "revoke", *ids).out == "revoked a\nrevoked b\n"
    assert all(key.revoked for key in app.keys.list())
    said = cli(*KEYS, "revoke", "none")
    assert (said.code, said.err) == (1, "mainspring: no key has the id 'none'\n")


def test_a_key_that_makes_no_sense_is_wrong_usage(cli: Cli, app: Mainspring) -> None:
    for words in (("n",), ("n", "all"), ("", "read"), ("n", "read", "--only", "[a]")):
        said = cli(*KEYS, "create", *words)
        assert (said.code, said.out) == (2, "")
    assert cli(*KEYS, "create", "n", "read", "--expires", "soon").code == 2
    assert app.keys.list() == []


def test_the_audit_tells_what_was_changed(cli: Cli, app: Mainspring) -> None:
    audit = ("--url", URL, "audit")
    assert cli(*audit).out == "none\n"
    for n in range(3):
        deed = Deed(
            at=datetime.now(UTC),
            name="boss",
            key="0123456789abcdef",
            address="192.0.2.1",
            what=f"PATCH /queues/q{n}\x1b[2J\nfake",
            status=200,
            before={"paused": False},
            after={"paused": True},
        )
        app.audit.add(deed)
    said = cli(*audit, "--limit", "2")
    first, second = said.out.splitlines()
    assert "192.0.2.1  boss (0123456789abcdef)  PATCH /queues/q1" in first
    assert first.endswith('200  before {"paused":false}  after {"paused":true}')
    assert "q2" in second
    assert "\x1b" not in said.out
    told = cli(*audit, "--json").json
    assert [each["after"] for each in told] == [{"paused": True}] * 3
    assert told[0]["at"].endswith("Z")
    assert cli(*audit, "--since", "0s").out == "none\n"
