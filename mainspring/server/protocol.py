"""Protocol: a connection that must send its headers within bounds of time and size."""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mainspring.server.guard import LARGEST_HEADERS, LONGEST_URL
from mainspring.server.together import Together

SLOWEST_HEADERS = 10.0
"""Seconds from when a connection, or a request in it, began to the last header."""

LARGEST_HEAD = 2 * (LARGEST_HEADERS + LONGEST_URL)
"""Bytes that are read of a request line and headers; what is less, but too much, gets an answer."""


class Connection(HttpToolsProtocol):
    """Hangs up on whoever keeps it waiting for headers, or sends them without end."""

    _late: asyncio.TimerHandle | None = None
    _in_head = True
    _head = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(cast(asyncio.Transport, Together(transport, self.loop)))
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._waited()
        super().connection_lost(exc)

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
