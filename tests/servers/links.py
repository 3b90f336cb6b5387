"""A way to a server that is long and narrow, and on which what is said stops short: by a reset, or
by a silence that nobody is told of."""

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple

PIECE = 2048
"""Bytes that go together."""

UNDERWAY = 64
"""Pieces on their way, each way of each connection; who sends more has to wait."""

FOREVER = float("inf")

AT_ONCE = struct.pack("ii", 1, 0)
"""To linger so long: a socket that is closed resets its connection."""

Way = Literal["request", "answer"]


class Weather(NamedTuple):
    """`delay` are seconds each way, `jitter` how much more or less of them it may be. `rate` are
    bytes a second each way, of all connections together. `trouble` is the chance of each piece to
    be the one in whose midst its connection is reset or, as often, falls silent for `silence`
    seconds."""

    delay: float = 0.0
    jitter: float = 0.0
    rate: float = FOREVER
    trouble: float = 0.0
    silence: float = 1.0


CLEAR = Weather()
BAD = Weather(delay=0.1, jitter=0.05, rate=50_000)
"""200 ms there and back, give or take 100, and 50 kB/s."""


class Break(NamedTuple):
    """What happens after so many more bytes have gone that way: a reset, or a silence of so many
    seconds, of that connection both ways."""

    way: Way
    after: int = 0
    silence: float = 0.0


Underway = asyncio.Queue[tuple[float, bytes]]


@dataclass(eq=False)
class _Line:
    """A connection, from one end to the other."""

    ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    attending: "asyncio.Task[None] | None"
    silent_until: float = 0.0

    def reset(self) -> None:
        for end in self.ends:
            _reset(end)
        if self.attending is not None:
            self.attending.cancel()


class Link:
    """A way to that port of this machine, on a thread of its own.

    `weather` may change at any time. What `breaks` lists happens, one after the other, and is in
    `broken` then; so is what comes by chance, which `seed` makes the same again where the same is
    sent.
    """

    def __init__(self, port: int, weather: Weather = CLEAR, seed: int = 0) -> None:
        self.weather = weather
        self.breaks: list[Break] = []
        self.broken: list[Break] = []
        self._to = port
        self._chance = random.Random(seed)
        self._lines: set[_Line] = set()
        self._free: dict[Way, float] = {"request": 0.0, "answer": 0.0}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    # --- from any thread --------------------------------------------------------------------

    def reset(self) -> None:
        """Reset every connection that is open."""
        self._loop.call_soon_threadsafe(lambda: [line.reset() for line in list(self._lines)])

    def silence(self, seconds: float = FOREVER) -> None:
        """Let no connection that is open carry anything for so long, and nobody know; for ever:
        its other end is gone without a word."""
        done = threading.Event()

        def silence() -> None:
            for line in self._lines:
                line.silent_until = self._loop.time() + seconds
            done.set()

        self._loop.call_soon_threadsafe(silence)
        done.wait()

    def close(self) -> None:
        """Carry nothing more."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    # --- on its own -------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        serving = asyncio.start_server(self._joined, sock=self._listener, limit=PIECE)
        server = self._loop.run_until_complete(serving)
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0))  # in which sockets are closed
        self._loop.close()

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._to, limit=PIECE)
        except OSError:
            _reset(writer)
            return
        line = _Line((writer, back), asyncio.current_task())
        self._lines.add(line)
        ways: list[tuple[Way, asyncio.StreamReader, asyncio.StreamWriter]]
        ways = [("request", reader, back), ("answer", there, writer)]
        try:
            async with asyncio.TaskGroup() as group:
                for way, source, sink in ways:
                    underway = Underway(UNDERWAY)
                    group.create_task(self._take(way, source, underway))
                    group.create_task(self._bring(way, underway, sink, line))
            for end in line.ends:
                end.close()
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._lines.discard(line)
            for end in line.ends:
                _reset(end)

    async def _take(self, way: Way, source: asyncio.StreamReader, underway: Underway) -> None:
        """All that is sent, and when it is due; the end of it is an empty piece."""
        piece = b"-"
        while piece:
            piece = await source.read(PIECE)
            await underway.put((self._due(way, len(piece)), piece))

    def _due(self, way: Way, size: int) -> float:
        weather = self.weather
        self._free[way] = max(self._loop.time(), self._free[way]) + size / weather.rate
        return self._free[way] + weather.delay + self._chance.uniform(-1, 1) * weather.jitter

    async def _bring(
        self, way: Way, underway: Underway, sink: asyncio.StreamWriter, line: _Line
    ) -> None:
        while True:
            due, piece = await underway.get()
            await asyncio.sleep(due - self._loop.time())
            await self._unless_silent(line)
            if not piece:
                sink.write_eof()
                return
            passes, fault = self._met(way, piece)
            sink.write(piece[:passes])
            await sink.drain()
            if fault is None:
                continue
            self.broken.append(fault)
            if not fault.silence:
                raise ConnectionResetError
            line.silent_until = self._loop.time() + fault.silence
            await self._unless_silent(line)
            sink.write(piece[passes:])

    def _met(self, way: Way, piece: bytes) -> tuple[int, Break | None]:
        """How many bytes of it pass before something happens, and what."""
        for n, (its, after, silence) in enumerate(self.breaks):
            if its != way:
                continue
            if after >= len(piece):
                self.breaks[n] = Break(way, after - len(piece), silence)
                break
            return after, self.breaks.pop(n)
        if self._chance.random() < self.weather.trouble:
            passes = self._chance.randrange(len(piece))
            silence = self._chance.choice((0.0, self.weather.silence))
            return passes, Break(way, passes, silence)
        return len(piece), None

    async def _unless_silent(self, line: _Line) -> None:
        if line.silent_until == FOREVER:
            await asyncio.Event().wait()
        await asyncio.sleep(line.silent_until - self._loop.time())


def _reset(end: asyncio.StreamWriter) -> None:
    if not end.transport.is_closing():
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        end.transport.abort()


@contextmanager
def link(port: int, weather: Weather = CLEAR, seed: int = 0) -> Iterator[Link]:
    """Such a way, for the block."""
    made = Link(port, weather, seed)
    try:
        yield made
    finally:
        made.close()
