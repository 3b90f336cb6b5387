"""Together: a transport that sends in one piece what is written in one round of the event loop, and
gives up a client that does not take it.

A response is written as its head and then its body. Sent apart they cost two system calls here and
may wake the client twice.
"""

import asyncio
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from typing import Any

SLOWEST_READER = 30.0
LEAST_READ = 30_000
"""Seconds in which a client has to take what waits for it, or so many bytes of it."""

AT_ONCE = pack("ii", 1, 0)
"""To linger so long: a socket that is closed resets its connection."""


class Together:
    """Stands before a transport; whatever is not about writing goes to that one."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._sent = self._goal = 0
        self._looking = False

    def write(self, data: bytes) -> None:
        """Send it, at the latest in the loop's next round."""
        if not self._held:
            self._loop.call_soon(self._send)
        self._held.append(data)

    def close(self) -> None:
        """Send what was written, and close."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        held, self._held = self._held, []
        if held and not self._transport.is_closing():
            data = held[0] if len(held) == 1 else b"".join(held)
            self._sent += len(data)
            self._transport.write(data)
            if not self._looking and (left := self._transport.get_write_buffer_size()):
                self._look_later(left)

    def _look_later(self, left: int) -> None:
        self._looking = True
        self._goal = self._sent - left + min(left, LEAST_READ)
        self._loop.call_later(SLOWEST_READER, self._look)

    def _look(self) -> None:
        self._looking = False
        if left := self._transport.get_write_buffer_size():
            if self._sent - left < self._goal:
                # With a reset, or the kernel would keep for minutes what is not taken.
                socket = self._transport.get_extra_info("socket")
                socket.setsockopt(SOL_SOCKET, SO_LINGER, AT_ONCE)
                self._transport.abort()
            else:
                self._look_later(left)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
