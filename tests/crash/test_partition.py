"""Two machines and a server, and a cable that is pulled for three leases."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.crash.arena import Arena, arena, until
from tests.crash.history import read
from tests.crash.judge import judge
from tests.crash.network import Network, network
from tests.crash.workload import note
from tests.servers.mainspring import Server as HttpServer
from tests.servers.postgres import SETTINGS
from tests.servers.postgres import Server as Postgres
from tests.servers.redis import Server, redis_program, valkey_program

LEASE = 1.5
"""Seconds; what workers in the arena have."""

pytestmark = [pytest.mark.crash, pytest.mark.timeout(150)]


@contextmanager
def redis(net: Network) -> Iterator[str]:
    yield from _redis(net, redis_program())


@contextmanager
def valkey(net: Network) -> Iterator[str]:
    yield from _redis(net, valkey_program())


@contextmanager
def postgres(net: Network) -> Iterator[str]:
    settings = {name: value for name, value in SETTINGS.items() if name != "listen_addresses"}
    server = Postgres(host=net.address("server"), within=net.within("server"), **settings)
    try:
        yield server.url
    finally:
        server.stop()


@contextmanager
def http(net: Network) -> Iterator[str]:
    with TemporaryDirectory() as folder:
        options = ("--insecure-no-auth", "--insecure-no-tls")
        host, within = net.address("server"), net.within("server")
        server = HttpServer(f"sqlite:///{folder}/jobs.db", *options, host=host, within=within)
        try:
            yield server.url
        finally:
            server.stop()


def _redis(net: Network, program: Path) -> Iterator[str]:
    options = ("--protected-mode", "no")
    host, within = net.address("server"), net.within("server")
    server = Server(program, *options, host=host, within=within)
    try:
        yield server.url
    finally:
        server.remove()


@pytest.mark.parametrize("server", [postgres, redis, valkey, http])
def test_a_machine_cut_off_for_three_leases_loses_and_doubles_nothing(
    tmp_path: Path, server: Callable[[Network], Iterator[str]]
) -> None:
    with (
        network("server", "east", "west") as net,
        server(net) as url,
        arena(tmp_path, url) as place,
    ):
        produced = threading.Event()
        producer = threading.Thread(target=_produce, args=(place, produced))
        producer.start()
        for machine in ("east", "west"):
            place.start_worker("--threads", "4", within=net.within(machine))
        place.wait_until_running(2)
        for _ in range(2):
            time.sleep(0.5)
            net.cut("east")
            for _ in until(3 * LEASE):
                place.recorder.record("fault", who="east is cut off")
                time.sleep(0.1)
            net.heal("east")
            # Connections that were cut take their time to notice that they are not any more.
            healed = time.time_ns() // 1000
            while not place.has_heard_of_all_since(healed):
                place.recorder.record("fault", who="east comes back")
                time.sleep(0.1)
        produced.set()
        producer.join()
        place.wait_until_done(60)
        verdict = judge(read(place.history), place.ended())
        assert verdict.broken == []
        assert verdict.again > 0, "nothing was taken over: this run is no evidence"
        assert {job.state for job in place.ended()} == {"completed"}
        assert place.app.check() == []


def _produce(place: Arena, stop: threading.Event) -> None:
    number = 0
    while not stop.is_set():
        marks = [f"job-{number + i}" for i in range(10)]
        number += len(marks)
        place.app.enqueue_many(note.job(mark, 0.1) for mark in marks)
        for mark in marks:
            place.recorder.record("inserted", mark=mark)
        stop.wait(0.2)
