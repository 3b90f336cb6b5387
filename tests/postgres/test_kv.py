"""Key-value beside transactions that have not ended, and what check finds."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from mainspring.cells import Put
from mainspring.store import Store

Session = psycopg.Connection[Any]

BLOCKED = "SELECT count(*) FROM pg_locks WHERE NOT granted AND %b = ANY(pg_blocking_pids(pid))"


def until_blocked_by(session: Session, other: Session) -> None:
    end = time.monotonic() + 10
    while session.execute(BLOCKED, (other.info.backend_pid,)).fetchone() == (0,):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_version_is_drawn_when_nobody_else_holds_the_key(
    store: Store, schema: str, session: Session
) -> None:
    store.kv_set([Put("k", b"1")])
    with (
        psycopg.connect(session.info.dsn, password=session.info.password) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        other.execute(f"DELETE FROM {schema}.kv")  # noqa: S608
        written = pool.submit(store.kv_set, [Put("k", b"2")])
        until_blocked_by(session, other)
        ((drawn,),) = other.execute(f"SELECT nextval('{schema}.versions')").fetchall()
        other.commit()
        assert written.result() > [drawn]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE {}.kv SET version = 1", "have the same version 1"),
        ("UPDATE {}.kv SET version = 0 WHERE key = 'a'", "key a has version 0"),
        ("SELECT setval('{}.versions', 1)", "the last one given is 1"),
    ],
)
def test_versions_that_cannot_be_are_named(
    store: Store, schema: str, session: Session, damage: str, words: str
) -> None:
    store.kv_set([Put("a", b"1"), Put("b", b"2")])
    session.execute(damage.format(schema).encode())
    assert any(words in sentence for sentence in store.check())
    session.execute(f"DELETE FROM {schema}.kv")  # noqa: S608
