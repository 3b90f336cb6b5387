"""What a worker tells of its own life: to whoever asks it, to probes, to the service manager."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from mainspring.errors import ConfigError
from mainspring.events import AttemptFailed
from mainspring.worker.probes import health, systemd
from mainspring.worker.worker import Worker
from tests.worker import workshop
from tests.worker.conftest import House, eventually
from tests.worker.faulty import FaultyStore


def ask(place: str, path: str, method: str = "GET") -> tuple[int, Any]:
    """Status and answer of a probe."""
    address = place.partition("//")[2].partition("/")[0]
    connection = HTTPConnection(address, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
        return response.status, json.loads(body) if body else None
    finally:
        connection.close()


def connected(place: str) -> socket.socket:
    host, _, port = place.partition("//")[2].partition("/")[0].rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


# --- the worker itself ---------------------------------------------------------------------------


def test_a_worker_lives_and_is_ready_from_its_start_to_its_end(house: House) -> None:
    worker = house.worker()
    assert (worker.phase, worker.live.reason) == ("stopped", "it was not started")
    worker.start()
    assert (worker.phase, *worker.live, *worker.ready) == ("running", True, "", True, "")
    worker.stop()
    assert not worker.live
    assert (worker.phase, worker.ready.reason) == ("stopped", "it has stopped")


def test_a_worker_that_finishes_what_runs_lives_and_is_not_ready(house: House) -> None:
    worker = house.start()
    gate = house.gate()
    house.app.enqueue(workshop.gated.job(str(gate)))
    gate.await_arrival()
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    eventually(lambda: worker.phase == "stopping")
    assert (bool(worker.live), worker.ready.reason) == (True, "it is stopping")
    gate.let_go()
    stopping.join()


def test_a_paused_worker_is_ready(house: House) -> None:
    worker = house.start(lease="0.6s")
    eventually(house.app.workers)
    house.app.pause_workers(worker.name)
    eventually(lambda: worker.phase == "paused")
    assert worker.ready


def test_a_worker_whose_store_is_away_lives_and_is_not_ready(inside: House) -> None:
    store = FaultyStore(inside.app.store)
    worker = inside.start(store=store, lease="0.6s")
    store.go_away("exchange", "heartbeat")
    eventually(lambda: not worker.ready)
    assert (bool(worker.live), worker.ready.reason) == (True, "the store does not answer")
    store.come_back()
    eventually(lambda: worker.ready)


def test_a_worker_none_of_whose_children_takes_jobs_is_not_ready(outside: House) -> None:
    worker = outside.start(lease="0.6s")
    [child] = outside.app.workers()[0].members
    os.kill(child.pid, 9)
    eventually(lambda: worker.ready.reason == "none of its processes takes jobs")
    assert worker.live
    eventually(lambda: worker.ready)


def test_a_worker_that_hangs_in_a_listener_does_not_live(
    inside: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mainspring.worker.probes.vitals.LATE", 0.6)
    go = threading.Event()
    inside.app.on(AttemptFailed, lambda event: go.wait())
    worker = inside.start()
    inside.app.enqueue(workshop.raise_this.job("KeyError"))
    eventually(lambda: not worker.live)
    assert worker.live.reason.startswith("it has not turned for ")
    assert not worker.ready
    go.set()
    eventually(lambda: worker.live)


# --- a port --------------------------------------------------------------------------------------


@pytest.fixture
def worker(inside: House) -> Worker:
    return inside.worker()


@pytest.fixture
def place(worker: Worker) -> Iterator[str]:
    with health.told_at(health.target("127.0.0.1:0"), [worker]) as place:
        yield place


def test_a_port_says_whether_it_lives_and_is_ready(worker: Worker, place: str) -> None:
    reason = f"{worker.name}: it was not started"
    assert ask(place, "/live") == (503, {"live": False, "reason": reason})
    worker.start()
    assert ask(place, "/live") == (200, {"live": True})
    assert ask(place, "/ready?verbose") == (200, {"ready": True})
    assert ask(place, "/ready", "HEAD") == (200, None)


def test_a_port_refuses_what_it_does_not_know(place: str) -> None:
    assert ask(place, "/metrics")[0] == 404
    assert ask(place, "/live", "POST")[0] == 405


@pytest.mark.parametrize("said", [b"\x16\x03\x01 what?\r\n\r\n", b"GET /live\r\n\r\n", b"x" * 9000])
def test_a_port_answers_garbage_and_goes_on(place: str, said: bytes) -> None:
    with connected(place) as client:
        client.sendall(said)
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")
    assert ask(place, "/live")[0] == 503


def test_clients_that_say_nothing_keep_nobody_waiting_and_are_dropped(place: str) -> None:
    idle = [connected(place) for _ in range(health.MOST_CLIENTS + 10)]
    idle[-1].send(b"GET /li")
    assert ask(place, "/live")[0] == 503
    for client in idle:
        with client:
            assert client.recv(1) == b""


def test_a_port_leaves_no_thread_and_no_descriptor_behind(worker: Worker) -> None:
    before = os.listdir("/proc/self/fd")
    with health.told_at(("127.0.0.1", 0), [worker]) as place:
        client = connected(place)
        ask(place, "/live")
    client.close()
    assert len(os.listdir("/proc/self/fd")) <= len(before)
    assert not [each for each in threading.enumerate() if each.name == "mainspring-health"]


def test_a_port_that_is_taken_is_an_error_in_words(place: str, worker: Worker) -> None:
    taken = place.partition("//")[2].partition("/")[0]
    with (
        pytest.raises(ConfigError, match=f"cannot listen at {taken}: .*in use"),
        health.told_at(health.target(taken), [worker]),
    ):
        pass


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8080", ("127.0.0.1", 8080)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),  # noqa: S104
        ("[::1]:80", ("::1", 80)),
        ("health", Path("health")),
        ("/run/a:b/8080", Path("/run/a:b/8080")),
    ],
)
def test_what_looks_like_an_address_is_one(text: str, expected: object) -> None:
    assert health.target(text) == expected


@pytest.mark.parametrize("text", ["", " ", "70000", "host:70000", ":80", "host:", "a\0b"])
def test_what_is_neither_address_nor_path_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="health: expected a p"):
        health.target(text)


# --- a file --------------------------------------------------------------------------------------


def test_a_file_is_written_anew_while_the_worker_lives_and_gone_afterwards(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PAUSE", 0.02)
    file = tmp_path / "health"
    with health.told_at(file, [worker]):
        assert json.loads(file.read_text())["live"] is False
        worker.start()
        eventually(lambda: json.loads(file.read_text()) == {"live": True, "ready": True})
        written = file.stat().st_mtime_ns
        eventually(lambda: file.stat().st_mtime_ns > written)
        worker.stop()
        time.sleep(0.1)  # what was being written is written
        written = file.stat().st_mtime_ns
        time.sleep(0.1)
        assert file.stat().st_mtime_ns == written
    assert not [each for each in os.listdir(tmp_path) if "health" in each]


def test_a_file_that_cannot_be_written_is_an_error_in_words(worker: Worker, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no" / "such"):
        with (
            pytest.raises(ConfigError, match=f"health: cannot write {path}"),
            health.told_at(path, [worker]),
        ):
            pass
        assert not list(tmp_path.parent.glob(".*"))


# --- systemd -------------------------------------------------------------------------------------


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """The socket at which a service manager listens."""
    name = str(tmp_path / "notify")
    if request.param == "abstract":
        name = f"\0mainspring-test-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name)
        listening.settimeout(15)
        yield listening


def environment(manager: socket.socket, **more: str) -> dict[str, str]:
    address = manager.getsockname()
    text = f"@{address[1:].decode()}" if isinstance(address, bytes) else address
    return {"NOTIFY_SOCKET": text, **more}


def hear(manager: socket.socket, wanted: str) -> str:
    """The next message that begins so."""
    while True:
        message = manager.recv(4096).decode()
        if message.startswith(wanted):
            return message


def test_the_manager_hears_of_start_reload_and_end(outside: House, manager: socket.socket) -> None:
    worker = outside.worker()
    variables = environment(manager)
    with systemd.told([worker], variables):
        worker.start()
        hear(manager, "READY=1")
        hear(manager, "STATUS=running: 0 processed, 0 failed")
        asked = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        worker.reload()
        told = hear(manager, "RELOADING=1").split("\n")
        assert int(told[1].removeprefix("MONOTONIC_USEC=")) >= asked
        hear(manager, "READY=1")
        assert not worker.reloading
        worker.stop()
    hear(manager, "STOPPING=1")
    assert variables == {}


def test_a_reload_that_fails_ends_too(
    outside: House, manager: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fragile.py").write_text("from tests.worker.workshop import app\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    worker = outside.worker(app="fragile:app")
    with systemd.told([worker], environment(manager)):
        worker.start()
        hear(manager, "READY=1")
        (tmp_path / "fragile.py").write_text("this is no Python")
        worker.reload()
        hear(manager, "RELOADING=1")
        hear(manager, "READY=1")
        assert outside.app.enqueue(workshop.add.job(2, 2)).result(timeout=15) == 4


def test_the_watchdog_is_fed_while_the_worker_lives(inside: House, manager: socket.socket) -> None:
    worker = inside.worker()
    variables = environment(manager, WATCHDOG_USEC="100000", WATCHDOG_PID=str(os.getpid()))
    with systemd.told([worker], variables):
        worker.start()
        for _ in range(3):
            hear(manager, "WATCHDOG=1")
        worker.stop()
    hear(manager, "STOPPING=1")


def test_the_watchdog_of_another_process_is_none_of_ours(inside: House) -> None:
    for variables in ({"WATCHDOG_USEC": "100", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}):
        assert systemd._watchdog(dict(variables)) is None


def test_without_a_manager_nobody_is_told(inside: House) -> None:
    before = set(threading.enumerate())
    with systemd.told([inside.worker()], {}):
        assert set(threading.enumerate()) <= before


def test_a_manager_that_is_gone_does_no_harm(inside: House, tmp_path: Path) -> None:
    worker = inside.worker()
    with systemd.told([worker], {"NOTIFY_SOCKET": str(tmp_path / "nobody")}):
        worker.start()
        assert inside.app.enqueue(workshop.add.job(2, 2)).result(timeout=15) == 4
        worker.stop()
