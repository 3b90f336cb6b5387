"""Serve: an app over HTTP on one socket, in this process, until it is told to stop."""

import asyncio
import gc
import socket
from collections.abc import Iterator
from types import FrameType

from uvicorn import Config, Server
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from mainspring.app import Mainspring
from mainspring.errors import ConfigError
from mainspring.server.application import over
from mainspring.server.backend.service import Service
from mainspring.server.connection.certificates import Renewal
from mainspring.server.connection.protocol import Connection
from mainspring.server.terms import Terms, is_loopback

GRACE = 10
"""Seconds that answers may take after the first signal; who only waits is answered at once."""

IDLE = 60
"""Seconds that a connection is kept without a request."""

BACKLOG = 2048

GONE = 60
"""Seconds after which a client is taken to be gone that acknowledges nothing of what was sent, such
as one whose cable was pulled; the system itself would try for a quarter of an hour."""

LARGEST_FRAME = 4096
"""Bytes of what may come over a WebSocket, where nobody has much to say."""

PING = 20
"""Seconds between two pings, and for the answer to one."""

YOUNG = 20_000
"""New objects between two looks for garbage in cycles. Requests leave hardly any; at Python's usual
700 a sixth of the time of a busy server goes into looking for it."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there, port 0 being any that is free. `ConfigError` if none can."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ConfigError(f"host: {host!r} is no address of this machine: {error}") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # what is accepted there inherits it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * GONE)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot listen on {host}, port {port}: {error.strerror}") from None
    return listener


def refuse_to_be_open(app: Mainspring, listener: socket.socket, terms: Terms) -> None:
    """`ConfigError` if other machines could do by way of the server what nobody allowed them."""
    address = listener.getsockname()[0]
    if is_loopback(address):
        return
    reached = f"host: {address} can be reached by other machines"
    if terms.tls is None and not terms.proxies and not terms.plain:
        raise ConfigError(
            f"{reached}, and keys would go there for all to read; expected --tls-cert and"
            " --tls-key, or --behind-proxy with the addresses of proxies that have them"
        )
    if terms.keys and not app.keys.exist():
        raise ConfigError(
            f"{reached}, and there is no key by which to tell who may use it; make one with:"
            " mainspring keys create NAME admin"
        )


def warnings(listener: socket.socket, terms: Terms) -> Iterator[str]:
    """What should not stay as it is, in words."""
    if terms.keys is False:
        yield "no keys are asked for (--insecure-no-auth): who can reach the server can do all"
    if terms.plain and terms.tls is None and not is_loopback(listener.getsockname()[0]):
        yield "keys and jobs go over the network for all to read (--insecure-no-tls)"


def address_of(listener: socket.socket, terms: Terms) -> str:
    """The URL of what listens there."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if terms.tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def serve(app: Mainspring, listener: socket.socket, terms: Terms) -> None:
    """Answer requests until SIGTERM or SIGINT; the second signal waits for no answer."""
    refuse_to_be_open(app, listener, terms)
    gc.freeze()
    gc.set_threshold(YOUNG)
    HttpServer(app, terms).run([listener])


class HttpServer(Server):
    """Has those who wait answered when it stops, and leaves the exit code to its caller."""

    def __init__(self, app: Mainspring, terms: Terms | None = None) -> None:
        terms = terms or Terms()
        self.service = Service(app, waits=terms.waits)
        config = Config(
            over(self.service, terms),
            http=Connection,
            ws=WebSocketsSansIOProtocol,
            ws_max_size=LARGEST_FRAME,
            ws_per_message_deflate=False,
            ws_ping_interval=PING,
            ws_ping_timeout=PING,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=terms.connections,
            timeout_keep_alive=IDLE,
            timeout_graceful_shutdown=GRACE,
        )
        config.load()
        self._renewal = None if terms.tls is None else Renewal(terms.tls)
        config.ssl = None if self._renewal is None else self._renewal.context
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._renewal is not None:
            self._renewal.watch(asyncio.get_running_loop())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.service.stop()
        await super().shutdown(sockets)
