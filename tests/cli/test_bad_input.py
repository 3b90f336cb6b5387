"""What users can get wrong ends in one line of words and an exit code, never in a traceback."""

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mainspring import Mainspring
from tests.cli.conftest import URL, Cli, Said

AT = ("--url", URL)
ENQUEUE = (*AT, "enqueue", "--type", "email")

USAGE: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown command": (("frobnicate",), "No such command 'frobnicate'"),
    "unknown option": ((*AT, "stats", "--frobnicate"), "--frobnicate"),
    "no command": (AT, "Usage"),
    "missing type": ((*AT, "enqueue"), "--type"),
    "unknown scheme": (("--url", "mysql://x/y", "migrate"), "store URL: expected one of"),
    "no scheme": (("--url", "jobs.db", "migrate"), "store URL: expected one of"),
    "unknown option in the URL": (("--url", f"{URL}?x=1", "migrate"), "durability"),
    "NUL in a worker's URL": (
        ("--url", "sqlite:///a%00b.db", "--app", "shop:app", "worker"),
        "a path without NUL",
    ),
    "NUL in the URL": (("--url", "sqlite:///a%00b.db", "stats"), "a path without NUL"),
    "unset variable": (("--url", "env:NOWHERE", "stats"), "'NOWHERE', which is not set"),
    "payload that is not JSON": ((*ENQUEUE, "--payload", "{to: me}"), "expected JSON"),
    "payload in no file": ((*ENQUEUE, "--payload", "@gone.json"), "gone.json: No such file"),
    "payload too large": ((*ENQUEUE, "--payload", "@large.json"), "at most 1,000,000 bytes"),
    "payload nested too deeply": ((*ENQUEUE, "--payload", "[" * 5000), "expected JSON"),
    "bad duration": ((*ENQUEUE, "--delay", "soon"), 'expected a duration like "250ms"'),
    "negative duration": ((*ENQUEUE, "--delay=-5"), "expected a duration"),
    "naive datetime": ((*ENQUEUE, "--at", "2031-01-01T00:00:00"), "naive"),
    "no datetime": ((*ENQUEUE, "--at", "tomorrow"), "expected a time such as"),
    "delay and moment": (
        (*ENQUEUE, "--delay", "1s", "--at", "2031-01-01T00:00:00Z"),
        "expected delay or run_at",
    ),
    "priority out of range": ((*ENQUEUE, "--priority", "101"), "-100 to 100, got 101"),
    "priority that is no number": ((*ENQUEUE, "--priority", "high"), "'high'"),
    "queue without a name": ((*ENQUEUE, "--queue", ""), "queue: expected 1 to 255"),
    "task name of nothing": ((*AT, "enqueue", "--type", ""), "task: expected 1 to 255"),
    "id that is none": ((*AT, "status", "--task-id", "task-123"), "expected a job's id"),
    "unknown state": ((*AT, "jobs", "--state", "happy"), "'happy'"),
    "limit of nothing": ((*AT, "jobs", "--limit", "0"), "0"),
    "cancel of nothing": ((*AT, "cancel"), "expected ids, or filters such as --queue, got neither"),
    "worker without an app": ((*AT, "worker"), "--app: expected"),
    "app that is no place": (("--app", "shop", "worker"), 'expected "module:object"'),
    "app that is not there": (("--app", "nosuchmodule:app", "worker"), "found no 'nosuchmodule'"),
    "no threads": (("--app", "a:b", "worker", "--threads", "0"), "1 to 10,000, got '0'"),
    "fewer at most than to begin with": (
        ("--app", "a:b", "worker", "--min", "4", "--max", "2"),
        "--max-processes: expected at least 4",
    ),
    "a pool that is none": (("--app", "a:b", "worker", "--pool", "mail"), "expected a pool such"),
    "a pool beside queues": (
        ("--app", "a:b", "worker", "--pool", "mail=1", "--queues", "mail"),
        "expected --pools or --queues, got both",
    ),
    "bad lease": (("--app", "a:b", "worker", "--lease", "long"), "--lease: "),
    "demo of no folder": (("demo", "--path", "nowhere"), "nowhere"),
    "demo of a folder without Python": (("demo", "--path", "empty"), "found none in"),
    "demo in no folder": (("demo", "--db", "nowhere/demo.db"), "folder that exists"),
    "demo in memory": (("demo", "--url", "sqlite://:memory:"), "got memory"),
}


@pytest.fixture
def stocked(app: Mainspring, here: Path) -> None:
    (here / "large.json").write_text('"' + "x" * 1_000_001 + '"')
    (here / "empty").mkdir()


@pytest.mark.parametrize("case", USAGE)
def test_wrong_usage_is_told_and_leaves_nothing_behind(
    cli: Cli, stocked: None, app: Mainspring, case: str
) -> None:
    arguments, words = USAGE[case]
    said = cli(*arguments)
    assert said.code == 2, said
    assert words in said.err
    assert said.out == ""
    assert "Traceback" not in said.err
    assert app.find() == []


def test_wrong_configuration_has_a_code_of_its_own(
    cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSPRING_URL", "mysql://x/y")
    said = cli("migrate")
    assert (said.code, said.out) == (78, "")
    assert "store URL: expected one of" in said.err
    monkeypatch.delenv("MAINSPRING_URL")
    (here / "mainspring.toml").write_text("lease = 'long'\n")
    said = cli("worker")
    assert said.code == 78
    assert "lease in mainspring.toml" in said.err


def test_a_file_that_is_no_database_is_refused(cli: Cli, here: Path) -> None:
    (here / "jobs.db").write_text("no database at all, and long enough to look like one\n" * 40)
    for command in ("stats", "check", "migrate", "doctor"):
        said = cli(*AT, command)
        assert said.code == 78, command
        assert "expected an SQLite database, got a file of something else" in said.err
    said = cli("demo", "--db", "jobs.db")
    assert said.code == 78


def test_a_database_of_another_application_is_refused_untouched(cli: Cli, here: Path) -> None:
    with sqlite3.connect(here / "jobs.db") as connection:
        connection.execute("CREATE TABLE orders(id INTEGER PRIMARY KEY)")
    connection.close()
    before = (here / "jobs.db").read_bytes()
    said = cli(*AT, "enqueue", "--type", "email")
    assert said.code == 78
    assert "got a database of another application" in said.err
    assert (here / "jobs.db").read_bytes() == before


def test_a_database_of_a_newer_version_is_refused(cli: Cli, app: Mainspring, here: Path) -> None:
    app.close()
    with sqlite3.connect(here / "jobs.db") as connection:
        connection.execute("PRAGMA user_version = 9999")
    connection.close()
    said = cli(*AT, "stats")
    assert said.code == 78
    assert "9999" in said.err
    assert "newer mainspring" in said.err


def test_looking_at_a_file_that_is_not_there_does_not_make_it(cli: Cli, here: Path) -> None:
    for command in (("stats",), ("monitor", "--once"), ("doctor",), ("jobs",), ("purge", "q")):
        said = cli("--url", "sqlite:///typo.db", *command)
        assert said.code == 69, command
        assert "no such file yet" in said.err
    assert not (here / "typo.db").exists()


def test_who_forgot_to_name_the_store_is_told_how(cli: Cli, here: Path) -> None:
    said = cli("stats")
    told = "no such file yet; which store? say --url or --app"
    assert said == Said(69, "", f"mainspring: {here}/mainspring.db: {told}\n")


UNREACHABLE = {
    "a" * 300 + ".db": "File name too long",
    "folder": "expected a file, got a folder",
    "folder/": "expected a file, got a folder",
    "nowhere/jobs.db": "there is no such folder",
    "file/jobs.db": "there is no such folder",
}


@pytest.mark.parametrize("path", UNREACHABLE)
def test_where_no_file_can_be_is_told_in_one_line(cli: Cli, here: Path, path: str) -> None:
    (here / "folder").mkdir()
    (here / "file").write_text("")
    (here / "shop.py").write_text("")
    commands = ("stats",), ("migrate",), ("enqueue", "--type", "x"), ("--app", "shop:app", "worker")
    for command in commands:
        said = cli("--url", f"sqlite:///{path}", *command)
        assert (said.code, said.out) == (69, ""), command
        assert said.err.endswith(f": {UNREACHABLE[path]}\n")
        assert said.err.count("\n") == 1


def test_a_folder_that_must_not_be_looked_into_is_told_in_one_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(tempfile.mkdtemp())
    monkeypatch.chdir("/")
    try:
        folder.chmod(0o600)
        with bound_by_permissions():
            said = cli("--url", f"sqlite:///{folder}/jobs.db", "stats")
        assert said == Said(69, "", f"mainspring: {folder}/jobs.db: Permission denied\n")
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


@contextmanager
def bound_by_permissions() -> Iterator[None]:
    """Root may write to everything: be nobody for a while."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_must_not_be_written_is_a_store_out_of_reach(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(tempfile.mkdtemp())  # unlike pytest's own folders, others may look into it
    monkeypatch.chdir(folder)
    url = f"sqlite:///{folder}/jobs.db"
    try:
        assert cli("--url", url, "enqueue", "--type", "email").code == 0
        for path in folder.iterdir():
            path.chmod(0o444)
        folder.chmod(0o555)
        with bound_by_permissions():
            said = cli("--url", url, "enqueue", "--type", "email")
        assert (said.code, said.out) == (69, "")
        assert f"{folder}/jobs.db" in said.err
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_output_that_nobody_reads_is_no_traceback(
    app: Mainspring, program: Callable[..., "subprocess.Popen[str]"]
) -> None:
    for n in range(50):
        app.enqueue("double", {"n": n})
    process = program(*AT, "jobs", "--limit", 50)
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    assert process.wait(30) == 1
    assert "Traceback" not in process.stderr.read()
