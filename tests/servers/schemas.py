"""Schemas that tests use one after the other: emptying one costs a fifth of making one.

To make one takes the server a hundred new files, and every one there is makes its catalogue longer.
"""

import hashlib
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL, Composed, Identifier, Literal

from tests.servers import at_end

MOST_BYTES = 4 << 20
"""One that has grown beyond this is not used again: what was deleted would slow down others."""
WAIT = "2s"
"""So long for what may still be going on in it."""

_lent: dict[tuple[str, Path], str] = {}
_used: dict[str, list[str]] = defaultdict(list)


def of_its_own(folder: Path) -> str:
    """The name of a schema that nobody else has, as the folder is nobody else's."""
    return f"t_{hashlib.sha256(bytes(folder)).hexdigest()[:20]}"


def lend(url: str, folder: Path) -> str:
    """The name of this folder's schema on that server until it is taken back. It is empty: one that
    was used before and holds what a new one does, or one that does not exist yet."""
    if (url, folder) not in _lent:
        used = _used[url].pop() if _used[url] else None
        again = used is not None and empty(_session(url), used)
        _lent[url, folder] = used if used and again else of_its_own(folder)
    return _lent[url, folder]


def take_back(folder: Path) -> None:
    """What was lent to this folder and to those in it is no longer used."""
    for url, each in [key for key in _lent if key[1].is_relative_to(folder)]:
        _used[url].append(_lent.pop((url, each)))


def empty(session: psycopg.Connection[Any], schema: str) -> bool:
    """Make it as it was when it was new; False: it is not worth it, or not there."""
    relations = session.execute(
        "SELECT relname, relkind, pg_relation_size(oid) FROM pg_class"
        " WHERE relnamespace = to_regnamespace(%s) AND relkind IN ('r', 'S', 'i')",
        (schema,),
    ).fetchall()
    if not relations or sum(size for _, _, size in relations) > MOST_BYTES:
        return False
    tables = [Identifier(schema, name) for name, kind, _ in relations if kind == "r"]
    counters = [Identifier(schema, name) for name, kind, _ in relations if kind == "S"]
    try:
        with session.transaction():
            session.execute(_emptying(schema, tables, counters))
    except psycopg.errors.LockNotAvailable:
        return False
    return True


@cache
def _session(url: str) -> psycopg.Connection[Any]:
    # Without prepared statements: it may be a pooler that is there.
    options: dict[str, Any] = {"autocommit": True, "prepare_threshold": None}
    return at_end.enter_context(psycopg.connect(url, **options))


def _emptying(schema: str, tables: list[Identifier], counters: list[Identifier]) -> Composed:
    meta, posting = Identifier(schema, "meta"), Identifier(schema, "posting")
    names = [Literal(each.as_string(None)) for each in counters]
    steps = [
        SQL("SET LOCAL lock_timeout = {}").format(Literal(WAIT)),
        # Whoever still writes is waited for: what he writes would lie in somebody else's store.
        SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(SQL(", ").join(tables)),
        *(SQL("DELETE FROM {}").format(table) for table in tables if table != meta),
        *(SQL("SELECT setval({}, 1, false)").format(name) for name in names),
        SQL("UPDATE {} SET value = gen_random_uuid() WHERE name = 'store'").format(meta),
        SQL("INSERT INTO {} VALUES(0, 1, 0)").format(posting),
    ]
    return SQL("; ").join(steps)
