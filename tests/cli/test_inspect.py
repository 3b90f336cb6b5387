"""Check, doctor and migrate."""

import os
import re
import sqlite3
from pathlib import Path

import pytest

from mainspring import Mainspring
from mainspring.cli.inspect import file_system, wal_reset_race
from tests.cli.conftest import URL, Cli, worked_off

AT = ("--url", URL)


def test_check_finds_nothing_in_a_store_that_is_well(cli: Cli, app: Mainspring) -> None:
    app.enqueue("double", {"n": -1})
    worked_off(app)
    said = cli(*AT, "check")
    assert (said.code, said.out) == (0, "Nothing is broken.\n")
    assert cli(*AT, "check", "--json").json == {"broken": []}


def test_check_with_an_app_looks_at_the_declarations_too(
    cli: Cli, app: Mainspring, here: Path
) -> None:
    (here / "brokenapp.py").write_text(
        "from mainspring import Mainspring, Tasks\n"
        "tasks = Tasks()\n"
        "@tasks.task\n"
        "def f(a: 'NoSuchType') -> None: ...\n"
        "app = Mainspring('sqlite:///jobs.db', tasks)\n"
    )
    said = cli(*AT, "--app", "brokenapp:app", "check")
    assert said.code == 1
    assert "NoSuchType" in said.out


def test_doctor_tells_versions_durability_sizes_and_the_clock(cli: Cli, app: Mainspring) -> None:
    answer = cli(*AT, "doctor", "--json").json
    assert re.match(r"3\.\d+\.\d+", answer["python"])
    assert sqlite3.sqlite_version in answer["engine"]
    assert answer["wal_reset_race"].startswith(("before", "after"))
    assert answer["durability"].startswith("full")
    assert answer["schema"] >= 1
    assert answer["file_system"]
    assert answer["figures"]["file_bytes"] > 0
    assert answer["figures"]["log_bytes"] >= 0
    assert answer["clock"].endswith("Z")
    text = cli(*AT, "doctor").out
    assert re.search(r"^durability: +full", text, re.M)
    assert re.search(r"^! ", text, re.M)


def test_doctor_says_what_to_change(cli: Cli, app: Mainspring, here: Path) -> None:
    (here / "jobs.db").chmod(0o644)
    app.enqueue("double", {"n": 1})
    advice = "\n".join(cli(*AT, "doctor", "--json").json["advice"])
    assert f"chmod 600 {here / 'jobs.db'}" in advice


def test_doctor_speaks_even_if_the_store_does_not(cli: Cli, here: Path) -> None:
    (here / "jobs.db").write_text("this is no database, but long enough to be taken for one " * 40)
    said = cli(*AT, "doctor")
    assert said.code == 78
    assert "python:" in said.err
    assert "expected an SQLite database" in said.err
    assert "Nothing to change" not in said.err


def test_check_says_in_words_that_a_file_is_damaged(cli: Cli, app: Mainspring, here: Path) -> None:
    app.enqueue("double", {"n": 1})
    app.close()
    file = here / "jobs.db"
    file.write_bytes(file.read_bytes()[:20_000])
    said = cli(*AT, "check")
    assert (said.code, said.err) == (1, "")
    assert re.fullmatch(r"The file is damaged, restore a backup: .*malformed\.\n", said.out)
    assert len(cli(*AT, "check", "--json").json["broken"]) == 1


def test_a_job_that_cannot_be_read_is_told_of_in_one_line(
    cli: Cli, app: Mainspring, here: Path
) -> None:
    app.enqueue("double", {"n": 1})
    app.close()
    with sqlite3.connect(here / "jobs.db") as connection:
        connection.execute("UPDATE job SET created = ?", (1 << 62,))
    connection.close()
    said = cli(*AT, "jobs")
    assert (said.code, said.out) == (1, "")
    assert said.err == (
        "mainspring: the store holds what cannot be read: date value out of range\n"
    )


@pytest.mark.parametrize(
    ("version", "side"),
    [
        ("SQLite 3.40.1", "before"),
        ("SQLite 3.44.5", "before"),
        ("SQLite 3.44.6", "after"),
        ("SQLite 3.45.0", "before"),
        ("SQLite 3.50.6", "before"),
        ("SQLite 3.50.7", "after"),
        ("SQLite 3.51.2", "before"),
        ("SQLite 3.51.3", "after"),
        ("SQLite 3.53.0", "after"),
    ],
)
def test_each_version_of_sqlite_is_on_its_side_of_the_wal_reset_repair(
    version: str, side: str
) -> None:
    assert wal_reset_race(version).split()[0] == side


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:45 / /srv/shared rw,relatime shared:2 - nfs4 files:/export rw
31 30 0:46 / /srv/shared/local\\040disk rw - xfs /dev/sdb1 rw
"""


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("/home/jobs.db", "ext4"),
        ("/srv/shared/jobs.db", "nfs4"),
        ("/srv/shared/local disk/jobs.db", "xfs"),
        ("/srv/sharedjobs.db", "ext4"),
    ],
)
def test_a_file_is_on_the_file_system_mounted_nearest(file: str, kind: str) -> None:
    assert file_system(Path(file), MOUNTS) == kind


def test_migrate_makes_a_store_and_can_be_repeated(cli: Cli, here: Path) -> None:
    for _ in range(2):
        assert cli(*AT, "migrate", "--json").json["schema"] >= 1
    assert os.stat(here / "jobs.db").st_mode & 0o077 == 0
