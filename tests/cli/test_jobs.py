"""Commands about jobs: enqueue, status, show, jobs, cancel, replay."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from mainspring import Mainspring, State
from mainspring.cli.show import rows, text_of
from tests.cli.conftest import URL, Cli, worked_off

AT = ("--url", URL)


def enqueue(cli: Cli, *more: object) -> str:
    said = cli(*AT, "enqueue", "--type", "double", *more)
    found = re.fullmatch(r"Task enqueued: (\S+)\n", said.out)
    assert said.code == 0
    assert found
    return str(UUID(found[1]))


def test_enqueue_says_the_id_and_stores_the_job(cli: Cli, app: Mainspring) -> None:
    job = app.get(enqueue(cli, "--payload", '{"n": 4}', "--priority", 5, "--queue", "sums"))
    assert (job.payload, job.priority, job.queue) == ({"n": 4}, 5, "sums")


def test_enqueue_takes_the_payload_from_a_file(cli: Cli, app: Mainspring, here: Path) -> None:
    (here / "payload.json").write_text('{"n": 5}')
    assert app.get(enqueue(cli, "--payload", "@payload.json")).payload == {"n": 5}


def test_enqueue_takes_the_payload_from_standard_input(
    app: Mainspring, program: Callable[..., "subprocess.Popen[str]"]
) -> None:
    process = program(*AT, "enqueue", "--type", "double", "--payload", "-")
    out, _ = process.communicate('{"n": 6}', timeout=30)
    assert app.get(out.split()[-1]).payload == {"n": 6}


def test_enqueue_knows_what_is_said_of_one_job(cli: Cli, app: Mainspring) -> None:
    later = app.get(enqueue(cli, "--delay", "5m", "--label", "Sums", "--tag", "a", "--tag", "b"))
    assert (later.state, later.label, later.tags) == (State.SCHEDULED, "Sums", ("a", "b"))
    assert app.get(enqueue(cli, "--at", "2140-01-01T00:00:00+00:00")).state == State.SCHEDULED
    assert enqueue(cli, "--unique", "only") == enqueue(cli, "--unique", "only")
    often = app.get(enqueue(cli, "--max-retries", "7", "--key", "customer 7"))
    assert (often.record.policy.retry.max_retries, often.key) == (7, "customer 7")
    refused = cli(*AT, "enqueue", "--type", "double", "--max-retries", "-1")
    assert (refused.code, refused.out) == (2, "")
    assert "max_retries" in refused.err


def test_enqueue_that_waits_tells_the_result(cli: Cli, app: Mainspring) -> None:
    with app.worker(in_process=True):
        said = cli(*AT, "enqueue", "--type", "double", "--payload", '{"n": 21}', "--wait")
        assert said.code == 0
        assert said.out.splitlines()[1:] == ["Status: completed", "Result: 42"]
        said = cli(*AT, "enqueue", "--type", "double", "--payload", '{"n": -1}', "--wait")
        assert said.code == 1
        assert said.out.splitlines()[1:] == [
            "Status: failed (permanent)",
            "Error: ValueError: -1 is below zero",
        ]


def test_enqueue_with_an_app_checks_the_payload_before_anything_is_stored(
    cli: Cli, here: Path
) -> None:
    (here / "strictapp.py").write_text(
        "from mainspring import Mainspring, Tasks\n"
        "tasks = Tasks()\n"
        "@tasks.task\n"
        "def add(a: int) -> int: return a\n"
        "app = Mainspring('sqlite:///jobs.db', tasks)\n"
    )
    said = cli("--app", "strictapp:app", "enqueue", "--type", "add", "--payload", '{"a": "x"}')
    assert said.code == 2
    assert "expected `int`" in said.err
    assert cli(*AT, "jobs", "--json").json == []


@pytest.mark.parametrize(
    ("type", "words"),
    [
        ("nothing.alike", ""),
        ("doubel", "; did you mean 'double'?"),
        ("mail", "; did you mean 'shop.mail'?"),
    ],
)
def test_a_type_that_the_app_does_not_declare_is_stored_only_if_that_is_said(
    cli: Cli, here: Path, type: str, words: str
) -> None:
    name = f"slip_{type.replace('.', '_')}"
    for module in (name, f"{name}_again"):
        (here / f"{module}.py").write_text(
            "from mainspring import Mainspring, Tasks\n"
            "tasks = Tasks()\n"
            "@tasks.task\n"
            "def double(n: int) -> int: return 2 * n\n"
            "@tasks.task(name='shop.mail')\n"
            "def mail(to: str) -> None: ...\n"
            "app = Mainspring('sqlite:///jobs.db', tasks)\n"
        )
    said = cli("--app", f"{name}:app", "enqueue", "--type", type)
    assert (said.code, said.out) == (2, "")
    told = f"--type: {name}:app declares no task {type!r}{words}"
    assert said.err == f"mainspring: {told} (--unknown-task stores it all the same)\n"
    assert cli(*AT, "jobs", "--json").json == []
    said = cli("--app", f"{name}_again:app", "enqueue", "--type", type, "--unknown-task")
    assert (said.code, said.err) == (0, "")
    [job] = cli(*AT, "jobs", "--json").json
    assert job["task"] == type


def test_status_says_where_the_job_stands(cli: Cli, app: Mainspring) -> None:
    job = app.enqueue("double", {"n": 3})
    assert cli(*AT, "status", "--task-id", job.id).out == "Status: pending\n"
    worked_off(app)
    assert cli(*AT, "status", "--task-id", job.id).out == "Status: completed\nResult: 6\n"
    answer = cli(*AT, "status", "--task-id", job.id, "--json").json
    assert (answer["state"], answer["result"], answer["id"]) == ("completed", 6, str(job.id))


def test_a_job_is_found_by_its_number_too(cli: Cli, app: Mainspring) -> None:
    job = app.enqueue("double", {"n": 3})
    for name in (job.number, f"#{job.number}", job.id):
        assert cli(*AT, "status", name).out == "Status: pending\n"
    assert str(job.id) in cli(*AT, "show", job.number).out
    assert cli(*AT, "cancel", job.number).out == "1 cancelled\n"
    assert cli(*AT, "replay", f"#{job.number}").out == "1 replayed\n"
    said = cli(*AT, "status", "--task-id", job.number + 1)
    assert (said.code, said.out) == (1, "")
    assert f"no job has the number {job.number + 1}" in said.err


def test_status_wants_one_job(cli: Cli, app: Mainspring) -> None:
    assert "got none" in cli(*AT, "status").err
    said = cli(*AT, "status", 1, "--task-id", 1)
    assert (said.code, said.out) == (2, "")


def test_a_wait_that_ran_out_says_where_the_job_stands(cli: Cli, app: Mainspring) -> None:
    said = cli(*AT, "enqueue", "--type", "double", "--wait", "--timeout", "50ms")
    assert said.code == 75
    assert said.out.splitlines()[1:] == ["Status: pending"]
    assert "Not ended after 50ms: pending, no worker is running." in said.err
    said = cli(*AT, "enqueue", "--type", "double", "--timeout", "1s")
    assert said.code == 2


def test_a_job_that_waits_for_a_worker_is_told_of_once(cli: Cli, app: Mainspring) -> None:
    said = cli(*AT, "enqueue", "--type", "double", "--wait", "--timeout", "3.8s")
    assert said.err.count("No worker is running") == 1


def test_a_running_job_that_is_cancelled_was_asked_to_stop(cli: Cli, app: Mainspring) -> None:
    job = app.queue("letters").publish("hello")
    message = app.queue("letters").consume()
    assert message is not None
    said = cli(*AT, "cancel", job.id, "--json")
    assert (said.json["cancelled"], said.json["asked_to_stop"]) == ([], [str(job.id)])
    assert cli(*AT, "cancel", job.id).out == "1 asked to stop\n"
    assert "asked to stop" in cli(*AT, "jobs").out
    assert cli(*AT, "status", job.id).out == "Status: running, asked to stop\n"
    message.ack()


def test_show_prints_one_traceback_unless_all_are_wanted(cli: Cli, app: Mainspring) -> None:
    job = app.queue("letters").publish("hello")
    for attempt in (1, 2):
        message = app.queue("letters").consume(wait=10)
        assert message is not None
        try:
            raise OSError(f"attempt {attempt} went wrong")
        except OSError as error:
            message.nack(error, delay=0)
    short, long = cli(*AT, "show", job.id).out, cli(*AT, "show", job.id, "--all").out
    for out, tracebacks in ((short, 1), (long, 2)):
        assert out.count("Traceback") == tracebacks
        assert "attempt 1 went wrong" in out


def test_a_list_of_nothing_says_none_and_what_never_ran_took_no_time(
    cli: Cli, app: Mainspring
) -> None:
    assert cli(*AT, "jobs").out == "none\n"
    assert cli(*AT, "dlq", "list").out == "none\n"
    app.enqueue("double", {"n": 1}).cancel()
    assert "0us" not in cli(*AT, "jobs").out


def test_a_result_that_is_text_is_shown_bare(cli: Cli) -> None:
    with Mainspring(URL) as app:
        letters = app.queue("letters")
        published = letters.publish({"to": "user@example.com"})
        message = letters.consume()
        assert message is not None
        message.ack("Email sent successfully")
        said = cli(*AT, "status", "--task-id", published.id)
    assert said.out == "Status: completed\nResult: Email sent successfully\n"


def test_show_tells_everything_of_a_job(cli: Cli, app: Mainspring) -> None:
    first = app.enqueue("double", {"n": -7}, label="Sums", headers={"from": "test"})
    second = app.enqueue("double", {"n": 1}, depends_on=[first])
    worked_off(app)
    out = cli(*AT, "show", first.id).out
    for words in (str(first.id), "Sums", "failed", '{"n":-7}', "from=test", "below zero"):
        assert words in out
    assert "Traceback" in out
    assert str(first.id) in cli(*AT, "show", second.id).out
    answer = cli(*AT, "show", first.id, "--json").json
    assert answer["payload"] == {"n": -7}
    assert [error["type"] for error in answer["errors"]] == ["ValueError"]
    assert cli(*AT, "show", second.id, "--json").json["parents"] == [str(first.id)]


def test_what_is_stored_cannot_steer_the_terminal(cli: Cli, app: Mainspring) -> None:
    job = app.enqueue("nobody knows it", "\x1b[31mred\x9b31m")
    out = cli(*AT, "show", job.id).out
    assert "\x1b" not in out
    assert "\x9b" not in out


def test_jobs_lists_the_newest_first_page_by_page(cli: Cli, app: Mainspring) -> None:
    ids = [str(app.enqueue("double", {"n": n}).id) for n in range(5)]
    said = cli(*AT, "jobs", "--limit", 2)
    assert re.findall(r"^[0-9a-f-]{36}", said.out, re.M) == [ids[4], ids[3]]
    below = re.search(r"--after (\d+)", said.err)
    assert below
    rest = cli(*AT, "jobs", "--after", below[1], "--json").json
    assert [job["id"] for job in rest] == ids[2::-1]


def test_jobs_are_filtered_by_state_queue_task_and_tag(cli: Cli, app: Mainspring) -> None:
    app.enqueue("double", {"n": 1})
    wanted = app.enqueue("triple", {"n": 1}, queue="other", tags=["blue"], delay="1h")
    for filter in (
        ("--state", "scheduled"),
        ("--queue", "other"),
        ("--task", "triple"),
        ("--tag", "blue"),
        ("--state", "scheduled", "--state", "failed", "--queue", "other"),
    ):
        found = cli(*AT, "jobs", *filter, "--json").json
        assert [job["id"] for job in found] == [str(wanted.id)], filter


def test_cancel_ends_named_jobs_and_refuses_what_has_ended(cli: Cli, app: Mainspring) -> None:
    done = app.enqueue("double", {"n": 1})
    worked_off(app)
    waiting = app.enqueue("double", {"n": 1})
    said = cli(*AT, "cancel", waiting.id, "--reason", "not needed")
    assert (said.code, said.out) == (0, "1 cancelled\n")
    assert app.get(waiting.id).reason == "not needed"
    said = cli(*AT, "cancel", done.id)
    assert (said.code, said.out) == (1, "0 cancelled\n")
    assert str(done.id) in said.err


def test_cancel_takes_all_that_a_filter_selects(cli: Cli, app: Mainspring) -> None:
    for _ in range(3):
        app.enqueue("double", {"n": 1}, queue="bulk")
    kept = app.enqueue("double", {"n": 1})
    said = cli(*AT, "cancel", "--queue", "bulk", "--yes", "--json")
    assert len(said.json["cancelled"]) == 3
    assert kept.refresh().state == State.PENDING


def test_replay_makes_failed_jobs_run_again(cli: Cli, app: Mainspring) -> None:
    job = app.enqueue("double", {"n": -1})
    worked_off(app)
    assert cli(*AT, "replay", "--task", "double").out == "1 replayed\n"
    assert job.refresh().state == State.PENDING
    assert job.attempt == 0


def test_a_job_nobody_knows_is_a_failure_in_words(cli: Cli, app: Mainspring) -> None:
    unknown = UUID(int=7)
    for command in (("status", "--task-id"), ("show",), ("cancel",), ("replay",)):
        said = cli(*AT, *command, unknown)
        assert said.code == 1, command
        assert str(unknown) in said.err


def test_a_payload_that_other_software_spoiled_is_shown_as_its_bytes() -> None:
    assert text_of(b"\xff\xfe") == "2 bytes, in base64: //4="


@pytest.mark.parametrize(
    ("width", "names"),
    [
        (200, ["id", "#", "state", "task", "queue", "attempt", "created", "took", "about"]),
        (120, ["#", "state", "task", "queue", "attempt", "created", "took", "about"]),
        (80, ["#", "state", "task", "queue", "attempt", "took", "about"]),
    ],
)
def test_on_a_terminal_no_line_of_a_list_is_broken(
    app: Mainspring, width: int, names: list[str]
) -> None:
    app.enqueue("double", {"n": 1}, label="Double a number that somebody gave us " * 3)
    lines = rows([job.record for job in app.find()], width).splitlines()
    assert lines[0].split() == names
    assert [len(line) <= width for line in lines] == [True, True]
    assert "Double a number that som" in lines[1]
    assert lines[1].endswith("…")
