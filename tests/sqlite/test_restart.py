"""A restart of the machine: the clock of leases begins anew, and no lease outlives it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from mainspring.engines import open_store
from mainspring.engines.sqlite import clock
from mainspring.job import State
from mainspring.store import Store
from tests.contract.stage import Stage, Time, new

HOUR = 3_600_000_000


def pretend_restart(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE meta SET value = 'another start' WHERE name = 'boot'")


def test_a_restart_ends_all_leases_at_once(store: Store, path: Path) -> None:
    stage = Stage(store, Time())
    stage.put_many(2)
    stage.claim(lease=HOUR)
    stage.heartbeat(lease=HOUR)
    assert stage.reclaim() == []
    store.close()
    pretend_restart(path)
    again = open_store(f"sqlite:///{path}")
    stage = Stage(again, Time())
    stage.time.lease = 60_000_000  # the machine has been up for a minute
    assert again.workers(now=stage.now) == []
    assert len(stage.reclaim()) == 2
    again.close()


def test_opening_again_without_a_restart_ends_no_lease(store: Store, path: Path) -> None:
    stage = Stage(store, Time())
    stage.put()
    stage.claim()
    store.close()
    again = open_store(f"sqlite:///{path}")
    stage = Stage(again, Time())
    assert stage.reclaim() == []
    assert again.counts()["default"][State.RUNNING] == 1
    again.close()


def test_both_clocks_go_on() -> None:
    first, second = clock.now(), clock.now()
    assert first.wall <= second.wall
    assert first.lease <= second.lease
    assert new().id
