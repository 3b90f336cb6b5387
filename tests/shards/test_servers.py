"""Shards on servers of two kinds: one is killed and comes back, the other goes on."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from mainspring import Mainspring
from mainspring.job import State
from tests.crash.arena import Arena, arena
from tests.crash.history import read
from tests.crash.judge import judge
from tests.crash.producer import Producer, producing
from tests.crash.workload import note
from tests.servers.postgres import SETTINGS
from tests.servers.postgres import Server as PostgresServer
from tests.servers.redis import Server, redis_program
from tests.shards.conftest import IN_A, IN_B

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]


class Two(NamedTuple):
    """A PostgreSQL server that is shard a, and a Redis server that is b."""

    postgres: PostgresServer
    redis: Server

    @property
    def url(self) -> str:
        return f"shards://a={self.postgres.url} b={self.redis.url} partitioned=events"

    def url_of(self, queue: str) -> str:
        """The server on which the queue is, alone."""
        return self.postgres.url if queue == IN_A else self.redis.url

    def kill(self, queue: str) -> None:
        if queue == IN_A:
            self.postgres.end(signal.SIGQUIT)
        else:
            self.redis.kill()

    def start(self, queue: str) -> None:
        if queue == IN_A:
            self.postgres.start()
        else:
            self.redis.start()


@pytest.fixture
def two() -> Iterator[Two]:
    two = Two(
        PostgresServer(**SETTINGS),
        Server(redis_program(), "--appendonly", "yes", "--appendfsync", "always"),
    )
    yield two
    two.postgres.stop()
    two.redis.remove()


@contextmanager
def producers(place: Arena, *queues: str) -> Iterator[dict[str, Producer]]:
    """One for each queue."""
    with ExitStack() as stack:
        yield {
            queue: stack.enter_context(
                producing(place, partial(note.using(queue=queue).job, seconds=0.01), name=queue)
            )
            for queue in queues
        }


def eventually(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(("killed", "other"), [(IN_A, IN_B), (IN_B, IN_A)], ids=["sql", "redis"])
def test_one_server_killed_and_back_stops_no_other_and_loses_nothing(
    tmp_path: Path, two: Two, killed: str, other: str
) -> None:
    with arena(tmp_path, two.url) as place, Mainspring(two.url_of(other)) as survivor:
        with producers(place, IN_A, IN_B, "events") as made:
            place.start_worker("--threads", "4")
            place.wait_until_running(1)
            place.recorder.record("fault", who="a server is ended")
            two.kill(killed)

            def completed() -> int:
                return survivor.counts()[other].get("completed", 0)

            before, stored = completed(), made[other].stored
            eventually(lambda: completed() > before + 50 and made[other].stored > stored + 50)
            two.start(killed)
            stored = made[killed].stored
            eventually(lambda: made[killed].stored > stored + 50)
            place.recorder.record("fault", who="it is back")
        place.wait_until_done(60)
        ended = place.ended()
        verdict = judge(read(place.history), ended)
        assert verdict.broken == []
        assert verdict.refused > 0, "nobody noticed: this run is no evidence"
        assert {job.state for job in ended} == {State.COMPLETED}
        assert place.app.check() == []
