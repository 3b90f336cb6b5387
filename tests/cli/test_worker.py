"""The command worker, as a program of its own: runs jobs, stops when told, says what happens."""

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest

from mainspring import Mainspring, State
from tests.cli.conftest import URL, Cli
from tests.worker.conftest import eventually

Start = Callable[..., "subprocess.Popen[str]"]

APP = """
import os, time
from mainspring import Mainspring, Reject, RetryAfter, Tasks, current

with open("imported", "a") as file:
    file.write(f"{os.getpid()} ")

tasks = Tasks()

@tasks.task
def double(n: int) -> int:
    return 2 * n

@tasks.task
def broken(text: str) -> None:
    if current().attempt == 1:
        raise RetryAfter("100ms", text)
    raise Reject(text)

@tasks.task
def which_process() -> int:
    return os.getpid()

@tasks.task
def long(seconds: float) -> str:
    current().progress(50, "half way")
    time.sleep(seconds)
    return "slept"

app = Mainspring("sqlite:///jobs.db", tasks)
"""


@pytest.fixture(autouse=True)
def workerapp(here: Path) -> None:
    (here / "workerapp.py").write_text(APP)


@pytest.fixture
def store(here: Path) -> Mainspring:
    """The store behind the worker, without its tasks."""
    return Mainspring(URL)


def test_a_worker_needs_no_url_but_the_apps_own(program: Start, store: Mainspring) -> None:
    with store:
        job = store.enqueue("double", {"n": 4})
        process = program("--app", "workerapp:app", "worker", "--workers", 10)
        assert job.result(30) == 8
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_the_url_has_a_second_name(program: Start) -> None:
    with Mainspring("sqlite:///other.db") as store:
        job = store.enqueue("double", {"n": 5})
        program("worker", "--app", "workerapp:app", "--queue-url", "sqlite:///other.db")
        assert job.result(30) == 10


def test_a_typed_url_beats_the_apps_own_which_beats_the_environment(
    program: Start, store: Mainspring, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSPRING_URL", "sqlite:///elsewhere.db")
    monkeypatch.setenv("MAINSPRING_APP", "workerapp:app")
    with store:
        job = store.enqueue("double", {"n": 6})
        process = program("worker", "--threads", 3, "--processes", 2)
        assert process.stderr
        told = process.stderr.readline()
        assert told.endswith(f"takes jobs from {store.url}, all queues, 2 x 3\n")
        assert job.result(30) == 12
    assert cli("status", job.id).out == "Status: completed\nResult: 12\n"
    process = program("--url", "sqlite:///elsewhere.db", "worker", "--queues", "a,b")
    assert process.stderr
    told = process.stderr.readline()
    assert told.endswith("takes jobs from sqlite:///elsewhere.db, queues a, b, 1 x 8\n")


def test_the_app_is_imported_by_the_processes_that_run_jobs_and_by_no_other(
    program: Start, store: Mainspring, here: Path
) -> None:
    with store:
        job = store.enqueue("which_process")
        process = program("--app", "workerapp:app", "worker", "--processes", 2)
        child = job.result(30)
        process.terminate()
        assert process.wait(30) == 0
    imported = [int(pid) for pid in (here / "imported").read_text().split()]
    assert child in imported
    assert process.pid not in imported


def test_a_worker_takes_only_the_queues_it_was_given(program: Start, store: Mainspring) -> None:
    with store:
        other = store.enqueue("double", {"n": 1}, queue="other")
        mine = store.enqueue("double", {"n": 2}, queue="mine")
        program("--app", "workerapp:app", "worker", "--queues", "mine,also")
        assert mine.result(30) == 4
        assert other.refresh().state == State.PENDING


def test_the_first_signal_lets_running_jobs_finish(program: Start, store: Mainspring) -> None:
    with store:
        job = store.enqueue("long", {"seconds": 1})
        process = program("--app", "workerapp:app", "worker", "--json")
        running(store, job.id.bytes)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert '"handed_back":0' in out
        assert job.refresh().result() == "slept"


def test_when_the_grace_ran_out_jobs_are_given_back_and_the_code_says_so(
    program: Start, store: Mainspring
) -> None:
    with store:
        job = store.enqueue("long", {"seconds": 60})
        process = program("--app", "workerapp:app", "worker", "--grace", "100ms")
        running(store, job.id.bytes)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 75
        assert (job.refresh().state, job.attempt) == (State.PENDING, 0)


def test_the_worker_says_which_tasks_nobody_knows(program: Start, store: Mainspring) -> None:
    with store:
        store.enqueue("no.such.task")
        process = program("--app", "workerapp:app", "worker")
        assert process.stderr
        assert any("nobody here knows: no.such.task" in line for line in process.stderr)


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
def test_each_failed_attempt_is_told_in_a_line_unless_it_is_to_be_quiet(
    program: Start, store: Mainspring, quiet: tuple[str, ...]
) -> None:
    with store:
        job = store.enqueue("broken", {"text": "out of\n\x1b[31mtea"})
        process = program("--app", "workerapp:app", "worker", *quiet)
        assert store.wait_until_idle(30)
        process.terminate()
        _, err = process.communicate(timeout=30)
        assert job.refresh().state == State.FAILED
    lines = [line for line in err.splitlines() if " broken #1 " in line]
    if quiet:
        assert lines == []
        return
    first, last = lines
    assert "broken #1 failed at attempt 1: RetryAfter: " in first
    assert first.endswith("out of \\x1b[31mtea; again in 100ms")
    assert last.endswith("; dead letter (rejected)")


def test_an_app_that_cannot_be_imported_ends_the_worker_in_words(
    program: Start, here: Path
) -> None:
    (here / "badapp.py").write_text("raise ZeroDivisionError('on purpose')\n")
    process = program("--app", "badapp:app", "worker")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "badapp:app" in err.splitlines()[-1]
    assert "on purpose" in err.splitlines()[-1]


def running(store: Mainspring, id: bytes) -> None:
    """Wait until the job has begun, woken by what is committed."""
    end = time.monotonic() + 30
    signal = store.store.listen()
    try:
        while time.monotonic() < end:
            [record] = store.store.get([id])
            if record is not None and record.progress:
                return
            signal.wait(0.2)
        raise AssertionError("the job has not begun")
    finally:
        signal.close()


def test_pools_run_side_by_side_in_one_command(program: Start, store: Mainspring) -> None:
    with store:
        process = program(
            *("--app", "workerapp:app", "worker", "--json"),
            *("--pool", "mine=1:2", "--pool", "*@5=1"),
        )
        mine = store.enqueue("double", {"n": 1}, queue="mine")
        urgent = store.enqueue("double", {"n": 2}, queue="other", priority=5)
        usual = store.enqueue("double", {"n": 3}, queue="other")
        assert (mine.result(30), urgent.result(30)) == (2, 4)
        assert usual.refresh().state == State.PENDING
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert len(json.loads(out)["workers"]) == 2
    assert "queues mine, 1 to 2 x 8" in err
    assert "all queues with priorities 5 to 100, 1 x 8" in err


def test_a_hang_up_loads_the_app_anew(program: Start, store: Mainspring, here: Path) -> None:
    app = here / "workerapp.py"
    with store:
        process = program("--app", "workerapp:app", "worker")
        assert store.enqueue("double", {"n": 1}).result(30) == 2
        app.write_text(app.read_text().replace("return 2 * n", "return 3 * n + 100"))
        process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 30
        while store.enqueue("double", {"n": 1}).result(30) != 103:
            assert time.monotonic() < end
    assert process.poll() is None


# --- what attends it -----------------------------------------------------------------------------


def until(process: "subprocess.Popen[str]", words: str) -> str:
    """What it says on stderr until then; the last line has the words."""
    assert process.stderr
    said = ""
    for line in process.stderr:
        said += line
        if words in line:
            return said
    raise AssertionError(f"it never said {words!r}:\n{said}")


def test_probes_ask_at_a_port(program: Start) -> None:
    process = program("--app", "workerapp:app", "worker", "--health", "127.0.0.1:0")
    place = until(process, "health: ").split()[1]
    until(process, "takes jobs")
    with urlopen(place, timeout=10) as answer:
        assert json.load(answer) == {"live": True}
    process.terminate()
    assert process.wait(30) == 0


def test_probes_look_at_a_file_that_is_gone_with_the_worker(
    program: Start, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSPRING_HEALTH", "health")
    process = program("--app", "workerapp:app", "worker")
    until(process, "takes jobs")
    eventually(lambda: json.loads((here / "health").read_text()) == {"live": True, "ready": True})
    for probe in ("find health -mmin -1 | grep -q .", "grep -q '\"ready\":true' health"):
        assert subprocess.run(["sh", "-c", probe]).returncode == 0
    process.terminate()
    assert process.wait(30) == 0
    assert not (here / "health").exists()


def test_a_place_for_probes_that_cannot_be_had_is_said_at_once(program: Start, here: Path) -> None:
    for where, code in ((".", 2), ("host:99999", 2)):
        process = program("--app", "workerapp:app", "worker", "--health", where)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, "health: " in err) == (code, True), err


def test_a_service_manager_hears_when_it_takes_jobs_and_when_it_ends(
    program: Start, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("notify")
        manager.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(here / "notify"))
        process = program("--app", "workerapp:app", "worker")
        while manager.recv(4096) != b"READY=1":
            pass
        process.send_signal(signal.SIGHUP)
        while not manager.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC="):
            pass
        while manager.recv(4096) != b"READY=1":
            pass
        process.terminate()
        while not manager.recv(4096).startswith(b"STOPPING=1"):
            pass
        assert process.wait(30) == 0


@pytest.mark.parametrize("app", ["workerapp:app", "workerapp.py:app"])
def test_changed_code_is_loaded_and_broken_code_is_not(
    program: Start, store: Mainspring, here: Path, app: str
) -> None:
    code = here / "workerapp.py"
    process = program("--app", app, "worker", "--reload")
    until(process, "takes jobs")
    with store:
        assert store.enqueue("double", {"n": 4}).result(30) == 8
        code.write_text("this is no Python\n")
        until(process, "workerapp.py changed: loading the app anew")
        said = until(process, "could not be replaced, and goes on")
        assert "SyntaxError" in said
        assert store.enqueue("double", {"n": 4}).result(30) == 8
        code.write_text(APP.replace("2 * n", "3 * n"))
        until(process, "workerapp.py changed: loading the app anew")
        eventually(lambda: store.enqueue("double", {"n": 4}).result(30) == 12)
        process.terminate()
        assert process.wait(30) == 0
