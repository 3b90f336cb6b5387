"""The project's commands, for a machine that has Python 3.11 and pip or uv, and nothing else.

    python3 dev.py run demo      the program, here `mainspring demo`; installs the library alone
    python3 dev.py test          linters, type checker and all tests, several at once
    python3 dev.py test ARG...   pytest with these arguments, and nothing else
    python3 dev.py chaos         faults of all kinds under load, ten minutes for each store
    python3 dev.py chaos --minutes 1 --store sqlite --seed 7

All set up `.venv` beside this file at their first run and whenever what it must hold has changed.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
INSTALLS = {
    "run": [["--editable", "."]],
    "test": [
        ["--require-hashes", "--requirement", "requirements-test.txt"],
        ["--no-deps", "--editable", "."],
    ],
}
LINTERS = [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]]
ALL_TESTS = ["--numprocesses", "4", "--dist", "worksteal"]
"""Tests wait for disks, servers and leases: two cores are busy with four of them at a time."""


def main(verb: str = "", *arguments: str) -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is what tells an older Python so
        sys.exit(f"dev.py: needs Python 3.11 or newer, this is {sys.version.split()[0]}")
    if verb not in (*INSTALLS, "chaos"):
        print(__doc__, end="", file=sys.stderr)
        sys.exit(2)
    set_up("run" if verb == "run" else "test")
    if verb == "run":
        replace_by(ENVIRONMENT / "bin" / "mainspring", *arguments)
    os.chdir(ROOT)
    if verb == "chaos":
        replace_by(PYTHON, "-m", "tests.crash.chaos", *arguments)
    for linter in [] if arguments else LINTERS:
        carry_out([str(PYTHON), "-m", *linter])
    replace_by(PYTHON, "-m", "pytest", *(arguments or ALL_TESTS))


def set_up(verb: str) -> None:
    """Make the environment and install, unless a stamp says that this was done already."""
    # The lock is taken on a file that is always there: a second dev.py waits, then finds the stamp.
    with open(ROOT / "pyproject.toml", "rb+") as project:
        fcntl.flock(project, fcntl.LOCK_EX)
        requirements = (ROOT / "requirements-test.txt").read_bytes()
        # The folder is part of it: a copied or moved checkout holds scripts that name the old one.
        digest = hashlib.sha256(project.read() + requirements + bytes(ROOT)).hexdigest()
        stamp = ENVIRONMENT / ".installed"
        enough = {f"{verb} {digest}", f"test {digest}"}
        if PYTHON.exists() and stamp.exists() and stamp.read_text() in enough:
            return
        print(f"dev.py: setting up {ENVIRONMENT}", file=sys.stderr)
        if not PYTHON.exists():
            venv.create(ENVIRONMENT, clear=True, symlinks=True)
        for packages in INSTALLS[verb]:
            carry_out([*installer(), *packages])
        stamp.write_text(f"{verb} {digest}")


def installer() -> list[str]:
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--quiet", "--python", str(PYTHON)]
    # Run from `.venv` itself, which has no pip of its own, this uses that of the Python beneath.
    base = str(Path(sys.base_prefix, "bin", "python3"))
    owner = sys.executable if importlib.util.find_spec("pip") else base
    pip = [owner, "-m", "pip", "--disable-pip-version-check", "--python", str(PYTHON)]
    return [*pip, "install", "--quiet"]


def carry_out(command: list[str]) -> None:
    """Run a step to its end, with its talk on stderr; a step that fails ends this program."""
    status = subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False).returncode
    if status:
        sys.exit(f"dev.py: exit status {status} from {' '.join(command)}")


def replace_by(program: Path, *arguments: str) -> None:
    """Become the program, so that signals and exit status are its own."""
    os.execv(program, [str(program), *arguments])


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
