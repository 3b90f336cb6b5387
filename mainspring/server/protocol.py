"""Protocol: connections that send and read within bounds of time and size."""

import asyncio
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from mainspring.server.guard import HEADERS, LARGEST_HEADERS, LONGEST_URL, POLICY
from mainspring.server.problems import SOON, Problem
from mainspring.server.together import Together

SLOWEST_HEADERS = 10.0
"""Seconds from when a connection, or a request in it, began to the last header."""

SLOWEST_READER = 30.0
"""Seconds for which a client may leave unread so much that nothing more can be sent."""

LARGEST_HEAD = 2 * (LARGEST_HEADERS + LONGEST_URL)
"""Bytes that are read of a request line and headers; what is less, but too much, gets an answer."""


class Patience:
    """Hangs up on whoever does not read what it is sent."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _stuck: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """There is no more room for what is sent."""
        super().pause_writing()  # type: ignore[misc]
        self._stuck = self.loop.call_later(SLOWEST_READER, self.transport.abort)

    def resume_writing(self) -> None:
        """There is again."""
        self._unstuck()
        super().resume_writing()  # type: ignore[misc]

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._unstuck()
        super().connection_lost(exc)  # type: ignore[misc]

    def _unstuck(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None


class Socket(Patience, WebSocketsSansIOProtocol):
    """A WebSocket."""


class Connection(Patience, HttpToolsProtocol):
    """Hangs up on whoever keeps it waiting for headers, or sends them without end."""

    _late: asyncio.TimerHandle | None = None
    _in_head = True
    _head = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # One too many is answered here, and as everything else is.
        self._most, self.limit_concurrency = self.limit_concurrency, None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(cast(asyncio.Transport, Together(transport, self.loop)))
        if self._most is not None and len(self.connections) > self._most:
            detail = f"{self._most:,} connections are open"
            self._end(Problem(503, "busy", detail, SOON))
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._waited()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        self._end(Problem(400, "bad-request", "expected a request in HTTP/1.1"))

    def _end(self, problem: Problem) -> None:
        """Answer at once, and hang up."""
        answer = problem.response()
        headers = [*answer.raw_headers, *HEADERS, POLICY, (b"connection", b"close")]
        lines = [b"%b: %b\r\n" % header for header in headers]
        status = HTTPStatus(problem.status)
        first = b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode())
        self.transport.write(b"".join((first, *lines, b"\r\n", answer.body)))
        self.transport.close()

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Most requests come with all their headers at once, and need no timer.
        if not self._in_head:
            if self._late is not None:
                self._waited()
        elif self._late is None:
            self._wait()
        else:
            self._head += len(data)
            if self._head > LARGEST_HEAD:
                self.transport.close()

    def _wait(self) -> None:
        self._head = 0
        self._late = self.loop.call_later(SLOWEST_HEADERS, self.transport.close)

    def _waited(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
