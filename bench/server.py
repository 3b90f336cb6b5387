"""How fast the server accepts jobs and delivers messages; the bare framework beside it."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from statistics import quantiles
from typing import Any

import uvloop

from bench.app import FILL
from bench.measure import Figure, place
from bench.places import ROOT
from bench.wakeup import WAITING, wakeups

CLIENTS = 64
SECONDS = 4.0
WARM = 1.0
BATCH = 100
BATCH_CLIENTS = 8


def run(times: int) -> list[Figure]:
    """One job and 100 in a request, from connections kept open; one client's round trip; and how
    soon one of many who wait has a message."""
    one, bare, many, lone = [], [], [], []
    soon, late = [], []
    for _ in range(times):
        with served("mainspring", "--url", place().store(), "serve", "--port", "0") as port:
            size = answered(port)
            lone.append(1000 / _rate(port, request(_task(0)), 1))
            one.append(_rate(port, request(_task(0)), CLIENTS))
            body = [_task(n) for n in range(BATCH)]
            many.append(BATCH * _rate(port, request(body), BATCH_CLIENTS))
        with served("mainspring", "--url", place().store(), "serve", "--port", "0") as port:
            cuts = quantiles(asyncio.run(wakeups(port)), n=100)
            soon.append(cuts[49])
            late.append(cuts[98])
        with served("bench.bare", str(size)) as port:
            bare.append(_rate(port, request(_task(0)), CLIENTS))
    single = Figure(f"POST /tasks, one job, {CLIENTS} clients", "jobs/s", one)
    framework = Figure("", "", bare)
    single.beside = {
        "bare framework": framework.median,
        "ratio": single.median / framework.median,
    }
    return [
        single,
        Figure(f"POST /tasks, {BATCH} jobs, {BATCH_CLIENTS} clients", "jobs/s", many),
        Figure("POST /tasks, one job, one client", "ms", lone),
        Figure(f"publish to consume, {WAITING} wait, p50", "ms", soon),
        Figure(f"publish to consume, {WAITING} wait, p99", "ms", late),
    ]


def _task(n: int) -> dict[str, object]:
    return {"type": "noop", "payload": {"n": n, "fill": FILL}}


def request(body: object) -> bytes:
    """A whole request, as its bytes."""
    data = json.dumps(body).encode()
    return (
        b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(data), data)
    )


@contextlib.contextmanager
def served(module: str, *arguments: str) -> Iterator[int]:
    """A server in a process of its own, by the port it listens on."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            told = process.stderr.readline().decode()
            found = re.search(r"http://127\.0\.0\.1:(\d+)", told)
            assert found, told
            yield int(found[1])
        finally:
            process.send_signal(signal.SIGTERM)


def answered(port: int) -> int:
    """How many bytes the answer to one job has."""
    connection = HTTPConnection("127.0.0.1", port)
    head, _, body = request(_task(0)).partition(b"\r\n\r\n")
    assert head
    connection.request("POST", "/tasks", body, {"Content-Type": "application/json"})
    answer = connection.getresponse().read()
    connection.close()
    return len(answer)


def _rate(port: int, request: bytes, clients: int) -> float:
    """Answers a second, once it has run for a while."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measured(port, request, clients))


async def _measured(port: int, request: bytes, clients: int) -> float:
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: _Client(request), "127.0.0.1", port)
        for _ in range(clients)
    ]
    await asyncio.sleep(WARM)
    before, start = sum(client.answers for _, client in made), time.perf_counter()
    await asyncio.sleep(SECONDS)
    answers, took = sum(client.answers for _, client in made) - before, time.perf_counter() - start
    for transport, client in made:
        client.stopped = True
        transport.close()
    return answers / took


class _Client(asyncio.Protocol):
    """Sends its request again as soon as the last one was answered, with 201."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._received = b""
        self.answers = 0
        self.stopped = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length, head
        if len(body) < int(length[1]):
            return
        assert head.startswith(b"HTTP/1.1 201"), self._received
        self.answers += 1
        self._received = b""
        if not self.stopped:
            self._transport.write(self._request)
