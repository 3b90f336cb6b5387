"""Copy: everything goes to another place, or nothing is claimed to have."""

from datetime import timedelta
from pathlib import Path

import pytest

from mainspring import Mainspring, State
from mainspring.engines.sqlite.store import SqliteStore
from mainspring.ids import new_token
from mainspring.store import Claim, Grant, Presence
from tests.cli.conftest import URL, Cli, worked_off
from tests.contract.stage import new

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
        "left_alone": 0,
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


def test_a_copy_repeated_after_work_began_there_leaves_that_as_it_is(
    cli: Cli, app: Mainspring
) -> None:
    first = new(task="double", payload=b'{"n":1}')
    app.store.insert([first, new(task="double", payload=b'{"n":2}').after(first)])
    cli("copy", "--from", URL, "--to", TO)
    there = Mainspring(TO, app.tasks)
    worked_off(there)
    app.enqueue("double", {"n": 3})
    said = cli("copy", "--from", URL, "--to", TO)
    left = "2 of the others are in another state there: left alone."
    assert said.out == f"3 jobs, 1 of them new, are at {TO} now. {left}\n"
    assert said.code == 0
    states = there.counts()["default"]
    assert (states[State.COMPLETED], states[State.PENDING]) == (2, 1)
    assert there.check() == []
    there.close()


def test_jobs_that_the_target_had_before_are_not_taken_for_copied_ones(
    cli: Cli, app: Mainspring, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Mainspring(TO)
    there.enqueue("double", {"n": 8})
    there.enqueue("double", {"n": 9})
    job = app.enqueue("double", {"n": 1})
    said = cli("copy", "--from", URL, "--to", TO, "--json")
    assert (said.json["new"], said.json["left_alone"], said.json["wrong"]) == (1, 0, [])
    assert said.code == 0
    assert there.counts()["default"][State.PENDING] == 3
    app.cancel(job.id)
    there.delete(job.id)
    monkeypatch.setattr(SqliteStore, "restore", lambda store, dossiers: 0)
    said = cli("copy", "--from", URL, "--to", TO)
    assert said.out == f"job {job.id} is cancelled at the source, and not at the target\n"
    assert said.code == 1
    there.close()


def presence(state: str) -> Presence:
    return Presence(id="w1", host="here", pid=1, started=0, state=state)


def test_a_store_at_work_is_not_copied(cli: Cli, app: Mainspring) -> None:
    app.enqueue("double", {"n": 1})
    app.store.heartbeat(presence("running"), [], 60_000_000)
    said = cli("copy", "--from", URL, "--to", TO)
    assert said.code == 1
    assert "at work on the source: stop w1 first" in said.err
    app.store.heartbeat(presence("stopped"), [], 60_000_000)
    grant = Grant(token=new_token(), worker="w1", lease=60_000_000)
    app.store.exchange([], Claim(grant=grant, limit=1, slots=1))
    assert "1 jobs run at the source" in cli("copy", "--from", URL, "--to", TO).err
    assert app.counts()["default"][State.RUNNING] == 1


def test_nothing_is_copied_to_where_somebody_is_at_work(cli: Cli, app: Mainspring) -> None:
    app.enqueue("double", {"n": 1})
    there = Mainspring(TO)
    there.store.heartbeat(presence("running"), [], 60_000_000)
    said = cli("copy", "--from", URL, "--to", TO)
    assert said.code == 1
    assert "at work on the target: stop w1 first" in said.err
    assert there.counts() == {}
    there.store.heartbeat(presence("stopped"), [], 60_000_000)
    assert cli("copy", "--from", URL, "--to", TO).code == 0
    there.close()


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
