"""The command that tells of shards."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mainspring import Mainspring, Tasks
from tests.cli.conftest import Cli, worked_off

URLS = "shards://a=sqlite:///a.db b=sqlite:///b.db"
# `default` lives in a, `mail` in b.

tasks = Tasks()


@tasks.task
def send(to: str) -> str:
    return to


@pytest.fixture
def app() -> Iterator[Mainspring]:
    with Mainspring(URLS, tasks) as app:
        for queue in ("default", "mail", "mail"):
            app.enqueue("send", {"to": "ada"}, queue=queue)
        yield app


def test_shards_are_told_with_their_queues_and_what_is_left(cli: Cli, app: Mainspring) -> None:
    said = cli("--url", URLS, "shards")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[:3] == [
        "shard  state   queue    new jobs  waiting  running  ended",
        "a      taking  default  here            1        0      0",
        "b      taking  mail     here            2        0      0",
    ]
    told = cli("--url", URLS, "shards", "--json").json["shards"]
    assert [shard["name"] for shard in told] == ["a", "b"]
    assert told[1]["queues"] == {"mail": {"home": True, "waiting": 2, "running": 0, "ended": 0}}


def test_a_draining_shard_is_told_to_be_empty_when_it_is(cli: Cli, app: Mainspring) -> None:
    draining = ("--url", f"{URLS} draining=b", "shards")
    assert "Shard b is draining: 2 jobs to go.\n" in cli(*draining).out
    assert cli(*draining, "--json").json["shards"][1]["draining"]
    worked_off(app)
    told = "Shard b is empty: nothing waits or runs there; 2 ended jobs would go with it.\n"
    assert told in cli(*draining).out


def test_a_draining_shard_with_entries_is_not_empty(cli: Cli, app: Mainspring) -> None:
    worked_off(app)
    for n in range(20):
        app.kv.set(f"k{n}", n)
    draining = ("--url", f"{URLS} draining=b", "shards")
    told = "Shard b has no job that waits or runs, but entries of the key-value store:"
    assert told in cli(*draining).out
    assert cli(*draining, "--json").json["shards"][1]["entries"]
    rest = "shards://a=sqlite:///a.db"
    assert cli("copy", "--from", "sqlite:///b.db", "--to", rest).code == 0
    assert len(list(app.kv.scan())) == 20
    with Mainspring(rest) as left:
        assert sorted(each.value for each in left.kv.scan("k")) == list(range(20))


def test_a_queue_that_has_moved_is_told_until_nothing_is_left_of_it(
    cli: Cli, app: Mainspring
) -> None:
    app.enqueue("send", {"to": "bob"}, queue="orders")
    grown = ("--url", f"{URLS} c=sqlite:///c.db", "shards")
    assert "Queue orders has moved from shard b: 1 job to go.\n" in cli(*grown).out
    worked_off(app)
    assert "has moved" not in cli(*grown).out


def test_a_shard_that_does_not_answer_says_why(cli: Cli, app: Mainspring) -> None:
    said = cli("--url", f"{URLS} c=sqlite:///nowhere/c.db", "shards")
    assert said.code == 1
    assert "shard 'c': " in said.err
    assert "c      away" in said.out


def test_a_store_that_is_not_made_of_shards_is_refused(cli: Cli, app: Mainspring) -> None:
    said = cli("--url", "sqlite:///a.db", "shards")
    assert said.code == 2
    assert "expected a store made of shards" in said.err


def test_passwords_in_the_urls_of_shards_are_not_shown(
    cli: Cli, app: Mainspring, here: Path
) -> None:
    from mainspring.urls import without_password

    url = "shards://a=postgresql://ada:secret@one/jobs b=redis://:hidden@two"
    assert without_password(url) == "shards://a=postgresql://ada:***@one/jobs b=redis://:***@two"
    said = cli("--url", URLS, "doctor")
    assert said.code == 0
    assert "a, b: full" in said.out


def test_doctor_tells_of_each_shard_what_to_change(cli: Cli, app: Mainspring, here: Path) -> None:
    (here / "b.db").chmod(0o644)
    advice = cli("--url", f"{URLS} c=sqlite:///nowhere/c.db", "doctor", "--json").json["advice"]
    assert f"shard b: others may read or write the file: chmod 600 {here / 'b.db'}" in advice
    assert any(each.startswith("shard 'c': ") for each in advice)


def test_jobs_are_reached_by_id_and_number(cli: Cli, app: Mainspring) -> None:
    for job in app.find():
        assert cli("--url", URLS, "status", job.number).out == "Status: pending\n"
        assert cli("--url", URLS, "show", job.id).code == 0
    first = cli("--url", URLS, "jobs", "--limit", "1", "--json").json
    rest = cli("--url", URLS, "jobs", "--after", first[0]["number"], "--json").json
    assert len({job["id"] for job in first + rest}) == 3
