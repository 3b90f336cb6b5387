"""Together: a transport that sends in one piece what is written in one round of the event loop.

A response is written as its head and then its body. Sent apart they cost two system calls here and
may wake the client twice.
"""

import asyncio
from typing import Any


class Together:
    """Stands before a transport; whatever is not about writing goes to that one."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []

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
        if held := self._held:
            self._held = []
            self._transport.write(held[0] if len(held) == 1 else b"".join(held))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
