"""Monitor and stats: the words, the figures, and the terminal."""

import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from mainspring import Mainspring
from mainspring.cli.figures import frame, percentile
from mainspring.cli.monitor import text_of_frame
from mainspring.job import State, TaskUnknown
from mainspring.lifecycle import decide
from mainspring.store import Claim, Grant, Minute, Presence
from tests.cli.conftest import URL, Cli, worked_off

AT = ("--url", URL)

Start = Callable[..., "subprocess.Popen[str]"]


def busy() -> dict[str, Any]:
    counts = {"default": dict.fromkeys(State, 0) | {State.PENDING: 42, State.RUNNING: 8}}
    at_work = Presence(
        id="w", host="h", pid=1, started=0, state="running", slots=10, busy=10, processed=3
    )
    minute = Minute(start=0, queue="default", task="t", ran=2_400_000, run_histogram={21: 2})
    return frame(counts, [], [at_work], [minute], now=0)


def test_the_monitor_says_what_is_going_on_in_these_words() -> None:
    lines = text_of_frame(busy(), URL).splitlines()
    for line in (
        "Queue Length: 42",
        "Running Tasks: 8",
        "Workers: 10/10 active",
        "Avg Process Time: 1.2s",
    ):
        assert line in lines


def test_one_frame_of_a_store_without_workers(cli: Cli, app: Mainspring) -> None:
    app.enqueue("double", {"n": 1})
    said = cli(*AT, "monitor", "--once")
    assert said.code == 0
    assert "\nQueue Length: 1\nRunning Tasks: 0\nWorkers: 0/0 active\n" in said.out
    assert cli(*AT, "monitor", "--json").json["queue_length"] == 1


def test_the_monitor_shows_workers_at_work(cli: Cli, app: Mainspring) -> None:
    with app.worker(in_process=True, threads=3) as worker:
        while not app.workers():  # it tells of itself when it has begun
            time.sleep(0.005)
        said = cli(*AT, "monitor", "--once")
        [shown] = cli(*AT, "monitor", "--once", "--json").json["workers"]
    assert "\nWorkers: 0/3 active\n" in said.out
    assert worker.name in said.out
    assert (shown["id"], shown["busy"], shown["slots"]) == (worker.name, 0, 3)


def test_without_a_terminal_frames_follow_each_other(app: Mainspring, program: Start) -> None:
    process = program(*AT, "monitor", "--interval", "50ms")
    assert process.stdout
    seen = 0
    for line in process.stdout:
        seen += line.startswith("Queue Length: 0")
        if seen == 3:
            break
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130


def test_on_a_terminal_frames_are_drawn_over_each_other(app: Mainspring, program: Start) -> None:
    terminal, end = pty.openpty()
    process = program(*AT, "monitor", "--interval", "50ms", stdout=end)
    os.close(end)
    drawn = b""
    while drawn.count(b"\x1b[H") < 3:
        drawn += os.read(terminal, 4096)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    while not drawn.endswith(b"\x1b[?1049l"):
        drawn += os.read(terminal, 4096)
    os.close(terminal)
    assert drawn.startswith(b"\x1b[?1049h")
    assert drawn.count(b"Queue Length: 0") >= 3


def test_stats_count_jobs_and_measure_tasks(cli: Cli, app: Mainspring) -> None:
    for n in (1, 2, -1):
        app.enqueue("double", {"n": n})
    worked_off(app)
    app.close()
    answer = cli(*AT, "stats", "--json").json
    assert (answer["states"]["completed"], answer["states"]["failed"]) == (2, 1)
    assert (answer["completed"], answer["failed"]) == (2, 1)
    assert list(answer["tasks"]) == ["double"]
    assert 0 <= answer["run_seconds"]["p50"] <= answer["run_seconds"]["p99"]
    text = cli(*AT, "stats").out
    assert re.search(r"^completed +2$", text, re.M)
    assert re.search(r"^double +2 +1 +0 ", text, re.M)


@pytest.mark.parametrize(
    ("share", "low", "high"), [(50, 512, 1024), (99, 1024, 2048), (100, 1024, 2048)]
)
def test_percentiles_lie_within_the_right_power_of_two(share: int, low: int, high: int) -> None:
    found = percentile({10: 90, 11: 10}, share)
    assert found is not None
    assert low <= found <= high


def test_percentiles_are_marked_as_estimates(cli: Cli, app: Mainspring) -> None:
    app.enqueue("double", {"n": 1})
    worked_off(app)
    app.close()
    assert re.search(r"^double +1 +0 +0( +~[\d.]+(us|ms|s)){6}$", cli(*AT, "stats").out, re.M)


def test_tasks_that_no_worker_knows_are_pointed_out(cli: Cli, app: Mainspring) -> None:
    app.enqueue("crawl.ftech")
    grant = Grant(token=1, worker="w", lease=10_000_000)
    claimed = app.store.exchange([], Claim(grant=grant, limit=1, slots=1)).jobs
    app.store.exchange([decide(job, TaskUnknown()) for job in claimed])
    assert "\nUnknown Tasks: crawl.ftech (1)\n" in cli(*AT, "monitor", "--once").out
    assert "\nUnknown Tasks: crawl.ftech (1)\n" in cli(*AT, "stats").out
    assert cli(*AT, "stats", "--json").json["unknown_tasks"] == {"crawl.ftech": 1}


def test_columns_of_zeros_are_left_out(cli: Cli, app: Mainspring) -> None:
    app.enqueue("double", {"n": 1})
    assert re.search(r"^queue +pending\n", cli(*AT, "monitor", "--once").out, re.M)


def test_percentiles_of_nothing_are_unknown() -> None:
    assert percentile({}, 50) is None
