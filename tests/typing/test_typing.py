"""The public types as mypy and pyright see them: what must pass passes, what must not does not."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [Path(__file__).with_name(name) for name in ("positive.py", "negative.py")]

Place = tuple[str, int]
"""File and line."""


def expected() -> set[Place]:
    return {
        (path.name, number)
        for path in FILES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"# E\b", line)
    }


def by_mypy() -> dict[Place, str]:
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *map(str, FILES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"^(\S+?):(\d+): error: (.*)$", run.stdout, re.MULTILINE)
    assert found, run.stdout + run.stderr
    return {(Path(file).name, int(line)): text for file, line, text in found}


def by_pyright() -> dict[Place, str]:
    run = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
        + [str(file) for file in FILES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.startswith("{"), run.stdout + run.stderr
    return {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1): each["message"]
        for each in json.loads(run.stdout)["generalDiagnostics"]
        if each["severity"] == "error"
    }


@pytest.mark.timeout(180)
@pytest.mark.parametrize("checker", [by_mypy, by_pyright])
def test_marked_lines_are_errors_and_no_others(checker: Callable[[], dict[Place, str]]) -> None:
    found = checker()
    assert not {place: found[place] for place in found.keys() - expected()}
    assert not expected() - found.keys()
