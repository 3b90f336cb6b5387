"""What parent and child say to each other, and the frames that carry it over a socket.

A frame is four bytes of length and one message in MessagePack. Knows no store and no user code.
"""

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from mainspring.job import Claimed, Transition
from mainspring.store import Note

BUFFER = 1 << 20
"""Bytes asked for each socket buffer, so that a frame of jobs seldom has to wait."""

SIGN = b"\0ms\n"
"""What every message begins with. A function can write into any file of its process, this one too:
taken for a length, its words would be waited for, and with them every message after."""

# --- parent to child ------------------------------------------------------------------------


class Setup(Struct, array_like=True, tag="setup"):
    """The first message: which app, and how much of it. `lease` in microseconds. A `solo` child
    runs the tasks that want a process of their own, any other all the rest."""

    parent: int
    app: str
    path: list[str]
    worker: str
    threads: int
    tasks: int
    lease: int
    solo: bool = False


class Feed(Struct, array_like=True, tag="feed"):
    """Jobs to run, each with its spot among the marks; `taken` reports have been dealt with."""

    jobs: list[Claimed]
    spots: list[int]
    taken: int = 0


class Recall(Struct, array_like=True, tag="recall"):
    """Give back what has not begun: these numbers, or everything."""

    numbers: list[int] | None = None


class Stop(Struct, array_like=True, tag="stop"):
    """Somebody asked to cancel these jobs."""

    numbers: list[int]


class Drop(Struct, array_like=True, tag="drop"):
    """These grants are lost: end their jobs and report nothing of them."""

    tokens: list[int]


class Quit(Struct, array_like=True, tag="quit"):
    """End what still runs, hand it back, and leave."""


Order = Setup | Feed | Recall | Stop | Drop | Quit

# --- child to parent ------------------------------------------------------------------------


class Hello(Struct, array_like=True, tag="hello"):
    """The app was imported: its tasks and their kinds, places by kind, the URL of its store, of
    which kind all the `rest` is, if it is known at all, and the key for the store."""

    tasks: dict[str, str]
    slots: dict[str, int]
    url: str
    rest: str = ""
    api_key: str | None = None


class Unable(Struct, array_like=True, tag="unable"):
    """The app could not be imported, or the machine had nothing left to run it with."""

    error: str
    traceback: str
    starved: bool = False


class Report(Struct, array_like=True, tag="report"):
    """What became of jobs since the last report.

    `settled` completed themselves in a transaction of their own. `returned` had not begun; they
    are `stale` if nobody had asked for them. `waited` is the longest wait for a free place, by
    kind, in microseconds.
    """

    done: list[Transition]
    notes: list[Note] = []
    settled: list[int] = []
    returned: list[int] = []
    stale: bool = False
    waited: dict[str, int] = {}


class Worn(Struct, array_like=True, tag="worn"):
    """Too many functions here outlived their time limit: replace this process."""

    reason: str


class Slow(Struct, array_like=True, tag="slow"):
    """The job that has run longest here, for so many seconds, and where it is."""

    number: int
    seconds: float
    traceback: str


News = Hello | Unable | Report | Worn | Slow

M = TypeVar("M")

_encoder = msgspec.msgpack.Encoder()
_decode_order = msgspec.msgpack.Decoder(Order).decode
_decode_news = msgspec.msgpack.Decoder(News).decode


class Wire(Generic[M]):
    """One end of a socket between parent and child; `M` is what arrives here."""

    def __init__(self, connection: socket.socket, decode: Any) -> None:
        self.ended = False
        self._lock = threading.Lock()
        self._socket = connection
        self._decode = decode
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            connection.setsockopt(socket.SOL_SOCKET, option, BUFFER)

    def send(self, message: Order | News) -> None:
        """Send a message, however long the other side takes. `OSError` when it is gone."""
        frame = framed(message)
        with self._lock:
            self._socket.sendall(frame)

    def receive(self) -> M | None:
        """The next message; None when the other side is gone. `ValueError` if what came is none."""
        head = self._exactly(len(SIGN) + 4)
        if head and not head.startswith(SIGN):
            raise ValueError(f"expected the head of a message, got {head!r}")
        body = head and self._exactly(int.from_bytes(head[len(SIGN) :], "big"))
        if not body:
            self.ended = True
            return None
        message: M = self._decode(body)
        return message

    def __iter__(self) -> Iterator[M]:
        while (message := self.receive()) is not None:
            yield message

    def close(self) -> None:
        """Hang up; the other side and a thread that waits here see the end."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _exactly(self, size: int) -> bytes:
        """So many bytes, or none at the end of the stream."""
        data = b""
        while len(data) < size:
            try:
                part = self._socket.recv(size - len(data), socket.MSG_WAITALL)
            except OSError:
                return b""
            if not part:
                return b""
            data = data + part if data else part
        return data


class ParentWire(Wire[News]):
    """The parent's end. Sending never blocks: what the socket does not take at once is sent by a
    thread of its own, so that a child that cannot read for a while delays nobody else."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection, _decode_news)
        self._rest: deque[memoryview] = deque()
        self._bell: SimpleQueue[bool] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def send(self, message: Order | News) -> None:
        """Send a message now or as soon as it can be; nothing happens when the child is gone."""
        frame = memoryview(framed(message))
        with self._lock:
            if not self._rest:
                frame = frame[self._send_now(frame) :]
            if not frame:
                return
            self._rest.append(frame)
            if self._thread is None:
                self._thread = threading.Thread(target=self._send_rest, name="wire", daemon=True)
                self._thread.start()
        self._bell.put(True)

    def close(self) -> None:
        """Hang up."""
        super().close()
        self._bell.put(False)

    def _send_now(self, frame: memoryview) -> int:
        try:
            return self._socket.send(frame, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError:
            return len(frame)

    def _send_rest(self) -> None:
        while self._bell.get():
            with contextlib.suppress(OSError):
                self._socket.sendall(self._rest[0])
            with self._lock:
                self._rest.popleft()


class ChildWire(Wire[Order]):
    """The child's end."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection, _decode_order)

    def disown(self) -> None:
        """In a fork of this process: say nothing, and do not keep the line open."""
        self._socket.close()

    def leave(self) -> None:
        """Say no more, but let the system hang up, so that the end of the line is our end."""
        self._socket.detach()


def framed(message: Order | News) -> bytes:
    """The message with its length before it, and the sign before that."""
    body = _encoder.encode(message)
    return SIGN + len(body).to_bytes(4, "big") + body
