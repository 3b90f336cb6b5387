"""Protocol: a connection that must send what can be read in one way only, and within bounds."""

import asyncio
from http import HTTPStatus
from typing import Any, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets.datastructures import Headers
from websockets.http11 import MAX_LINE_LENGTH, Request
from websockets.server import ServerProtocol

from mainspring.server.connection.framing import refuse_ambiguous, refused
from mainspring.server.connection.together import Together
from mainspring.server.entry.guard import (
    HEADERS,
    LARGEST_HEADERS,
    LONGEST_URL,
    MOST_HEADERS,
    POLICY,
)
from mainspring.server.forms.problems import SOON, Problem

SLOWEST_HEADERS = 10.0
"""Seconds from when a connection, or a request in it, began to the last header; and from the answer
to the end of a request that was answered before."""

LARGEST_HEAD = 2 * (LARGEST_HEADERS + LONGEST_URL)
"""Bytes that are read of a request line and headers; what is less, but too much, gets an answer."""

MOST_AHEAD = 100
"""Requests that may follow one that has not been answered."""


class Connection(HttpToolsProtocol):
    """Hangs up on whoever keeps it waiting, sends without end, or what is not clear."""

    _late: asyncio.TimerHandle | None = None
    _in_head = True
    _head = 0
    _declined = False
    _answering: Any = None

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
        self._abandon()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            upgraded = self._read(data)
        except HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, Problem) else refused(f"HTTP/1.1: {error}"))
            return
        # Most requests come with all their headers at once, and need no timer.
        if upgraded or not (self._in_head or self.cycle is None or self.cycle.response_complete):
            if self._late is not None:
                self._waited()
        elif self._late is None:
            self._wait()
        elif self._in_head:
            self._head += len(data)
            if self._head > LARGEST_HEAD:
                self.transport.close()

    def _read(self, data: bytes) -> bool:
        """Parse it; whether the connection now speaks another protocol."""
        while True:
            try:
                self.parser.feed_data(data)
                return False
            except HttpParserUpgrade as offer:
                if self._should_upgrade():
                    self.handle_websocket_upgrade()
                    return True
                data = self._decline() + data[offer.args[0] :]

    def _should_upgrade(self) -> bool:
        return super()._should_upgrade() and self._is_handshake()

    def _is_handshake(self) -> bool:
        """Whether WebSockets will take it: what they do not, they answer in words of their own or,
        a body or a long line, never."""
        names = {name for name, _ in self.headers}
        longest = max(len(name) + len(value) for name, value in self.headers)
        if (
            self.parser.get_method() != b"GET"
            or names & {b"content-length", b"transfer-encoding"}
            or len(self.headers) > MOST_HEADERS
            or longest + len(b": \r\n") > MAX_LINE_LENGTH
        ):
            return False
        headers = Headers(
            [(name.decode(), value.decode("latin-1")) for name, value in self.headers]
        )
        return ServerProtocol().accept(Request(self.url.decode(), headers)).status_code == 101

    def _decline(self) -> bytes:
        """Another protocol was offered, by a client that goes on in this one if it is not taken.

        The parser will read no more. A new one is told by these bytes how the body comes; Java's
        HttpClient makes that offer with every first request.
        """
        self._declined = True
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        framing = [
            b"%b: %b\r\n" % header
            for header in self.headers
            if header[0] in (b"content-length", b"transfer-encoding")
        ]
        if not self.cycle.keep_alive:
            framing.append(b"connection: close\r\n")
        return b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing)

    def on_message_begin(self) -> None:
        if not self._declined:
            self._in_head = True
            super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # What comes behind a body may not change what was said, and checked, before it.
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._declined:
            self._declined = False
            return
        refuse_ambiguous(self.parser.get_http_version(), self.url, self.headers)
        if len(self.pipeline) >= MOST_AHEAD:
            raise refused(f"to be waited for after {MOST_AHEAD} requests")
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _abandon(self) -> None:
        """Tell whoever makes an answer that nobody will get it."""
        for cycle in (self._answering, self.cycle):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()

    def _refuse(self, problem: Problem) -> None:
        """Hang up, with an answer where it would be taken for that of this request."""
        before = None if self.cycle is None or self._in_head else self.cycle
        ahead = self._in_head and self.cycle is not None and not self.cycle.response_complete
        answered = before is not None and before.response_started
        if ahead or answered or self.pipeline:
            self._abandon()
            self.transport.close()
        else:
            self._abandon()
            self._end(problem)

    def _end(self, problem: Problem) -> None:
        """Answer at once, and hang up."""
        answer = problem.response()
        headers = [*answer.raw_headers, *HEADERS, POLICY, (b"connection", b"close")]
        lines = [b"%b: %b\r\n" % header for header in headers]
        status = HTTPStatus(problem.status)
        first = b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode())
        self.transport.write(b"".join((first, *lines, b"\r\n", answer.body)))
        self.transport.close()

    def _wait(self) -> None:
        self._head = 0
        self._late = self.loop.call_later(SLOWEST_HEADERS, self.transport.close)

    def _waited(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
