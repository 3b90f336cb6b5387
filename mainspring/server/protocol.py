"""Protocol: a connection that must send its headers within bounds of time and size."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mainspring.server.guard import LARGEST_HEADERS, LONGEST_URL

SLOWEST_HEADERS = 10.0
"""Seconds from the first byte of a request, or from the connection's begin, to the last header."""

LARGEST_HEAD = 2 * (LARGEST_HEADERS + LONGEST_URL)
"""Bytes that are read of a request line and headers; what is less, but too much, gets an answer."""


class Connection(HttpToolsProtocol):
    """Closes on whoever keeps it waiting for a request, or buries it in one."""

    _late: asyncio.TimerHandle | None = None
    _head = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._begin()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._end()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        before = self._late
        super().data_received(data)
        if before is not None and self._late is before:
            self._head += len(data)
            if self._head > LARGEST_HEAD:
                self.transport.close()

    def _begin(self) -> None:
        if self._late is None:
            self._head = 0
            self._late = self.loop.call_later(SLOWEST_HEADERS, self.transport.close)

    def _end(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
