"""Together: a transport that sends in one piece what is written in one round of the event loop, and
gives up a client that does not take it.

A response is written as its head and then its body. Sent apart they cost two system calls here and
may wake the client twice.
"""

import asyncio
from typing import Any

LEAST_TAKEN = 30_000
PATIENCE = 30.0
"""So many bytes a client takes in so many seconds, while more waits for it."""


class Together:
    """Stands before a transport; whatever is not about writing goes to that one."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._sent = self._taken = 0
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
        self._taken = self._sent - left
        self._loop.call_later(PATIENCE, self._look)

    def _look(self) -> None:
        self._looking = False
        if left := self._transport.get_write_buffer_size():
            if self._sent - left < self._taken + LEAST_TAKEN:
                self._transport.abort()
            else:
                self._look_later(left)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
