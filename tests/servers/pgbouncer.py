"""A PgBouncer of the tests' own before their PostgreSQL server, in transaction mode."""

import os
import shutil
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.servers import at_end
from tests.servers.postgres import START_SECONDS, UNPRIVILEGED, server_url

# Each transaction is served by another session than the one before, if there is any.
SETTINGS = """
[pgbouncer]
listen_port = 6432
auth_type = any
pool_mode = transaction
default_pool_size = 20
min_pool_size = 5
server_round_robin = 1
max_client_conn = 500
logfile =
"""


@cache
def pooled_url() -> str:
    """The URL of the tests' database through the pooler."""
    pooler = Pooler(server_url())
    at_end.callback(pooler.stop)
    return pooler.url


class Pooler:
    """PgBouncer before this server, started when it is made."""

    def __init__(self, server: str) -> None:
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "tests need PgBouncer: install pgbouncer"
        self._folder = Path(tempfile.mkdtemp(prefix="mainspring-pgbouncer-"))
        parts = conninfo_to_dict(server)
        names = ("host", "port", "user", "password")
        target = " ".join(f"{name}={parts[name]}" for name in names if name in parts)
        settings = self._folder / "settings.ini"
        settings.write_text(
            f"[databases]\n* = {target}\n{SETTINGS}unix_socket_dir = {self._folder}\n"
        )
        rights: dict[str, Any] = {}
        if os.geteuid() == 0:  # it refuses to run as root
            rights = {"user": UNPRIVILEGED, "group": "nogroup", "extra_groups": []}
            for path in (self._folder, settings):
                shutil.chown(path, UNPRIVILEGED)
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [program, settings], stdout=log, stderr=log, cwd="/", **rights
            )
        self.url = f"postgresql://{parts.get('user')}@/{parts.get('dbname')}"
        self.url += f"?host={self._folder}&port=6432"
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise AssertionError((self._folder / "log").read_text()) from None
                time.sleep(0.02)

    def stop(self) -> None:
        """End it and take its files away."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
