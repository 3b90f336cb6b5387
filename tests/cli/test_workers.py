"""Commands about workers: workers, drain, scale, reload, and pause and resume of workers."""

import re
import time
from typing import Any

import pytest

from mainspring import Mainspring
from mainspring.store import Member, Presence, Slowest, Wanted
from tests.cli.conftest import URL, Cli

AT = ("--url", URL)


def beat(app: Mainspring, worker: str = "w1", host: str = "here", **more: Any) -> Wanted | None:
    """A heartbeat of a worker; what it hears."""
    told = {"pid": 77, "started": 1_700_000_000_000_000, "state": "running"} | more
    presence = Presence(id=worker, host=host, **told)
    return app.store.heartbeat(presence, [], 60_000_000).wanted


MEMBERS = (
    Member(pid=1234, kind="shared", state="ready", busy=3, slots=8, memory=51_200_000, age=75.0),
    Member(pid=1235, kind="process", state="starting", slots=1, age=2.0),
)
SLOWEST = Slowest(
    task="render",
    number=7,
    seconds=61.5,
    traceback='File "jobs.py", line 3, in render\n  while \x1b[2Jtrue:',
)


def busy(app: Mainspring) -> None:
    beat(
        app,
        queues=("mail", "default"),
        tasks=("send", "render"),
        slots=9,
        busy=3,
        utilisation=0.374,
        processed=1_200,
        failed=2,
        children=2,
        current="render #7",
        last="send #6",
        members=MEMBERS,
        slowest=SLOWEST,
    )
    beat(app, "w2", "there", state="stopping")


def test_workers_are_listed_with_how_they_do(cli: Cli, app: Mainspring) -> None:
    busy(app)
    text = cli(*AT, "workers").out
    assert text.startswith(
        "worker  host   queues         state     load  busy  slots  processed  failed"
    )
    assert re.search(
        r"^w1 +here +mail, default +running +37% +3 +9 +1,200 +2 +\ds ago +send #6$", text, re.M
    )
    assert re.search(r"^w2 +there +all +stopping +0% +0 +0 +0 +0 +\ds ago +–$", text, re.M)


def test_of_one_worker_everything_is_told(cli: Cli, app: Mainspring) -> None:
    busy(app)
    text = cli(*AT, "workers", "w1").out
    for line in (
        "Worker:    w1",
        "Host:      here, process 77",
        "Queues:    mail, default",
        "Tasks:     send, render",
        "Load:      37%, 3 of 9 slots busy",
        "Processed: 1,200, 2 failed",
        "Last job:  send #6",
        "Current:   render #7",
        "Children:",
        "  1234  shared   ready        3      8          0  51.2 MB  1m 15s",
        "  1235  process  starting     0      1          0        –  2.0s",
        "Runs longest:",
        "  render #7, for 1m 1s",
        '  File "jobs.py", line 3, in render',
    ):
        assert line in text.splitlines()
    assert re.search(r"^State: +running, begun \d+d \d+h ago$", text, re.M)
    assert "\x1b" not in text


def test_a_worker_that_tells_little_has_a_short_page(cli: Cli, app: Mainspring) -> None:
    beat(app)
    text = cli(*AT, "workers", "w1").out
    assert "Queues:    all\n" in text
    assert "Children" not in text
    assert "longest" not in text


def test_workers_are_told_to_machines(cli: Cli, app: Mainspring) -> None:
    busy(app)
    first, second = cli(*AT, "workers", "--json").json
    assert first == cli(*AT, "workers", "w1", "--json").json | {
        "seen_seconds_ago": first["seen_seconds_ago"],
        "running_seconds": first["running_seconds"],
    }
    assert (first["id"], first["utilisation"], first["last"]) == ("w1", 0.374, "send #6")
    assert [member["pid"] for member in first["members"]] == [1234, 1235]
    assert (first["members"][0]["memory"], first["members"][0]["age"]) == (51_200_000, 75.0)
    assert (first["slowest"]["task"], first["slowest"]["seconds"]) == ("render", 61.5)
    assert (second["members"], second["slowest"]) == ([], None)


def test_without_workers_there_is_none_to_list(cli: Cli, app: Mainspring) -> None:
    assert cli(*AT, "workers").out == "none\n"
    assert cli(*AT, "workers", "--json").json == []
    assert cli(*AT, "reload").out == "reloading: no worker is there\n"


def test_the_monitor_shows_how_busy_workers_were(cli: Cli, app: Mainspring) -> None:
    busy(app)
    text = cli(*AT, "monitor", "--once").out
    assert re.search(r"^w1 +running +37% +3 +9 ", text, re.M)
    [first, _] = cli(*AT, "monitor", "--json").json["workers"]
    assert (first["utilisation"], first["last"]) == (0.374, "send #6")


def test_workers_are_drained_by_name_and_by_host(cli: Cli, app: Mainspring) -> None:
    beat(app)
    beat(app, "w2", "there")
    beat(app, "w3", "there")
    assert cli(*AT, "drain", "w1").out == "draining: w1\n"
    assert beat(app) == Wanted(stop=True)
    assert beat(app, "w2", "there") is None
    assert cli(*AT, "drain", "--host", "there", "--json").json == {"draining": ["w2", "w3"]}
    assert beat(app, "w2", "there") == beat(app, "w3", "there") == Wanted(stop=True)


def test_workers_are_paused_and_resumed_beside_queues(cli: Cli, app: Mainspring) -> None:
    beat(app)
    beat(app, "w2", "there")
    assert cli(*AT, "pause", "--worker", "w1", "--worker", "w2").out == "paused: w1, w2\n"
    assert beat(app) == Wanted(paused=True)
    assert cli(*AT, "resume", "--host", "there", "--json").json == {"resumed": ["w2"]}
    assert beat(app, "w2", "there") == Wanted(paused=False)
    assert beat(app) == Wanted(paused=True)
    assert app.queues() == []


def test_workers_are_scaled(cli: Cli, app: Mainspring) -> None:
    beat(app)
    beat(app, "w2")
    assert cli(*AT, "scale", "w1", "2:8").out == "2 to 8 processes: w1\n"
    assert beat(app) == Wanted(processes=(2, 8))
    answer = cli(*AT, "scale", "w1", "w2", "4", "--json").json
    assert answer == {"scaled": ["w1", "w2"], "least": 4, "most": 4}
    assert beat(app, "w2") == Wanted(processes=(4, 4))
    assert cli(*AT, "scale", "--host", "here", "1").code == 0
    assert beat(app) == Wanted(processes=(1, 1))


def test_workers_are_reloaded(cli: Cli, app: Mainspring) -> None:
    beat(app)
    beat(app, "w2")
    before = time.time_ns() // 1000
    assert cli(*AT, "reload", "w2").out == "reloading: w2\n"
    assert beat(app) is None
    assert cli(*AT, "reload", "--json").json == {"reloading": ["w1", "w2"]}
    wanted = beat(app)
    assert wanted is not None
    assert wanted.reload is not None
    assert wanted.reload >= before


MISTAKES: dict[str, tuple[tuple[str, ...], int, str]] = {
    "unknown worker": (("drain", "w9"), 1, "no worker 'w9' was heard of lately; there are 'w1'"),
    "unknown worker to look at": (("workers", "w9"), 1, "no worker 'w9' was heard of lately"),
    "unknown worker to pause": (("pause", "--worker", "w9"), 1, "no worker 'w9'"),
    "unknown host": (("reload", "--host", "h9"), 1, "no worker on host 'h9'"),
    "nobody to drain": (("drain",), 2, "expected names of workers, or a host, got neither"),
    "nobody to scale": (("scale", "2"), 2, "got neither"),
    "name and host": (("drain", "w1", "--host", "here"), 2, "got both"),
    "nothing to pause": (("pause",), 2, "expected queues, or --worker or --host, got neither"),
    "queue and worker": (("resume", "mail", "--worker", "w1"), 2, "got both"),
    "no bounds": (("scale", "w1", "many"), 2, 'expected processes like "4", or "2:8"'),
    "half of the bounds": (("scale", "w1", "2:"), 2, "got '2:'"),
    "no processes": (("scale", "w1", "0"), 2, "least: expected 1 to 256, got 0"),
    "too many processes": (("scale", "w1", "1:257"), 2, "most: expected 1 to 256, got 257"),
    "bounds the wrong way round": (("scale", "w1", "3:2"), 2, "least ≤ most, got 3 and 2"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_told_and_nobody_is(cli: Cli, app: Mainspring, case: str) -> None:
    arguments, code, words = MISTAKES[case]
    beat(app)
    said = cli(*AT, *arguments)
    assert (said.code, said.out) == (code, "")
    assert words in said.err
    assert "Traceback" not in said.err
    assert beat(app) is None
