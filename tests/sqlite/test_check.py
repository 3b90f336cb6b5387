"""Check: damage planted in the file is found and named."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mainspring.cells import Put
from mainspring.engines.sqlite import check as engine_check
from mainspring.job import Select, State
from mainspring.posts import NewPost
from mainspring.store import Store
from tests.contract.stage import Stage, Time, new, retries

DAMAGES = {
    "one_place": "DELETE FROM ready WHERE number = :pending",
    "orphans": "INSERT INTO error VALUES(999, 1, x'80')",
    "counts": "UPDATE meter SET n = n + 1 WHERE state = 3",
    "number": "UPDATE meter SET n = 1 WHERE queue = 0",
    "names": "DELETE FROM task",
    "columns": "UPDATE job SET payload = 'text' WHERE number = :pending",
    "headers": "UPDATE job SET headers = x'c1' WHERE number = :pending",
    "extras": "UPDATE job SET extra = 'text' WHERE number = :pending",
    "policies": "UPDATE policy SET body = x'00' WHERE id = 1",
    "lanes": "UPDATE ready SET lane = -77, moved = 1 WHERE number = :pending",
    "unmoved": "UPDATE ready SET score = score + 1 WHERE number = :pending",
    "grants": "DELETE FROM granted",
    "grants_left": 'UPDATE granted SET "left" = "left" + 1',
    "blocked": "DELETE FROM edge WHERE child = :blocked",
    "edges_of_unblocked": "INSERT INTO edge VALUES(:blocked, :pending, 0, 1)",
    "edges_of_completed": "INSERT INTO edge VALUES(:completed, :blocked, 0, 1)",
    "edges_of_ended": "INSERT INTO edge VALUES(:blocked, :completed, 0, 0)",
    "edges_broken": "INSERT INTO edge VALUES(:completed, :pending, 0, 2)",
    "releases": "INSERT INTO release VALUES(:pending, 0)",
    "unkept_keys": "DELETE FROM ukey",
    "expiries": "DELETE FROM expiry",
    "expiries_of_others": "INSERT INTO expiry VALUES(1, 5, :completed)",
    "versions": "UPDATE meter SET n = 1 WHERE queue = 0 AND state = 1",
    "versions_twice": "UPDATE kv SET version = 1",
    "posts": "DELETE FROM post WHERE number = 2",
    "post_columns": "UPDATE post SET body = 'text'",
    "entries": "UPDATE kv SET value = 'text' WHERE key = 'a'",
}


@pytest.fixture
def numbers(store: Store) -> dict[str, int]:
    """A store with a job in each state, by the number of one of them; and entries, and posts."""
    stage = Stage(store, Time())
    completed, running = stage.put(), stage.put()
    stage.complete(stage.claim(1))
    stage.claim(1)
    pending = stage.put(unique="k", expires=60_000_000, tags=("t",), policy=retries(1))
    blocked = new().after(pending)
    stage.insert(blocked)
    store.kv_set([Put("a", b"1"), Put("b", b"2")])
    store.post([NewPost("t", b"1")] * 3)
    jobs = {"completed": completed, "running": running, "pending": pending, "blocked": blocked}
    assert {record.state for record in store.find(Select())} == {State(name) for name in jobs}
    return {name: stage.record(job).number for name, job in jobs.items()}


def test_every_kind_of_damage_has_a_test() -> None:
    assert DAMAGES.keys() == engine_check.SQL.keys()


@pytest.mark.parametrize("kind", DAMAGES)
def test_planted_damage_is_found(
    store: Store, path: Path, numbers: dict[str, int], kind: str
) -> None:
    assert store.check() == []
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(DAMAGES[kind], numbers)
        found = list(engine_check.sentences(connection, kind, engine_check.SQL[kind]))
    assert found
    assert found[0] in store.check()


def test_much_damage_is_told_by_examples(store: Store, path: Path) -> None:
    store.insert([new() for _ in range(100)])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM ready")
    sentences = [sentence for sentence in store.check() if "places" in sentence]
    assert len(sentences) == engine_check.EXAMPLES + 1
    assert sentences[-1].startswith("… and more of: ")


def test_a_damaged_page_is_reported(store: Store, path: Path) -> None:
    store.insert([new(payload=b"1" * 3000) for _ in range(200)])
    store.close()
    data = bytearray(path.read_bytes())
    for page in range(60, 70):
        data[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    path.write_bytes(data)
    store.open()
    assert any("malformed" in sentence for sentence in store.check())
