"""Copy: everything goes to another place, or nothing is claimed to have."""

from datetime import timedelta
from pathlib import Path

import pytest

from mainspring import Mainspring, State
from mainspring.ids import new_token
from mainspring.store import Claim, Grant, Presence
from tests.cli.conftest import URL, Cli, worked_off

TO = "sqlite:///there.db"


def lived(app: Mainspring) -> None:
    """Done, dead and waiting jobs in two queues."""
    for n in (1, -1):
        app.enqueue("double", {"n": n}, queue="one")
    worked_off(app)
    app.enqueue("double", {"n": 2}, queue="two")
    app.configure("two", keep_completed="1h")
    app.pause("two")


def test_a_copy_holds_all_jobs_their_history_and_the_queues(cli: Cli, app: Mainspring) -> None:
    lived(app)
    said = cli("--url", URL, "copy", "--to", TO)
    assert said.out == f"3 jobs, 3 of them new, are at {TO} now.\n"
    assert said.code == 0
    there = Mainspring(TO)
    assert there.counts() == app.counts()
    assert there.queues() == app.queues()
    for job in app.find():
        assert [e.message for e in there.get(job.id).errors()] == [e.message for e in job.errors()]
    there.close()


def test_a_copy_that_is_repeated_brings_what_is_new(cli: Cli, app: Mainspring) -> None:
    lived(app)
    cli("copy", "--from", URL, "--to", TO)
    app.enqueue("double", {"n": 3}, queue="two")
    assert cli("copy", "--from", URL, "--to", TO, "--json").json == {
        "jobs": 4,
        "new": 1,
        "entries": 0,
        "new_entries": 0,
        "wrong": [],
    }
    assert cli("--url", TO, "check").code == 0


def test_a_copy_holds_the_entries_with_their_ends_and_spares_what_is_there(
    cli: Cli, app: Mainspring
) -> None:
    app.kv.set("a", 1)
    app.kv.set("b", b"bytes", ttl="1h")
    there = Mainspring(TO)
    there.kv.set("a", 2)
    said = cli("--url", URL, "copy", "--to", TO)
    assert said.out == f"0 jobs, 0 of them new, are at {TO} now. Entries: 2, of them 1 new.\n"
    assert there.kv.get_many(["a", "b"]) == {"a": 2, "b": b"bytes"}
    ends = [each.kv.entry("b").expires for each in (app, there)]  # type: ignore[union-attr]
    assert abs(ends[0] - ends[1]) < timedelta(minutes=1)  # type: ignore[operator]
    there.close()


def test_a_store_at_work_is_not_copied(cli: Cli, app: Mainspring) -> None:
    app.enqueue("double", {"n": 1})
    presence = Presence(id="w1", host="here", pid=1, started=0, state="running")
    app.store.heartbeat(presence, [], 60_000_000)
    said = cli("copy", "--from", URL, "--to", TO)
    assert said.code == 1
    assert "stop w1 first" in said.err
    app.store.heartbeat(
        Presence(id="w1", host="here", pid=1, started=0, state="stopped"), [], 60_000_000
    )
    grant = Grant(token=new_token(), worker="w1", lease=60_000_000)
    app.store.exchange([], Claim(grant=grant, limit=1, slots=1))
    assert "1 jobs run at the source" in cli("copy", "--from", URL, "--to", TO).err
    assert app.counts()["default"][State.RUNNING] == 1


@pytest.mark.parametrize("same", [URL, "sqlite:///link.db"])
def test_a_store_is_not_copied_onto_itself(cli: Cli, app: Mainspring, same: str) -> None:
    app.enqueue("double", {"n": 1})
    Path("link.db").symlink_to("jobs.db")
    said = cli("copy", "--from", URL, "--to", same)
    assert said.code == 2
    assert "another place" in said.err


def test_a_target_that_cannot_be_is_named(cli: Cli, app: Mainspring) -> None:
    app.enqueue("double", {"n": 1})
    assert "no such folder" in cli("copy", "--from", URL, "--to", "sqlite:///no/where.db").err
    assert cli("copy", "--from", URL, "--to", "mysql://x").code == 2
