"""The way to the server breaks in every way; nothing is lost, and nothing happens twice."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from mainspring.cells import Add
from mainspring.engines import open_store
from mainspring.engines.http.address import address
from mainspring.engines.http.lines import Lines, Wish
from mainspring.engines.http.store import HttpStore
from mainspring.errors import StoreUnavailable
from mainspring.job import Select, State, Succeeded, Transition
from mainspring.lifecycle import decide
from mainspring.store import Claim, Grant, News, Presence, Store
from tests.contract.stage import new
from tests.remote.conftest import GREETING, Handler, Listener, answer, asked
from tests.servers.mainspring import Server

Listening = Callable[[Handler], Listener]

ROOT = Path(__file__).resolve().parents[2]
LONG = 20.0


class Wire:
    """Between a client and a server: loses the answers to the next calls, once they are done."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.to_lose = 0
        self.lost = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            while True:
                back.write(await asked(reader))
                came = await there.readuntil(b"\r\n\r\n")
                if self.to_lose and b"msgpack" in came:
                    self.to_lose -= 1
                    self.lost += 1
                    return
                writer.write(came)
                length = [
                    int(line.partition(b":")[2])
                    for line in came.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                ]
                if length:
                    writer.write(await there.readexactly(length[0]))
                while not length and (more := await there.read(1000)):
                    writer.write(more)
        finally:
            back.close()


@pytest.fixture
def wire(server: Server) -> Wire:
    return Wire(int(server.url.rpartition(":")[2]))


@pytest.fixture
def far(wire: Wire, listening: Listening) -> Store:
    """The store over a line that loses answers."""
    return open_store(listening(wire).url)


def test_an_insert_whose_answer_was_lost_happens_once(far: Store, wire: Wire, near: Store) -> None:
    wire.to_lose = 2
    [stored] = far.insert([new()])
    assert wire.lost == 2
    assert stored.repeated
    assert [record.id for record in near.find(Select())] == [stored.id]
    far.close()


def test_an_exchange_whose_answer_was_lost_gives_the_same_jobs(
    far: Store, wire: Wire, near: Store
) -> None:
    near.insert([new(), new(), new()])
    claim = Claim(grant=Grant(token=7, worker="w", lease=60_000_000), limit=2, slots=2)
    wire.to_lose = 1
    first = far.exchange([], claim)
    wire.to_lose = 1
    ends = [decide(job, Succeeded()) for job in first.jobs]
    assert far.exchange(ends).lost == ()
    assert wire.lost == 2
    assert near.counts()["default"][State.COMPLETED] == 2
    assert near.counts()["default"][State.PENDING] == 1
    far.close()


def test_an_increment_whose_answer_was_lost_is_not_made_again(
    far: Store, wire: Wire, near: Store
) -> None:
    wire.to_lose = 1
    with pytest.raises(StoreUnavailable, match="it may have been done all the same"):
        far.kv_add([Add("n", 1)])
    assert near.kv_add([Add("n", 0)]) == [1]
    far.close()


def test_a_call_that_must_not_be_made_twice_does_not_meet_a_line_that_was_cut(
    server: Server, store: Store
) -> None:
    """The line was kept open while the server was started anew."""
    assert store.kv_add([Add("n", 1)]) == [1]
    server.kill()
    server.start()
    assert store.kv_add([Add("n", 1)]) == [2]


def test_a_call_outlasts_a_server_that_does_not_listen_yet() -> None:
    """Its port is taken, as by one that is being started."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            greet = b"GET /store " in await asked(reader)
            whole = answer("200 OK", b"\x80", "Content-Type: application/msgpack")
            writer.write(GREETING if greet else whole)

    first = Listener(handle)
    store = open_store(first.url)
    first.close()
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("127.0.0.1", first.port))
    started: list[Listener] = []
    timer = threading.Timer(0.3, lambda: started.append(Listener(handle, taken)))
    timer.start()
    try:
        assert store.counts() == {}
    finally:
        timer.join()
        started[0].close()
    store.close()


def test_a_server_that_is_gone_is_told_and_one_that_is_back_is_found(
    server: Server, store: Store
) -> None:
    server.kill()
    with pytest.raises(StoreUnavailable, match=rf"{server.url}: Connection refused"):
        store.counts()
    server.start()
    assert store.counts() == {}


def test_what_is_committed_after_a_restart_is_hinted_at(
    server: Server, store: Store, near: Store
) -> None:
    signal = store.listen()
    server.kill()
    server.start()
    while signal.wait(0.5):
        pass
    waiting = threading.Event()
    came: list[News] = []

    def wait() -> None:
        waiting.set()
        came.append(signal.wait(LONG))

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait()
    near.insert([new()])
    thread.join()
    assert News.WORK in came[0]
    signal.close()


def test_a_server_that_says_nothing_is_given_up_before_the_lease_ends(
    listening: Listening,
) -> None:
    silent = threading.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await asked(reader)
            if b"/store/heartbeat" in request:
                silent.set()
                await asyncio.sleep(LONG)
            writer.write(GREETING)

    store = open_store(listening(handle).url)
    me = Presence(id="w", host="h", pid=1, started=1, state="running")
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="no answer in time"):
        store.heartbeat(me, [], 3_000_000)
    assert silent.is_set()
    assert time.monotonic() - began < LONG / 2
    store.close()


def test_who_is_asked_to_come_back_later_does(listening: Listening) -> None:
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await asked(reader)
            if b"/store/counts" not in request:
                writer.write(GREETING)
                continue
            seen.append(request)
            if len(seen) == 1:
                writer.write(answer("503 Service Unavailable", b"", "Retry-After: 1"))
            else:
                writer.write(answer("200 OK", b"\x80", "Content-Type: application/msgpack"))

    store = open_store(listening(handle).url)
    assert store.counts() == {}
    assert len(seen) == 2
    store.close()


@pytest.mark.parametrize("status", ["502 Bad Gateway", "504 Gateway Timeout", "429 Too Many"])
def test_what_a_proxy_says_instead_of_the_server_is_trouble_that_passes(
    listening: Listening, status: str
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            greet = b"GET /store " in await asked(reader)
            page = answer(status, b"<h1>nothing here</h1>", "Content-Type: text/html")
            writer.write(GREETING if greet else page)

    store = open_store(listening(handle).url)
    with pytest.raises(StoreUnavailable, match=status[:3]):
        store.counts()
    store.close()


@pytest.mark.parametrize("status", ["502 Bad Gateway", "504 Gateway Timeout"])
def test_what_a_proxy_gave_up_and_must_not_be_made_twice_may_have_been_done(
    listening: Listening, status: str
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            greet = b"GET /store " in await asked(reader)
            writer.write(GREETING if greet else answer(status))

    store = open_store(listening(handle).url)
    with pytest.raises(StoreUnavailable, match=f"{status[:3]}; it may have been done all the same"):
        store.kv_add([Add("n", 1)])
    store.close()


def test_what_is_not_answered_in_time_and_must_not_be_made_twice_may_have_been_done(
    listening: Listening,
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        await asyncio.sleep(LONG)

    lines = Lines(address(listening(handle).url), "")
    with pytest.raises(StoreUnavailable, match="it may have been done all the same"):
        lines.ask(Wish("POST", "/store/kv_add", b"", timeout=0.2, repeatable=False, harmless=False))
    lines.close()


def test_an_answer_that_is_cut_short_is_asked_for_again(listening: Listening) -> None:
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await asked(reader)
            if b"GET /store " in request:
                writer.write(GREETING)
                continue
            seen.append(request)
            whole = answer("200 OK", b"\x80", "Content-Type: application/msgpack")
            if len(seen) < 3:
                writer.write(whole[:-1])
                return
            writer.write(whole)

    store = open_store(listening(handle).url)
    assert store.counts() == {}
    assert len(seen) == 3
    store.close()


def test_outcomes_too_large_for_one_call_go_in_several(store: HttpStore, near: Store) -> None:
    jobs = [new() for _ in range(70)]
    near.insert(jobs)
    claim = Claim(grant=Grant(token=7, worker="w", lease=60_000_000), limit=70, slots=70)
    held = near.exchange([], claim).jobs
    result = b'"%b"' % (b"x" * 1_000_000)
    ends = [msgspec.structs.replace(decide(job, Succeeded()), result=result) for job in held]
    stale = Transition(held[0].number, 8, State.COMPLETED)
    assert store.exchange([*ends, stale]).lost == ((held[0].number, 8),)
    assert near.counts()["default"][State.COMPLETED] == 70


FORK = """
import os, sys
from mainspring import Mainspring
from mainspring.cells import Add
from mainspring.engines import open_store
from tests.contract.stage import new
store = open_store(sys.argv[1])
signal = store.listen()
store.insert([new()])
child = os.fork()
if child == 0:
    mine = store.listen()
    for _ in range(50):
        store.insert([new()])
    os._exit(0 if mine.wait(20) else 1)
for _ in range(50):
    store.insert([new()])
assert os.waitpid(child, 0)[1] == 0
assert store.counts()["default"]["pending"] == 101
signal.close()
store.close()
"""


def test_a_forked_process_has_lines_of_its_own(server: Server) -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", FORK, server.url], check=True, env=env, timeout=60)


def test_many_threads_share_a_store(store: Store) -> None:
    def bring() -> None:
        for _ in range(20):
            store.insert([new()])

    threads = [threading.Thread(target=bring) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.counts()["default"][State.PENDING] == 480
