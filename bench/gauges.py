"""How large a store is, in bytes: what comes and goes with its jobs, and all of it."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from bench.measure import place
from mainspring import Mainspring

PASSING = ("ready", "running", "granted", "meter", "later", "blocked")
"""The tables in PostgreSQL whose rows go when a job ends; the rest stays as long as the job."""


class SQLite:
    """The file and its log."""

    def __init__(self, url: str) -> None:
        path = url.removeprefix("sqlite:///")
        self._files = {"file": Path(path), "wal": Path(f"{path}-wal")}

    def read(self) -> dict[str, int]:
        return {name: file.stat().st_size for name, file in self._files.items() if file.exists()}


class Postgres:
    """Tables with their indexes (pg_total_relation_size)."""

    def __init__(self, url: str) -> None:
        import psycopg

        address = urlsplit(url)
        self._schema = parse_qs(address.query)["schema"][0]
        self._connection = psycopg.connect(address._replace(query="").geturl(), autocommit=True)

    def read(self) -> dict[str, int]:
        sizes = self._connection.execute(
            "SELECT relname::text, pg_total_relation_size(c.oid) FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname = %s",
            [self._schema],
        ).fetchall()
        passing = sum(size for name, size in sizes if name in PASSING)
        return {"all tables": sum(size for _, size in sizes), "passing tables": passing}


class Redis:
    """Memory (used_memory) and the append-only file (aof_current_size).

    The file is rewritten when it has doubled, as Redis does unless it is told otherwise.
    """

    def __init__(self, url: str) -> None:
        import redis

        self._client = redis.Redis.from_url(url)
        self._client.config_set("auto-aof-rewrite-percentage", "100")

    def read(self) -> dict[str, int]:
        told = self._client.info()
        return {"memory": int(told["used_memory"]), "aof": int(told["aof_current_size"])}


def gauge(app: Mainspring) -> SQLite | Postgres | Redis:
    """The one for this store; the first thing it reads is its whole size."""
    here = place()
    if here.kind == "sqlite":
        return SQLite(app.url)
    return Postgres(app.url) if here.kind == "postgres" else Redis(here.server)
