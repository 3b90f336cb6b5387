"""Virtual environments: one per rival, made once from the pins at the top of its file."""

import re
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from bench.rivals.errors import CannotRun

INSIDE = Path(__file__).parent / "inside"
"""The files that run in a rival's environment. They import nothing from outside this folder."""

_METADATA = re.compile(r"(?m)^# /// script$\n((?:^#(?:| .*)$\n)+)^# ///$")


@dataclass(frozen=True)
class Entry:
    """A rival as its file declares it."""

    name: str
    store: str
    """"redis", "postgres" or "sqlite"."""
    requirements: tuple[str, ...]


def names(stores: Collection[str] | None = None) -> list[str]:
    """The rivals there are, one for each file `inside/on_NAME.py`; only those on such stores."""
    found = sorted(path.stem.removeprefix("on_") for path in INSIDE.glob("on_*.py"))
    return [name for name in found if stores is None or read_entry(name).store in stores]


def read_entry(name: str) -> Entry:
    """What `inside/on_NAME.py` says it needs. Raises CannotRun if there is no such rival."""
    if name not in names():
        raise CannotRun(f"no rival named {name!r}; there are: {', '.join(names())}")
    found = _METADATA.search((INSIDE / f"on_{name}.py").read_text())
    if found is None:
        raise CannotRun(f"on_{name}.py has no script metadata (# /// script … # ///) at its top")
    lines = (line.removeprefix("#").removeprefix(" ") for line in found[1].splitlines())
    metadata = tomllib.loads("\n".join(lines))
    store = metadata["tool"]["rival"]["store"]
    return Entry(name, store, tuple(metadata["dependencies"]))


def make(entry: Entry, cache: Path) -> Path:
    """The folder of the rival's environment below `cache`, installed if its pins are not yet in it.

    Raises CannotRun with pip's own words if the packages cannot be had.
    """
    folder = cache / "rivals" / entry.name
    wanted = f"{sys.version}\n" + "\n".join(entry.requirements)
    stamp = folder / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    installed = subprocess.run(
        [*pip, "install", "--quiet", *entry.requirements], capture_output=True, text=True
    )
    if installed.returncode:
        raise CannotRun(f"{entry.name} could not be installed:\n{installed.stderr.strip()[-1500:]}")
    stamp.write_text(wanted)
    return folder


def open_cache(cache: Path) -> Path:
    """`cache`, made if need be, and kept out of git by a file of its own."""
    cache.mkdir(parents=True, exist_ok=True)
    (cache / ".gitignore").write_text("*\n")
    return cache
