"""A store for each rival: a file, or a database of its own on the server that all share."""

import itertools
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from bench import servers

STARTED = {"redis": servers.redis, "postgres": servers.postgres}


class Stores:
    """As a context manager it ends the servers it had to start."""

    def __init__(self, running: Mapping[str, str]) -> None:
        """`running` has the URLs of servers that are there, by the kind of store."""
        self._servers = dict(running)
        self._started = ExitStack()
        self._numbers = itertools.count(1)

    def __enter__(self) -> "Stores":
        return self

    def __exit__(self, *_: object) -> None:
        self._started.close()

    def make(self, kind: str, folder: Path) -> str:
        """Where a rival finds its store, a new and empty one; `folder` is for files of its own.

        Raises CannotRun if a server is not installed or does not start.
        """
        if kind == "sqlite":
            return str(folder / "queue.db")
        if kind not in self._servers:
            self._servers[kind] = self._started.enter_context(STARTED[kind]())
        server, number = self._servers[kind], next(self._numbers)
        if kind == "redis":
            return f"{server}/{number}"  # mainspring's own stores are in database 0
        return _database(server, f"rival_{number}")


def _database(server: str, name: str) -> str:
    import psycopg
    from psycopg.sql import SQL, Identifier

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    return server.rpartition("/")[0] + f"/{name}"
