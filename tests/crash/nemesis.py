"""Faults that can be done to an engine and to the workers on it, each with the time it takes until
it has no effect any more. All that is done is in the history."""

import os
import random
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Protocol

import psycopg
import redis

from mainspring.errors import StoreUnavailable
from tests.crash.arena import Arena, children, dying, until
from tests.servers.links import BAD, CLEAR, Link
from tests.servers.mainspring import Server as HttpServer
from tests.servers.postgres import SETTINGS
from tests.servers.postgres import Server as PostgresServer
from tests.servers.redis import Server as RedisServer
from tests.servers.redis import redis_program, valkey_program

WORKERS = 2
OPTIONS = ("--processes", "2", "--threads", "4", "--tasks", "20")
WHILE = 1.5
"""Leases for which somebody stands still."""
SILENCE = 2.5
"""Seconds for which a server does: leases end meanwhile."""


class Engine(Protocol):
    """Where jobs are, and what can be done to that."""

    url: str
    faults: dict[str, Callable[[], None]]
    """What is done, in words, and how: it returns when it has been taken back."""
    alone: bool
    """Whether one that stands still keeps all others out."""
    inexact: float
    """Seconds by which the clocks of two workers may differ, as they know the store's."""

    def remove(self) -> None: ...


class Sqlite:
    alone, inexact = True, 0.0

    def __init__(self, folder: Path) -> None:
        self._path = folder / "jobs.db"
        self.url = f"sqlite:///{self._path}"
        self.faults = {"another program writes to the file for 1.5 s": self._occupy}

    def _occupy(self) -> None:
        with closing(sqlite3.connect(self._path, timeout=10, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(1.5)
            other.execute("ROLLBACK")

    def remove(self) -> None: ...


class Postgres:
    alone, inexact = False, 0.05

    def __init__(self, folder: Path) -> None:
        self.server = PostgresServer(**SETTINGS)
        self.url = self.server.url
        self.faults = {
            "half of all sessions are ended": self._end_sessions,
            "the server is ended at once and started": self._restart,
            "the server stands still": self._freeze,
        }

    def _end_sessions(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as session:
            session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'mainspring' AND random() < 0.5"
            )

    def _restart(self) -> None:
        self.server.end(signal.SIGQUIT)
        self.server.start()

    def _freeze(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as session:
            sessions = session.execute("SELECT pid FROM pg_stat_activity").fetchall()
        _stand_still([pid for (pid,) in sessions], SILENCE)

    def remove(self) -> None:
        self.server.stop()


class Redis:
    alone, inexact = False, 0.0

    def __init__(self, program: Path) -> None:
        self.server = RedisServer(program, "--appendonly", "yes", "--appendfsync", "always")
        self.url = self.server.url
        self.faults = {
            "all connections are cut": self._cut,
            "the server is killed and started": self._restart,
            "the server stands still": self._freeze,
        }

    def _cut(self) -> None:
        with closing(redis.Redis.from_url(self.url)) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def _restart(self) -> None:
        self.server.kill()
        self.server.start()

    def _freeze(self) -> None:
        assert self.server.process is not None
        _stand_still([self.server.process.pid], SILENCE)

    def remove(self) -> None:
        self.server.remove()


class Http:
    alone, inexact = True, 0.0

    def __init__(self, folder: Path) -> None:
        self.server = HttpServer(f"sqlite:///{folder}/jobs.db")
        self.link = Link(int(self.server.url.rpartition(":")[2]))
        self.url = self.link.url
        self.faults = {
            "all connections are reset": self._cut,
            "the way to the server is long, narrow and bad": self._worsen,
            "no connection carries anything for a while": self._silence,
            "the server is killed and started": self._restart,
            "the server stands still": self._freeze,
        }

    def _cut(self) -> None:
        self.link.reset()

    def _worsen(self) -> None:
        self.link.weather = BAD._replace(trouble=0.02)
        time.sleep(2 * SILENCE)
        self.link.weather = CLEAR

    def _silence(self) -> None:
        self.link.silence(SILENCE)

    def _restart(self) -> None:
        self.server.kill()
        time.sleep(1.0)
        self.server.start()

    def _freeze(self) -> None:
        _stand_still([self.server.pid], SILENCE)

    def remove(self) -> None:
        self.link.close()
        self.server.stop()


ENGINES: dict[str, Callable[[Path], Engine]] = {
    "sqlite": Sqlite,
    "postgres": Postgres,
    "redis": lambda folder: Redis(redis_program()),
    "valkey": lambda folder: Redis(valkey_program()),
    "http": Http,
}


@contextmanager
def engine(name: str, folder: Path) -> Iterator[Engine]:
    """An engine of its own, gone after the block."""
    made = ENGINES[name](folder)
    try:
        yield made
    finally:
        made.remove()


class Nemesis:
    """Does one thing after the other, at random but from a seed."""

    def __init__(self, place: Arena, engine: Engine, seed: int) -> None:
        self.ended: list[str] = []
        """Workers that ended though nobody had asked for it."""
        self._place = place
        self._engine = engine
        self._chance = random.Random(seed)
        self._deck: list[Callable[[], None]] = []

    def start(self) -> None:
        """As many workers as there are to be."""
        while len(self._place.workers) < WORKERS:
            self._place.start_worker(*OPTIONS)

    def strike(self) -> None:
        """Do harm, and wait until it is taken back."""
        if not self._deck:
            # Cards, not dice: in a short run, too, everything comes up.
            self._deck = [
                *[self._kill_child, self._kill_worker] * 2,
                *(self._freeze_child, self._freeze_worker, self._freeze_parent),
                *(self._relieve, self._reload),
                *(self._harm(who, what) for who, what in self._engine.faults.items()),
            ]
            self._chance.shuffle(self._deck)
        self._deck.pop()()
        self._bury()
        self.start()

    def _bury(self) -> None:
        """Count no more on workers that have ended; one that took jobs ought not to have."""
        for worker in list(self._place.workers):
            if worker.poll() is None:
                continue
            self._place.workers.remove(worker)
            # One that finds no store when it starts says so and ends.
            told = self._place.log.read_text(errors="replace")
            if re.search(rf"-{worker.pid}-\w+: takes jobs", told):
                self.ended.append(f"a worker ended by itself, with status {worker.returncode}")

    def _harm(self, who: str, what: Callable[[], None]) -> Callable[[], None]:
        def harm() -> None:
            with self._fault(who, None):
                what()
                self._all_have_been_heard_of()

        return harm

    @contextmanager
    def _fault(self, who: str, hits: Sequence[int] | None) -> Iterator[None]:
        facts = {} if hits is None else {"hits": list(hits)}
        began = self._place.recorder.record("fault", who=who, **facts)
        try:
            yield
        finally:
            self._place.recorder.record("healed", of=began)

    def _kill_child(self) -> None:
        worker = self._chance.choice(self._place.workers)
        if not (its := children(worker.pid)):
            return  # it has only just begun
        self._kill("a child is killed", self._chance.choice(its))

    def _kill_worker(self) -> None:
        worker = self._chance.choice(self._place.workers)
        self._kill("a worker is killed", worker.pid)
        worker.wait()
        self._place.workers.remove(worker)

    def _kill(self, who: str, victim: int) -> None:
        hits = [victim, *children(victim)]
        # Until all are gone, threads, and children that follow, may begin a last job.
        with self._fault(who, hits), dying(hits), suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)

    def _freeze_child(self) -> None:
        worker = self._chance.choice(self._place.workers)
        if its := children(worker.pid):
            child = self._chance.choice(its)
            with self._fault("a child stands still", [child]):
                _stand_still([child], WHILE * self._place.lease)

    def _freeze_parent(self) -> None:
        worker = self._chance.choice(self._place.workers)
        self._freeze("the parent of a worker stands still", worker.pid, [worker.pid])

    def _freeze_worker(self) -> None:
        worker = self._chance.choice(self._place.workers)
        everybody = [worker.pid, *children(worker.pid)]
        self._freeze("a whole worker stands still", worker.pid, everybody)

    def _freeze(self, who: str, worker: int, everybody: list[int]) -> None:
        hits = None if self._engine.alone else [worker, *children(worker)]
        with self._fault(who, hits):
            _stand_still(everybody, WHILE * self._place.lease)
            self._all_have_been_heard_of()

    def _relieve(self) -> None:
        """A deploy: another worker comes, then one goes. No harm: nothing may run twice for it."""
        worker = self._place.workers[0]
        self._place.start_worker(*OPTIONS)
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
        self._place.workers.remove(worker)

    def _reload(self) -> None:
        """Nor is this: all children are replaced."""
        worker = self._chance.choice(self._place.workers)
        if children(worker.pid):  # before it has any, it does not listen to signals yet
            worker.send_signal(signal.SIGHUP)

    def _all_have_been_heard_of(self) -> None:
        """All workers have reached the store from now on."""
        now = time.time_ns() // 1000
        for _ in until(30):
            self._bury()
            with suppress(StoreUnavailable):
                if self._place.has_heard_of_all_since(now):
                    return
            time.sleep(0.05)


def _stand_still(pids: Sequence[int], seconds: float) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
