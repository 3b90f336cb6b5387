"""What clients that do not keep up cost a server and others: one that reads a byte in a second, and
subscribers of a topic that do not read at all."""

import asyncio
import contextlib
import select
import socket
import time
from collections.abc import Iterator

from bench.crowd import pid
from bench.footprint import pss
from bench.measure import Figure, fresh, percentile
from bench.others import times_of_others
from bench.server import served
from mainspring import Mainspring

POSTS = 100_000
BATCH = 500
BODY = "x" * 1000
SUBSCRIBERS = 20
JOBS, ASKED = 10, 10
"""How many of 900 kB there are, and how often one connection asks for a page of them: that is more
than kernels keep on the way."""

LONGEST = 120.0


def run(times: int) -> list[Figure]:
    """Seconds until one that reads a byte a second is hung up on; memory of the server and others'
    requests while 100,000 posts go by some who do not read; how many of these are ended."""
    cut, before, memory, told = [], [], [], []
    alone, beside = [], []
    for _ in range(times):
        with fresh() as app, served("mainspring", "--url", app.url, "serve", "--port", "0") as port:
            cut.append(_byte_by_byte(app, port))
        with fresh() as app, served("mainspring", "--url", app.url, "serve", "--port", "0") as port:
            alone.append(asyncio.run(times_of_others(port)))
            before.append(pss(pid(port)) / 1e6)
            most, theirs, ended = asyncio.run(_backlog(app, port))
            memory.append(most)
            beside.append(theirs)
            told.append(float(ended))
    held = Figure(f"{POSTS:,} posts, {SUBSCRIBERS} do not read, most PSS", "MB", memory)
    held.beside = {"before": Figure("", "", before).median}
    figures = [Figure("a byte a second, until hung up on", "s", cut), held]
    for percent in (50, 95):
        without, within = ([percentile(run, percent) for run in runs] for runs in (alone, beside))
        figure = Figure(f"… p{percent} of others meanwhile", "ms", within)
        middle = Figure("", "", without).median
        figure.beside = {"without": middle, "ratio": figure.median / middle}
        figures.append(figure)
    return [*figures, Figure("… of those who did not read, ended", "", told)]


def _byte_by_byte(app: Mainspring, port: int) -> float:
    for _ in range(JOBS):
        app.enqueue("noop", {"n": 1, "fill": "x" * 900_000}, delay="1h")
    with _mute(port, "/tasks?limit=200", ASKED) as client:
        client.setblocking(True)
        # What has come can still be read when the connection is no more.
        end = select.poll()
        end.register(client, 0)
        began = time.perf_counter()
        while not end.poll(1000):
            client.recv(1)
        return time.perf_counter() - began


async def _backlog(app: Mainspring, port: int) -> tuple[float, list[float], int]:
    """The most memory of the server in MB, milliseconds of others' requests, and how many of those
    who did not read were ended."""
    publishing = asyncio.create_task(asyncio.to_thread(_publish, app))
    with contextlib.ExitStack() as stack:
        path = "/topics/subscribe?topics=t"
        clients = [stack.enter_context(_mute(port, path)) for _ in range(SUBSCRIBERS)]
        asking = asyncio.create_task(_asking(port, publishing))
        most = 0.0
        while not publishing.done():
            most = max(most, pss(pid(port)) / 1e6)
            await asyncio.sleep(0.25)
        ended = await asyncio.gather(*(_ends(client) for client in clients))
        return most, await asking, sum(ended)


def _publish(app: Mainspring) -> None:
    for _ in range(0, POSTS, BATCH):
        app.store.post([app.topics.post("t", BODY)] * BATCH)


async def _asking(port: int, until: "asyncio.Task[None]") -> list[float]:
    took: list[float] = []
    while not until.done():
        took += await times_of_others(port)
    return took


async def _ends(client: socket.socket) -> bool:
    """Whether its stream comes to an end when it is read at last."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(LONGEST):
            while await loop.sock_recv(client, 1 << 20):
                pass
    return True


@contextlib.contextmanager
def _mute(port: int, path: str, times: int = 1) -> Iterator[socket.socket]:
    """A client with little room, that has asked so many times and does not read."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * times)
        client.setblocking(False)
        yield client
