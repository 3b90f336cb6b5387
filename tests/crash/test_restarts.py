"""The server is ended without warning while workers work: what was acknowledged is there, and the
history is held against the promises."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest

from tests.crash.arena import arena
from tests.crash.history import read
from tests.crash.judge import judge
from tests.crash.producer import producing
from tests.crash.workload import note
from tests.servers.postgres import SETTINGS
from tests.servers.postgres import Server as PostgresServer
from tests.servers.redis import Server, redis_program, valkey_program

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]

RESTARTS = 2


class Nemesis(Protocol):
    """Ends a server, and starts it again."""

    url: str

    def strike(self) -> None: ...

    def heal(self) -> None: ...


class Postgres:
    """Ends sessions at random, and then all of them at once."""

    def __init__(self) -> None:
        self.server = PostgresServer(**SETTINGS)
        self.url = self.server.url
        self._chance = random.Random(3)

    def strike(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as session:
            for _ in range(10):
                for (pid,) in session.execute(
                    "SELECT pid FROM pg_stat_activity WHERE application_name = 'mainspring'"
                ).fetchall():
                    if self._chance.random() < 0.5:
                        session.execute("SELECT pg_terminate_backend(%s)", (pid,))
                time.sleep(0.02)
        self.server.end(signal.SIGQUIT)

    def heal(self) -> None:
        self.server.start()

    def remove(self) -> None:
        self.server.stop()


class Redis:
    """Kills a server that writes everything to its log before it answers."""

    def __init__(self, program: Path) -> None:
        self.server = Server(program, "--appendonly", "yes", "--appendfsync", "always")
        self.url = self.server.url

    def strike(self) -> None:
        self.server.kill()

    def heal(self) -> None:
        self.server.start()

    def remove(self) -> None:
        self.server.remove()


@contextmanager
def nemesis(make: Callable[[], Any]) -> Iterator[Nemesis]:
    made = make()
    try:
        yield made
    finally:
        made.remove()


KINDS: dict[str, Callable[[], Any]] = {
    "postgres": Postgres,
    "redis": lambda: Redis(redis_program()),
    "valkey": lambda: Redis(valkey_program()),
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
def test_a_server_that_is_ended_under_load_loses_and_doubles_nothing(
    tmp_path: Path, make: Callable[[], Any]
) -> None:
    with nemesis(make) as server, arena(tmp_path, server.url) as place:
        with producing(place, lambda mark: note.job(mark, 0.02)):
            for _ in range(2):
                place.start_worker("--threads", "4")
            place.wait_until_running(2)
            for _ in range(RESTARTS):
                time.sleep(0.5)
                place.recorder.record("fault", who="the server is ended")
                server.strike()
                time.sleep(0.3)
                server.heal()
                # Until they are connected again nobody can renew a lease.
                healed = time.time_ns() // 1000
                while not place.has_heard_of_all_since(healed):
                    place.recorder.record("fault", who="the server is back")
                    time.sleep(0.05)
        place.wait_until_done(60)
        ended = place.ended()
        verdict = judge(read(place.history), ended)
        assert verdict.broken == []
        assert verdict.refused >= RESTARTS, "nobody noticed: this run is no evidence"
        assert {job.state for job in ended} == {"completed"}
        assert place.app.check() == []
