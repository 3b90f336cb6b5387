"""The command work: a program handles each job, and its end is what becomes of the job."""

import json
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mainspring import Job, JobFailed, Mainspring, Retry, State
from tests.cli.conftest import URL, Cli
from tests.servers import postgres, redis
from tests.servers.mainspring import server_url
from tests.worker.conftest import eventually

Start = Callable[..., "subprocess.Popen[str]"]

NOW = Retry(max_retries=3, base=0.05)
"""Retries that do not make a test wait."""


@pytest.fixture
def store() -> Iterator[Mainspring]:
    with Mainspring(URL) as app:
        app.counts()
        yield app


@pytest.fixture
def work(program: Start, here: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Start `mainspring work` with a Python program as the handler."""

    def start(code: str, *options: object, url: str = URL) -> "subprocess.Popen[str]":
        script = here / f"handle{len(list(here.glob('handle*')))}.py"
        script.write_text(f"#!{sys.executable}\nimport json, os, sys, time, signal\n{code}")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        return program("--url", url, "work", "--exec", script, *options)

    return start


Work = Callable[..., "subprocess.Popen[str]"]


def failed(job: Job[Any]) -> JobFailed:
    """The error of a job that ends as a dead letter."""
    with pytest.raises(JobFailed) as raised:
        job.result(30)
    return raised.value


def written(file: Path) -> str:
    """What a program writes into a file, once it has."""
    eventually(lambda: file.exists() and file.read_text())
    return file.read_text()


def lives(pid: int) -> bool:
    """Whether there is such a process, other than as a zombie that waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def seen(store: Mainspring, job: Job[Any]) -> Any:
    [record] = store.store.get([job.id.bytes])
    assert record is not None
    return record


# --- what goes in and comes out ------------------------------------------------------------------


def test_the_payload_is_the_input_and_the_output_is_the_result(
    store: Mainspring, work: Work
) -> None:
    work("print(json.dumps({'sum': sum(json.load(sys.stdin)['numbers'])}))")
    job = store.enqueue("add", {"numbers": [1, 2, 39]})
    assert job.result(30) == {"sum": 42}


def test_the_environment_holds_the_facts_of_the_job(store: Mainspring, work: Work) -> None:
    work("print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('MAINSPRING')}))")
    job = store.enqueue(
        "video.cut", [1], queue="video", headers={"from": "web", "é": "ü"}, timeout="2m"
    )
    told = job.result(30)
    assert told.pop("MAINSPRING_WORKER")
    assert json.loads(told.pop("MAINSPRING_HEADERS")) == {"from": "web", "é": "ü"}
    assert told == {
        "MAINSPRING_JOB_ID": str(job.id),
        "MAINSPRING_JOB_NUMBER": str(job.number),
        "MAINSPRING_TASK": "video.cut",
        "MAINSPRING_VERSION": "1",
        "MAINSPRING_QUEUE": "video",
        "MAINSPRING_ATTEMPT": "1",
        "MAINSPRING_LAST_ATTEMPT": "0",
        "MAINSPRING_CLAIMS": "1",
        "MAINSPRING_PAYLOAD": "json",
        "MAINSPRING_TIMEOUT": "120",
    }


def test_the_program_learns_neither_where_the_store_is_nor_its_password(
    store: Mainspring, program: Start, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSPRING_API_KEY", "secret")
    monkeypatch.setenv("MAINSPRING_URL", URL)
    monkeypatch.setenv("DATABASE", URL)
    monkeypatch.setenv("KEPT", "yes")
    program("--url", "env:DATABASE", "work", "--exec", "env")
    told = store.enqueue("show").result(30)
    assert "KEPT=yes" in told
    assert "secret" not in told
    assert URL not in told


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("print('done')", "done"),
        ("print('two\\nlines')", "two\nlines"),
        ("print('  7 ')", 7),
        ("print('[1, {\"a\": null}]')", [1, {"a": None}]),
        ("print('NaN')", "NaN"),
        ("print('[' * 100000)", "[" * 100_000),
        ("pass", None),
        ("print()", None),
        ("print('null')", None),
        ("sys.stdout.buffer.write(b'\\xff\\x00garbage')", b"\xff\x00garbage"),
    ],
    ids=["text", "lines", "number", "json", "nan", "deep", "nothing", "blank", "null", "bytes"],
)
def test_output_is_a_json_value_or_text_or_bytes(
    store: Mainspring, work: Work, code: str, result: object
) -> None:
    work(code)
    assert store.enqueue("say").result(30) == result


def test_a_payload_of_bytes_comes_as_it_is(store: Mainspring, work: Work) -> None:
    work(
        "data = sys.stdin.buffer.read()\n"
        "print(os.environ['MAINSPRING_PAYLOAD'], len(data), data[:2] + data[-2:])"
    )
    job = store.enqueue("keep", b"\x00\xff" + bytes(300_000) + b"\x01\x02")
    assert job.result(30) == "bytes 300004 b'\\x00\\xff\\x01\\x02'"


def test_a_program_need_not_read_its_payload(store: Mainspring, work: Work) -> None:
    work("print('unread')")
    assert store.enqueue("ignore", "x" * 900_000).result(30) == "unread"


def test_what_is_written_to_stderr_becomes_the_log_of_the_job(
    store: Mainspring, work: Work, cli: Cli
) -> None:
    work("print('one', file=sys.stderr)\nprint('no end', end='', file=sys.stderr)\nprint(1)")
    job = store.enqueue("talk")
    assert job.result(30) == 1
    eventually(lambda: "no end" in cli("--url", URL, "show", job.id).out)
    assert "one\n" in cli("--url", URL, "show", job.id).out


# --- how it ends ---------------------------------------------------------------------------------


def test_another_exit_code_than_0_is_a_failure_that_is_retried(
    store: Mainspring, work: Work
) -> None:
    work(
        "n = int(os.environ['MAINSPRING_ATTEMPT'])\n"
        "if n < 3:\n    sys.exit(f'attempt {n} went wrong')\nprint(n)"
    )
    job = store.enqueue("flaky", retry=NOW)
    assert job.result(30) == 3


def test_a_dead_letter_has_the_end_of_stderr(store: Mainspring, work: Work) -> None:
    work("print('a' * 50000, 'before', file=sys.stderr)\nsys.exit('the disk is full')")
    error = failed(store.enqueue("broken", max_retries=0))
    assert "exit code 1: the disk is full" in str(error)
    [record] = store.store.find(store_select(), limit=1)
    assert record.error is not None
    assert record.error.type == "ProgramFailed"
    assert record.error.traceback.endswith("before\nthe disk is full\n")
    assert len(record.error.traceback) == 16_000


def store_select() -> Any:
    from mainspring.job import Select

    return Select(states=(State.FAILED,))


def test_a_program_that_crashes_fails_with_the_name_of_the_signal(
    store: Mainspring, work: Work
) -> None:
    work("os.kill(os.getpid(), signal.SIGSEGV)")
    assert "signal 11 (SIGSEGV)" in str(failed(store.enqueue("crash", max_retries=0)))


def test_exit_code_65_fails_for_good(store: Mainspring, work: Work) -> None:
    work("print('not a video', file=sys.stderr)\nsys.exit(65)")
    job = store.enqueue("reject", retry=NOW)
    assert "not a video" in str(failed(job))
    record = seen(store, job)
    assert (record.attempt, record.reason) == (1, "rejected")


def test_exit_code_75_tries_again_later_and_costs_no_attempt(
    store: Mainspring, work: Work, here: Path
) -> None:
    work(
        "if not os.path.exists('ready'):\n    open('ready', 'w').close()\n"
        "    print('100ms')\n    sys.exit(75)\nprint(os.environ['MAINSPRING_ATTEMPT'])"
    )
    job = store.enqueue("early", max_retries=0)
    assert job.result(30) == 1
    assert seen(store, job).claims == 2


def test_exit_code_75_alone_means_in_a_minute(store: Mainspring, work: Work) -> None:
    work("sys.exit(75)")
    job = store.enqueue("early")
    eventually(lambda: seen(store, job).state == State.SCHEDULED)
    record = seen(store, job)
    assert 50e6 < record.due - time.time() * 1e6 < 61e6
    assert (record.attempt, record.reason) == (0, "snoozed")


def test_too_much_output_ends_the_program_and_fails_for_good(
    store: Mainspring, work: Work, here: Path
) -> None:
    work(
        "open('pid', 'w').write(str(os.getpid()))\n"
        "while True:\n    sys.stdout.buffer.write(b'x' * 65536)"
    )
    assert "wrote more than 10,000,000 bytes" in str(failed(store.enqueue("flood", retry=NOW)))
    assert not lives(int(written(here / "pid")))


def test_output_that_is_too_much_only_as_it_is_stored_fails_for_good(
    store: Mainspring, work: Work
) -> None:
    work("sys.stdout.write('\\x01' * 2_000_000)")  # six characters each, in JSON
    assert "at most 10,000,000 bytes" in str(failed(store.enqueue("flood", retry=NOW)))


def test_errors_without_end_are_read_and_the_first_of_them_kept(
    store: Mainspring, work: Work, cli: Cli
) -> None:
    work("for n in range(20):\n    sys.stderr.write('y' * 65535 + '\\n')\nprint('done')")
    job = store.enqueue("noisy")
    assert job.result(30) == "done"
    eventually(lambda: "more than 64 kB" in cli("--url", URL, "show", job.id).out)
    assert cli("--url", URL, "show", job.id).out.count("y") < 70_000


def test_a_program_that_is_gone_is_a_failure_that_says_so(
    store: Mainspring, work: Work, here: Path
) -> None:
    process = work("print(1)")
    assert store.enqueue("first").result(30) == 1
    (here / "handle0.py").unlink()
    error = failed(store.enqueue("second", max_retries=0))
    assert "cannot be started" in str(error)
    process.terminate()
    assert process.wait(30) == 0


def test_a_machine_that_has_no_room_for_a_program_costs_no_attempt(
    store: Mainspring, program: Start, here: Path
) -> None:
    jobs = [store.enqueue("wait", max_retries=0) for _ in range(30)]
    program(
        "--url",
        URL,
        "work",
        "--exec",
        "while ! test -e go; do sleep 0.05; done; echo went",
        "--shell",
        "--concurrency",
        30,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)),
    )
    eventually(lambda: store.counts()["default"][State.SCHEDULED])
    [late, *_] = store.find(states=State.SCHEDULED, limit=1)
    assert seen(store, late).reason.startswith("cannot be started: Too many open files")
    (here / "go").touch()
    assert [job.result(30) for job in jobs] == ["went"] * 30


# --- which jobs ----------------------------------------------------------------------------------


def test_only_jobs_of_the_named_tasks_are_taken(store: Mainspring, work: Work) -> None:
    other = store.enqueue("c", priority=50)
    work("print(os.environ['MAINSPRING_TASK'])", "--task", "a", "--task", "b")
    jobs = [store.enqueue("a"), store.enqueue("b")]
    assert [job.result(30) for job in jobs] == ["a", "b"]
    record = seen(store, other)
    assert (record.state, record.claims) == (State.PENDING, 0)


def test_messages_published_by_hand_are_taken_from_a_queue_that_is_named(
    store: Mainspring, work: Work
) -> None:
    store.queue("videos").publish({"file": "a.mp4"}, headers={"user": "7"})
    left = store.queue("images").publish("b.png")
    work("print(json.load(sys.stdin)['file'], os.environ['MAINSPRING_QUEUE'])", "--queue", "videos")
    eventually(lambda: store.counts()["videos"][State.COMPLETED] == 1)
    [record] = [job for job in store.find(queues="videos")]
    assert record.result(1) == "a.mp4 videos"
    assert left.position == 1


def test_as_many_run_at_once_as_was_said_and_no_more(
    store: Mainspring, work: Work, here: Path
) -> None:
    jobs = [store.enqueue("wait") for _ in range(5)]
    work(
        "open(f'run{os.getpid()}', 'w').close()\n"
        "while not os.path.exists('go'):\n    time.sleep(0.01)\nprint('went')",
        "--concurrency",
        3,
    )
    eventually(lambda: len(list(here.glob("run*"))) == 3)
    assert store.counts()["default"][State.RUNNING] == 3
    assert store.counts()["default"][State.PENDING] == 2
    (here / "go").touch()
    assert [job.result(30) for job in jobs] == ["went"] * 5


@pytest.mark.parametrize("engine", ["postgres", "redis", "http"])
def test_it_works_on_servers_too(engine: str, tmp_path: Path, work: Work) -> None:
    urls = {
        "postgres": postgres.in_folder,
        "redis": lambda folder: redis.in_folder(redis.redis_url(), folder),
        "http": server_url,
    }
    url = urls[engine](tmp_path)
    with Mainspring(url) as store:
        job = store.enqueue("add", [1, 2])
        process = work("print(sum(json.load(sys.stdin)))", url=url)
        assert job.result(30) == 3
        process.terminate()
        assert process.wait(30) == 0


# --- time, cancel, stop, kill --------------------------------------------------------------------

STUBBORN = (
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "import subprocess\n"
    "child = subprocess.Popen(['sleep', '600'])\n"
    "open('pids', 'w').write(f'{os.getpid()} {child.pid}')\n"
    "time.sleep(600)"
)
"""A program that does not end when it is told to, with one more that it has started."""


def pids(here: Path) -> list[int]:
    eventually(lambda: len(written(here / "pids").split()) == 2)
    return [int(pid) for pid in (here / "pids").read_text().split()]


def test_the_lease_is_renewed_while_a_program_runs(
    store: Mainspring, work: Work, here: Path
) -> None:
    work("time.sleep(2)\nprint(os.environ['MAINSPRING_CLAIMS'])", "--lease", "400ms")
    work("print('stolen')", "--lease", "400ms")
    job = store.enqueue("long")
    assert job.result(30) in (1, "stolen")
    assert seen(store, job).claims == 1


def test_a_job_beyond_its_time_limit_is_told_to_end_then_killed_with_all_it_has_started(
    store: Mainspring, work: Work, here: Path
) -> None:
    work(STUBBORN)
    error = failed(store.enqueue("stuck", timeout="300ms", max_retries=0))
    assert "did not end within its time limit of 0.3 s" in str(error)
    assert not any(map(lives, pids(here)))


def test_jobs_without_a_limit_get_the_one_of_the_command(store: Mainspring, work: Work) -> None:
    work(
        "print(os.environ['MAINSPRING_TIMEOUT'], flush=True)\ntime.sleep(60)", "--timeout", "300ms"
    )
    job = store.enqueue("stuck", max_retries=0)
    assert "time limit of 0.3 s" in str(failed(job))
    assert seen(store, job).reason == "timed out"


def test_cancelling_ends_the_program(store: Mainspring, work: Work, here: Path) -> None:
    work(STUBBORN, "--lease", "600ms")
    job = store.enqueue("long")
    running = pids(here)
    assert store.cancel(job.id).ids
    eventually(lambda: seen(store, job).state == State.CANCELLED)
    assert not any(map(lives, running))


def test_a_program_that_finishes_although_its_job_is_cancelled_has_completed_it(
    store: Mainspring, work: Work, here: Path
) -> None:
    work(
        "def end(*_):\n    print('in time')\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\nopen('up', 'w').write('1')\ntime.sleep(600)",
        "--lease",
        "600ms",
    )
    job = store.enqueue("long")
    written(here / "up")
    store.cancel(job.id)
    assert job.result(30) == "in time"


def test_what_a_program_leaves_behind_ends_with_it_and_delays_nothing(
    store: Mainspring, work: Work, here: Path
) -> None:
    work(
        "import subprocess\nchild = subprocess.Popen(['sleep', '600'])\n"
        "open('pid', 'w').write(str(child.pid))\nprint('done')"
    )
    assert store.enqueue("leave").result(10) == "done"
    eventually(lambda: not lives(int(written(here / "pid"))))


def test_one_that_went_its_own_way_and_keeps_the_pipes_open_delays_nothing(
    store: Mainspring, work: Work, here: Path
) -> None:
    work(
        "import subprocess\nchild = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "open('pid', 'w').write(str(child.pid))\nprint('done')"
    )
    try:
        assert store.enqueue("daemon").result(10) == "done"
    finally:
        os.kill(int(written(here / "pid")), signal.SIGKILL)


def test_the_first_signal_lets_programs_finish(store: Mainspring, work: Work, here: Path) -> None:
    process = work(
        "open('up', 'w').write('1')\n"
        "while not os.path.exists('go'):\n    time.sleep(0.01)\nprint('finished')"
    )
    job = store.enqueue("long")
    late = store.enqueue("late")
    written(here / "up")
    process.send_signal(signal.SIGTERM)
    assert process.stderr
    assert any("stopping" in line for line in iter(process.stderr.readline, ""))
    (here / "go").touch()
    assert process.wait(30) == 0
    assert job.result(5) == "finished"
    assert seen(store, late).claims == 0


def test_when_the_grace_has_run_out_jobs_go_back_unspent_and_the_code_says_so(
    store: Mainspring, work: Work, here: Path
) -> None:
    process = work(STUBBORN, "--grace", "100ms")
    job = store.enqueue("long")
    running = pids(here)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 75
    record = seen(store, job)
    assert (record.state, record.attempt, record.claims) == (State.PENDING, 0, 1)
    assert not any(map(lives, running))


@pytest.mark.crash
def test_programs_end_with_a_runner_that_was_killed_and_their_jobs_run_again(
    store: Mainspring, work: Work, here: Path
) -> None:
    first = work(STUBBORN, "--lease", "500ms")
    job = store.enqueue("long", retry=NOW)
    running = pids(here)
    first.send_signal(signal.SIGKILL)
    first.wait(30)
    work("print(os.environ['MAINSPRING_ATTEMPT'])", "--lease", "500ms")
    assert job.result(30) == 2
    eventually(lambda: not any(map(lives, running)))


# --- how it is called ----------------------------------------------------------------------------


def test_there_is_no_shell_unless_it_is_asked_for(
    store: Mainspring, program: Start, here: Path
) -> None:
    program("--url", URL, "work", "--exec", "echo $HOME | cat", "--task", "plain")
    program("--url", URL, "work", "--exec", "tr a-z A-Z | rev", "--shell", "--task", "shell")
    assert store.enqueue("plain").result(30) == "$HOME | cat"
    assert store.enqueue("shell", "abc").result(30) == "CBA"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--exec", "no-such-program x"], "expected a program that can be run"),
        (["--exec", "echo 'open"], "expected a command"),
        (["--exec", " "], "expected a command, got nothing"),
        (["--exec", "cat", "--timeout", "soon"], "expected a duration"),
        (["--exec", "cat", "--concurrency", "0"], "expected a whole number from 1"),
        (["--exec", "cat", "--lease", "1ms"], "expected 200 milliseconds to a day"),
        (["--exec", "cat", "--task", ""], "--task"),
        ([], "--exec"),
    ],
)
def test_what_cannot_be_is_refused_in_words(cli: Cli, arguments: list[str], told: str) -> None:
    said = cli("--url", URL, "work", *arguments)
    assert said.code == 2, said.err
    assert told in said.err


def test_it_says_what_it_takes_and_answers_in_json_at_the_end(
    store: Mainspring, work: Work
) -> None:
    process = work("print(1)", "--task", "a", "--queue", "q", "--concurrency", 4, "--json")
    assert process.stderr
    told = process.stderr.readline()
    assert told.endswith(f"takes jobs from {store.url}, queues q, tasks a, 4 at once\n")
    [worker] = eventually(lambda: [each for each in store.workers() if each.tasks])
    assert (worker.slots, worker.tasks, worker.queues) == (4, ("a",), ("q",))
    process.terminate()
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert json.loads(out)["handed_back"] == 0
