"""The demonstration: a pipeline over a small tree, whole, killed and continued."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mainspring import Mainspring, State
from mainspring.cli.tables import (
    counted,
    duration,
    printable,
    roughly,
    size,
    table,
)
from mainspring.demo.report import File, render
from mainspring.demo.scan import Facts, facts, source_files
from tests.cli.conftest import Cli

Start = Callable[..., "subprocess.Popen[str]"]

SOURCE = '''"""A module."""
import asyncio

class Greeter:
    def greet(self, name):
        def polite():
            return f"hello {name}"

        return polite()

async def main():
    if True:
        def inner(): pass
    await asyncio.sleep(0)
'''


@pytest.fixture
def tree(here: Path) -> Path:
    """Four sources, two of them alike, one broken; and what is to be left out."""
    root = here / "tree"
    for name, text in {
        "greeter.py": SOURCE,
        "package/__init__.py": "",
        "package/copy.py": SOURCE,
        "package/broken.py": "def broken(:\n",
        "package/notes.txt": "no source",
        "site-packages/foreign.py": "x = 1\n",
        ".hidden/secret.py": "x = 1\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "link.py").symlink_to(root / "greeter.py")
    return root


FILES = ["greeter.py", "package/__init__.py", "package/broken.py", "package/copy.py"]


def files_in(report: str) -> list[str]:
    """The file of each row under "All files"."""
    rows = report.partition("## All files")[2].strip().splitlines()[2:]
    return [row.split("|")[1].strip() for row in rows]


# --- its parts -----------------------------------------------------------------------------------


def test_only_sources_of_the_tree_itself_are_found(tree: Path) -> None:
    assert source_files(tree) == FILES


def test_functions_classes_and_the_longest_function_are_counted() -> None:
    assert facts(SOURCE.encode(), "greeter.py") == Facts(14, 4, 1, ("greet", 5))
    with pytest.raises(SyntaxError, match=r"broken\.py, line 1"):
        facts(b"def broken(:\n", "broken.py")


def test_the_report_has_one_row_for_each_file_and_names_what_is_alike_or_broken() -> None:
    alike = {"facts": Facts(10, 2, 1, ("f", 5)), "size": 100, "saved": 40, "digest": "ab" * 32}
    report = render(
        "/tree",
        [
            File(path="b|c.py", error="SyntaxError: no"),
            File(path="p/x.py", **alike),  # type: ignore[arg-type]
            File(path="a.py", **alike),  # type: ignore[arg-type]
        ],
    )
    assert files_in(report.replace("\\|", "/")) == ["a.py", "b/c.py", "p/x.py"]
    assert "2 of 3 files could be parsed" in report
    assert "- 2 × 100 bytes: `a.py`, `p/x.py`" in report
    assert "- `b\\|c.py`: SyntaxError: no" in report
    assert "| p | 1 | 10 | 2 | 1 | 100 | 40 |" in report


# --- the whole -----------------------------------------------------------------------------------


def test_the_pipeline_runs_to_its_end_and_accounts_for_everything(cli: Cli, tree: Path) -> None:
    said = cli("demo", "--path", tree, "--db", "demo.db", "--processes", 1, "--json")
    assert said.code == 0, said.err
    figures = said.json
    states = {state: n for state, n in figures["states"].items() if n}
    assert states == {"completed": 15, "failed": 1, "cancelled": 1}
    assert (figures["files"], figures["jobs"], figures["retries"]) == (4, 17, 2)
    [letter] = figures["dead_letters"]
    assert (letter["task"], letter["file"]) == ("demo.parse", "package/broken.py")
    assert letter["error"].startswith("SyntaxError: ")
    assert figures["jobs_per_s"] > 0
    for times in (figures["wait_seconds"], figures["run_seconds"]):
        assert 0 <= times["p50"] <= times["p95"] <= times["p99"]
    assert figures["urgent_place"] in (1, 2)  # two threads begin at once
    report = Path(figures["report"]).read_text()
    assert files_in(report) == FILES
    assert "`package/broken.py`: SyntaxError" in report
    assert "`greeter.py`, `package/copy.py`" in report
    with Mainspring(f"sqlite:///{figures['database']}") as app:
        assert app.check() == []
        [delayed] = app.find(tasks="demo.delayed")
        [unwanted] = app.find(tasks="demo.unwanted")
        [unsteady] = app.find(tasks="demo.unsteady")
        assert delayed.started is not None
        assert (delayed.started - delayed.created).total_seconds() >= 1
        assert unwanted.state == State.CANCELLED
        assert (unsteady.attempt, len(unsteady.errors())) == (3, 2)


def test_run_again_on_the_same_file_it_makes_another_run(cli: Cli, tree: Path) -> None:
    for times in (1, 2):
        said = cli("demo", "--path", tree, "--limit", 2, "--processes", 1)
        assert said.code == 0, said.err
        for line in (r"^completed +10$", r"^cancelled +1$", r"^Retries: 2$", r"^Dead letters: 0$"):
            assert re.search(line, said.out, re.M), said.out
        assert "11 jobs" in said.err
        assert "of 11 jobs" in said.err
        assert "2 files, 11 jobs" in said.out
        look = shlex.split(said.out.splitlines()[-1])
        assert cli(*look[1:]).code == 0
        with Mainspring("sqlite:///mainspring-demo.db") as app:
            assert app.counts()["demo"][State.COMPLETED] == 10 * times


def test_killed_in_the_middle_and_started_again_it_finishes_with_each_file_once(
    program: Start, cli: Cli, here: Path
) -> None:
    files = [f"module_{n:03}.py" for n in range(150)]
    root = here / "tree"
    root.mkdir()
    for name in files:
        (root / name).write_text(SOURCE * 100)
    (root / "module_100.py").write_text("def broken(:\n")
    process = program("demo", "--path", root, "--db", "demo.db", "--processes", 1)
    completed = wait_for_a_tenth(process, 3 * len(files))
    process.kill()
    process.wait()
    assert 0 < completed < 3 * len(files)

    said = cli("demo", "--db", "demo.db", "--processes", 1, "--json")
    assert said.code == 0, said.err
    assert "Going on with" in said.err
    figures = said.json
    assert figures["jobs"] == 3 * len(files) + 5
    assert figures["jobs_just_now"] < figures["jobs"]
    assert figures["states"]["completed"] == 3 * len(files) + 3
    assert [letter["file"] for letter in figures["dead_letters"]] == ["module_100.py"]
    assert files_in(Path(figures["report"]).read_text()) == files
    with Mainspring("sqlite:///demo.db") as app:
        assert app.check() == []


def wait_for_a_tenth(process: "subprocess.Popen[str]", total: int) -> int:
    """How many jobs had completed when it was a tenth of them or more."""
    assert process.stderr
    assert any("takes jobs" in line for line in process.stderr)
    with Mainspring("sqlite:///demo.db") as app:
        signal = app.store.listen()
        while (completed := app.counts()["demo"][State.COMPLETED]) * 10 < total:
            assert process.poll() is None
            signal.wait(1)
        signal.close()
    return completed


def test_a_signal_ends_it_gracefully_and_it_can_go_on(program: Start, cli: Cli, tree: Path) -> None:
    process = program("demo", "--path", tree, "--db", "demo.db", "--processes", 1)
    assert process.stderr
    assert any("takes jobs" in line for line in process.stderr)
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "Start it again" in err
    assert cli("demo", "--db", "demo.db", "--processes", 1).code == 0


# --- plain text ----------------------------------------------------------------------------------


def test_tables_align_numbers_to_the_right() -> None:
    assert table(("name", "jobs"), [("a", 1200), ("long name", 3)]) == (
        "name        jobs\na          1,200\nlong name      3"
    )


def test_durations_and_sizes_are_short() -> None:
    spans = (850, 4200, 250_000, 1_200_000, 200_000_000, 7_500_000_000, 273_600_000_000)
    assert [duration(span) for span in spans] == [
        *("850us", "4.2ms", "250ms", "1.2s", "3m 20s", "2h 5m", "3d 4h")
    ]
    assert [roughly(span) for span in (None, 360, 12_000, 2_900)] == [
        "–",
        "~360us",
        "~12ms",
        "~2.9ms",
    ]
    assert [size(n) for n in (0, 999, 4_100, 1_234_567_890)] == ["0 B", "999 B", "4.1 kB", "1.2 GB"]


def test_one_is_not_many() -> None:
    assert [counted(n, "job") for n in (0, 1, 1200)] == ["0 jobs", "1 job", "1,200 jobs"]


def test_control_characters_are_made_visible() -> None:
    assert printable("a\x1b[2Jb\nc\x7f") == "a\\x1b[2Jb\nc\\x7f"
