"""Serve: an app over HTTP on one socket, in this process, until it is told to stop."""

import gc
import socket
from ipaddress import ip_address
from types import FrameType

from uvicorn import Config, Server

from mainspring.app import Mainspring
from mainspring.errors import ConfigError
from mainspring.server.application import over
from mainspring.server.protocol import Connection
from mainspring.server.service import Service

GRACE = 10
"""Seconds that answers may take after the first signal; who only waits is answered at once."""

IDLE = 60
"""Seconds that a connection is kept without a request."""

BACKLOG = 2048

YOUNG = 20_000
"""New objects between two looks for garbage in cycles. Requests leave hardly any; at Python's usual
700 a sixth of the time of a busy server goes into looking for it."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there, port 0 being any that is free.

    `ConfigError` unless other machines are kept out, and if the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ConfigError(f"host: {host!r} is no address of this machine: {error}") from None
    listener = socket.socket(family, kind, protocol)
    try:
        keep_to_this_machine(str(address[0]))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot listen on {host}, port {port}: {error.strerror}") from None
    except ConfigError:
        listener.close()
        raise
    return listener


def keep_to_this_machine(address: str) -> None:
    """`ConfigError` for an address that other machines can reach."""
    if not ip_address(address.partition("%")[0]).is_loopback:
        raise ConfigError(
            f"host: {address} can be reached by other machines, and this server has no keys to"
            " tell who may use it; expected a loopback address, such as 127.0.0.1 (behind a proxy"
            " that asks who is there, if others are to reach it)"
        )


def address_of(listener: socket.socket) -> str:
    """The URL of what listens there."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: Mainspring, listener: socket.socket, *, synap: bool = False) -> None:
    """Answer requests until SIGTERM or SIGINT; the second signal waits for no answer."""
    keep_to_this_machine(listener.getsockname()[0])
    gc.freeze()
    gc.set_threshold(YOUNG)
    HttpServer(app, synap=synap).run([listener])


class HttpServer(Server):
    """Has those who wait answered when it stops, and leaves the exit code to its caller."""

    def __init__(self, app: Mainspring, *, synap: bool = False) -> None:
        self._service = Service(app)
        super().__init__(
            Config(
                over(self._service, synap=synap),
                http=Connection,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=IDLE,
                timeout_graceful_shutdown=GRACE,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.stop()
        await super().shutdown(sockets)
