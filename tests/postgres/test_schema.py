"""The schema: made by many at once, where it is wanted, and refused where it is not ours."""

import multiprocessing
import subprocess
import sys
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from mainspring.cells import Put
from mainspring.engines import open_store
from mainspring.engines.postgres.migrate import VERSION
from mainspring.errors import ConfigError, SchemaError, StoreUnavailable
from mainspring.job import State
from mainspring.posts import NewPost
from tests.contract.stage import Stage, Time, new
from tests.servers.postgres import server_url
from tests.servers.schemas import empty

Session = psycopg.Connection[Any]


def opening_process(url: str, start: Any, answers: Any) -> None:
    start.wait()
    store = open_store(url)
    answers.put((store.migrate(), len(store.insert([new()]))))
    store.close()


def test_twenty_processes_may_make_the_schema_at_once(url: str) -> None:
    fork = multiprocessing.get_context("fork")
    start, answers = fork.Barrier(20), fork.SimpleQueue()
    processes = [
        fork.Process(target=opening_process, args=(url, start, answers)) for _ in range(20)
    ]
    for process in processes:
        process.start()
    told = [answers.get() for _ in processes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    answers.close()
    assert told == [(VERSION, 1)] * 20


def contents(session: Session, schema: str) -> dict[str, Any]:
    """All rows and counters, but for what tells one store from another."""
    query = "SELECT relname, relkind FROM pg_class WHERE relnamespace = %s::regnamespace"
    query += " AND relkind IN ('r', 'S')"
    found: dict[str, Any] = {}
    for name, kind in session.execute(query, (schema,)).fetchall():
        place = Identifier(schema, name)
        columns = SQL("*" if kind == "r" else "last_value, is_called")
        found[name] = session.execute(SQL("SELECT {} FROM {}").format(columns, place)).fetchall()
    found["meta"] = [row for row in found["meta"] if row[0] != "store"]
    return found


def test_a_schema_that_tests_have_used_is_as_a_new_one_to_the_next(
    url: str, schema: str, session: Session
) -> None:
    used, fresh = open_store(url), open_store(f"{url}_b")
    stage = Stage(used, Time())
    for state in State:
        stage.bring(state, tags=("t",), unique=state)
    used.kv_set([Put("key", b"value")])
    used.post([NewPost("topic", b"body")])
    used.close()
    fresh.close()
    name = "SELECT value FROM {} WHERE name = 'store'"
    known = session.execute(SQL(name).format(Identifier(schema, "meta"))).fetchone()
    assert contents(session, schema) != contents(session, f"{schema}_b")

    assert empty(session, schema)
    assert contents(session, schema) == contents(session, f"{schema}_b")
    assert session.execute(SQL(name).format(Identifier(schema, "meta"))).fetchone() != known


def test_two_schemas_of_one_database_are_two_stores(url: str) -> None:
    first, second = open_store(url), open_store(f"{url}_b")
    first.insert([new(queue="a")])
    second.insert([new(queue="b")])
    assert set(first.counts()) == {"a"}
    assert set(second.counts()) == {"b"}
    first.close()
    second.close()


def test_two_prefixes_in_one_schema_are_two_stores(url: str, schema: str, session: Session) -> None:
    session.execute(f"CREATE SCHEMA {schema} CREATE TABLE users(id int)")
    stores = {name: open_store(f"{url}&prefix={name}_") for name in ("a", "b")}
    for name, store in stores.items():
        assert store.migrate() == VERSION
        store.insert([new(queue=name, unique="k"), new(queue=name, tags=("t",), delay=60_000_000)])
    for name, store in stores.items():
        assert set(store.counts()) == {name}
        assert store.check() == []
        assert store.health().place == f"schema {schema}, tables {name}_*; no pooler between"
        assert store.health().figures["size_bytes"] > 0
    found = session.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace"
        " AND NOT relname LIKE ANY('{a\\_%%,b\\_%%}')",
        (schema,),
    ).fetchall()
    assert found == [("users",)]
    session.execute(f"DROP TABLE {schema}.a_meta CASCADE")
    with pytest.raises(SchemaError, match="tables called a_"):
        open_store(f"{url}&prefix=a_")
    for store in stores.values():
        store.close()


def test_a_signal_reaches_only_the_store_of_its_prefix(url: str) -> None:
    first, second = (open_store(f"{url}&prefix={name}_") for name in "ab")
    heard = {store: store.listen() for store in (first, second)}
    for each in heard.values():
        while each.wait(0.05):
            pass
    second.insert([new()])
    assert heard[second].wait(20)
    assert not heard[first].wait(0.1)
    for store, each in heard.items():
        each.close()
        store.close()


def test_a_callers_transaction_finds_the_tables_of_its_prefix(url: str) -> None:
    store, other = open_store(f"{url}&prefix=a_"), open_store(f"{url}&prefix=b_")
    job = new()
    with psycopg.connect(server_url()) as connection:
        store.insert([job], connection=connection)
    assert store.get([job.id]) != [None]
    assert other.get([job.id]) == [None]
    store.close()
    other.close()


@pytest.mark.parametrize("name", ["a", "A_", "1a_", 'x"_', "a b_", "a" * 32 + "_", "_"])
def test_a_prefix_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"prefix is a plain name .* that ends with _"):
        open_store(f"{server_url()}&prefix={name}")


def test_without_a_name_the_schema_is_called_mainspring(session: Session) -> None:
    session.execute("DROP SCHEMA IF EXISTS mainspring CASCADE")
    store = open_store(server_url())
    store.insert([new()])
    assert session.execute("SELECT count(*) FROM mainspring.job").fetchall() == [(1,)]
    assert store.check() == []
    store.close()
    session.execute("DROP SCHEMA mainspring CASCADE")


def test_a_newer_schema_is_refused(url: str, schema: str, session: Session) -> None:
    open_store(url).close()
    session.execute(f"UPDATE {schema}.meta SET value = '99' WHERE name = 'version'")  # noqa: S608
    with pytest.raises(SchemaError, match="99"):
        open_store(url)


def test_a_schema_of_another_application_is_refused(
    url: str, schema: str, session: Session
) -> None:
    session.execute(f"CREATE SCHEMA {schema} CREATE TABLE users(id int)")
    with pytest.raises(SchemaError, match="another application"):
        open_store(url)
    session.execute(f"CREATE TABLE {schema}.meta(id int)")
    with pytest.raises(SchemaError, match="another application"):
        open_store(url)


@pytest.mark.parametrize("name", ["a b", "1a", 'x"y', "a" * 64, ""])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="schema"):
        open_store(f"{server_url()}&schema={name}")


def test_a_url_that_libpq_does_not_know_is_refused() -> None:
    with pytest.raises(ConfigError, match="libpq"):
        open_store("postgresql://h/d?no_such_option=1")


def test_a_server_that_is_not_there_is_unavailable_and_no_password_is_told() -> None:
    with pytest.raises(StoreUnavailable) as error:
        open_store("postgresql://u:secret@127.0.0.1:1/d?connect_timeout=1")
    assert "secret" not in str(error.value)


def test_a_schema_that_was_removed_in_use_is_named(url: str, schema: str, session: Session) -> None:
    store = open_store(url)
    session.execute(f"DROP SCHEMA {schema} CASCADE")
    with pytest.raises(SchemaError, match="removed"):
        store.counts()
    store.close()


WITHOUT_DRIVER = """
import sys
sys.modules["psycopg"] = None
from mainspring.engines import open_store
from mainspring.errors import ConfigError
try:
    open_store("postgresql://localhost/jobs")
except ConfigError as error:
    print(error)
"""


def test_without_the_driver_one_is_told_what_to_install() -> None:
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_DRIVER], capture_output=True, text=True, check=True
    )
    assert "mainspring[postgres]" in run.stdout
