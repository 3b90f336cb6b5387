"""Commands on a store that is behind a server: a URL more, nothing else."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainspring import Mainspring
from tests.cli.conftest import Cli
from tests.servers.mainspring import Server

SHOP = """
from mainspring import Mainspring, Tasks
tasks = Tasks()
@tasks.task
def double(n: int) -> int:
    return 2 * n
app = Mainspring("{url}", tasks{key})
"""


@pytest.fixture
def near(tmp_path: Path) -> Iterator[Mainspring]:
    with Mainspring(f"sqlite:///{tmp_path}/behind.db") as near:
        yield near


@pytest.fixture
def server(near: Mainspring) -> Iterator[Server]:
    server = Server(near.url)
    yield server
    server.stop()


def test_every_kind_of_command_works_over_the_network(cli: Cli, server: Server) -> None:
    at = ("--url", server.url)
    id = cli(*at, "enqueue", "--type", "double", "--payload", '{"n": 4}', "--json").json["id"]
    assert cli(*at, "status", id, "--json").json["state"] == "pending"
    assert id[:8] in cli(*at, "show", id).out
    assert [job["id"] for job in cli(*at, "jobs", "--json").json] == [id]
    assert "pending" in cli(*at, "stats").out
    assert "default" in cli(*at, "queues").out
    assert cli(*at, "pause", "default").code == 0
    assert cli(*at, "resume", "default").code == 0
    assert cli(*at, "monitor", "--once").out.startswith(server.url)
    assert cli(*at, "kv", "set", "a", "1").code == 0
    assert cli(*at, "kv", "get", "a").out == "1\n"
    assert cli(*at, "workers", "--json").json == []
    assert cli(*at, "check").out == "Nothing is broken.\n"
    assert cli(*at, "migrate").out.startswith("The schema has version")
    assert cli(*at, "cancel", id).out == "1 cancelled\n"
    told = cli(*at, "doctor").out
    assert "a server over sqlite SQLite" in told
    assert server.url in told
    assert cli(*at, "copy", "--to", "sqlite:///copied.db").code == 0
    assert cli("--url", "sqlite:///copied.db", "jobs", "--json").json[0]["id"] == id


def test_a_worker_and_the_app_bring_a_key(
    cli: Cli, near: Mainspring, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = near.keys.create("program", ["read", "enqueue", "work"]).key
    said = cli("--url", server.url, "jobs")
    assert said.code != 0
    assert "expected a key, as in Authorization: Bearer" in said.err
    assert "MAINSPRING_API_KEY" in said.err
    monkeypatch.setenv("MAINSPRING_API_KEY", key)
    assert cli("--url", server.url, "jobs").code == 0
    job = near.enqueue("double", {"n": 4})
    assert cli("--url", server.url, "status", str(job.id)).code == 0
    told = cli("--url", server.url, "cancel", str(job.id))
    assert told.code != 0
    assert "expected a key with admin" in told.err
    monkeypatch.delenv("MAINSPRING_API_KEY")
    (tmp_path / "mainspring.toml").write_text(f'url = "{server.url}"\napi_key = "{key}"\n')
    assert cli("jobs").code == 0
    assert key not in cli("doctor").out


def test_keys_and_the_audit_are_told_over_the_network_to_who_may_do_everything(
    cli: Cli, near: Mainspring, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ("--url", server.url)
    monkeypatch.setenv("MAINSPRING_API_KEY", near.keys.create("boss", ["admin"]).key)
    words = ("shop", "read", "enqueue", "--only", "mail*", "--expires", "90d", "--json")
    made = cli(*at, "keys", "create", *words).json
    assert made["key"].startswith(f"ms_{made['id']}_")
    here, there = (
        cli("--url", near.url, "keys", "list", "--json"),
        cli(*at, "keys", "list", "--json"),
    )
    assert [each["name"] for each in there.json] == ["shop", "boss"]
    for near_by, told in zip(here.json, there.json, strict=True):
        assert near_by["created"][:23] == told["created"][:23]  # milliseconds cross
        assert [near_by[name] for name in ("id", "permissions", "only")] == [
            told[name] for name in ("id", "permissions", "only")
        ]
        assert made["key"] not in str(told)
    assert cli(*at, "keys", "revoke", made["id"]).out == "revoked shop\n"
    assert cli(*at, "keys", "revoke", "none").err == "mainspring: no key has the id 'none'\n"
    assert cli(*at, "keys", "create", "n", "read", "--only", "[a]").code == 2
    assert cli(*at, "pause", "mail").code == 0
    told = [each["what"] for each in cli(*at, "audit", "--json").json]
    assert told == [
        "POST /keys",
        f"DELETE /keys/{made['id']}",
        "POST /store/configure",
    ]
    assert "POST /store/configure" in cli(*at, "audit", "--limit", "1").out
    for permissions, only in ((["read", "work"], []), (["admin"], ["mail*"])):
        monkeypatch.setenv("MAINSPRING_API_KEY", near.keys.create("k", permissions, only=only).key)
        for command in (("keys", "list"), ("keys", "create", "n", "admin"), ("audit",)):
            said = cli(*at, *command)
            assert (said.code, said.out) == (78, "")
            assert "expected a key" in said.err


@pytest.mark.parametrize("where", ["app", "environment", "command line"])
def test_a_worker_has_its_key_from_the_app_or_from_around_it(
    near: Mainspring, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    key = near.keys.create("worker", ["work"]).key
    words = [sys.executable, "-m", "mainspring", "--app", "shop:app"]
    if where == "app":
        text = SHOP.format(url=server.url, key=f', api_key="{key}"')
    else:
        monkeypatch.setenv("MAINSPRING_API_KEY", key)
        place = server.url if where == "environment" else "sqlite:///nowhere.db"
        text = SHOP.format(url=place, key="")
    if where == "command line":
        words += ["--url", server.url]
    (tmp_path / "shop.py").write_text(text)
    job = near.enqueue("double", {"n": 4})
    with subprocess.Popen([*words, "worker"], cwd=tmp_path, stderr=subprocess.PIPE) as worker:
        try:
            assert job.result(timeout=30) == 8
        finally:
            worker.terminate()
        assert worker.stderr
        assert key.encode() not in worker.stderr.read()
