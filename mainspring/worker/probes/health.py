"""Health: tells probes whether the workers of this process live and are ready, by port or by file.

A port answers `GET /live` and `GET /ready`, 200 or 503, with one line of JSON. A file is written
anew every two seconds while they live: its age tells that they do, what is in it the rest.
"""

import contextlib
import logging
import os
import re
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from mainspring.errors import ConfigError
from mainspring.worker.probes.vitals import Sign, Watched, all_live, all_ready

log = logging.getLogger("mainspring")

LONGEST_PORT = 65_535
LOOPBACK = "127.0.0.1"

PAUSE = 2.0
"""Seconds between two writes of the file."""

PATIENCE = 2.0
"""Seconds that a client has to ask and to hear the answer."""

MOST_CLIENTS = 64
"""Connections at once; the oldest has to go when there is one more."""

LONGEST_HEAD = 8_192
"""Bytes of a request; more is refused."""

Target: TypeAlias = Path | tuple[str, int]
"""A file, or host and port."""


def target(text: str) -> Target:
    """Where health is told: a port of this machine ("8080"), "HOST:PORT", or the path of a file.
    `ConfigError`."""
    if text.isdecimal():
        return LOOPBACK, _port(text)
    found = re.fullmatch(r"\[([0-9A-Fa-f:.%\w]+)\]:(\d+)|([^:/\[\]]+):(\d+)", text)
    if found:
        return found[1] or found[3], _port(found[2] or found[4])
    if not text.strip() or "\0" in text or re.fullmatch(r"[^/]*:\d*", text):
        raise ConfigError(
            f'health: expected a path, a port, or HOST:PORT such as "0.0.0.0:8080", got {text!r}'
        )
    return Path(text)


@contextlib.contextmanager
def told_at(where: Target, workers: Sequence[Watched]) -> Iterator[str]:
    """Tell there of these workers for the block, from a thread of its own; the value is the place
    in words. `ConfigError` if that cannot be."""
    teller = FileTeller(where, workers) if isinstance(where, Path) else PortTeller(where, workers)
    try:
        yield teller.place
    finally:
        teller.close()


class FileTeller:
    """Writes the file while the workers live, and removes it at the end."""

    def __init__(self, path: Path, workers: Sequence[Watched]) -> None:
        self.place = str(path)
        self._path = path.absolute()
        self._workers = workers
        self._closed = threading.Event()
        self._troubled = False
        try:
            self._write()
        except OSError as error:
            raise ConfigError(f"health: cannot write {self.place}: {error.strerror}") from None
        self._thread = threading.Thread(target=self._run, name="mainspring-health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Remove the file."""
        self._closed.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _run(self) -> None:
        while not self._closed.wait(PAUSE):
            try:
                if all_live(self._workers):  # else what is there grows old
                    self._write()
                self._troubled = False
            except OSError as error:
                if not self._troubled:
                    log.warning("health: cannot write %s: %s", self.place, error.strerror)
                self._troubled = True

    def _write(self) -> None:
        # Put in place whole: whoever reads it never finds half of it.
        new = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            new.write_bytes(_line(live=all_live(self._workers), ready=all_ready(self._workers)))
            new.replace(self._path)
        finally:
            new.unlink(missing_ok=True)


class PortTeller:
    """A small HTTP server: one thread, which waits for no client."""

    def __init__(self, address: tuple[str, int], workers: Sequence[Watched]) -> None:
        host, port = address
        try:
            self._socket = _listening(host, port)
        except (OSError, UnicodeError) as error:
            raise ConfigError(f"health: cannot listen at {host}:{port}: {error}") from None
        told = f"[{host}]" if ":" in host else host
        self.place = f"http://{told}:{self._socket.getsockname()[1]}/live and /ready"
        self._looks: dict[str, Callable[[], Sign]] = {
            "live": lambda: all_live(workers),
            "ready": lambda: all_ready(workers),
        }
        self._clients: dict[socket.socket, _Client] = {}
        self._selector = selectors.DefaultSelector()
        self._stop, self._bell = socket.socketpair()
        for each in (self._socket, self._stop):
            self._selector.register(each, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="mainspring-health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._bell.send(b"x")
        self._thread.join()
        for client in list(self._clients):
            self._drop(client)
        self._selector.close()
        for each in (self._socket, self._stop, self._bell):
            each.close()

    def _run(self) -> None:
        while True:
            ready = self._selector.select(PATIENCE / 4 if self._clients else None)
            for key, _ in ready:
                if key.fileobj is self._stop:
                    return
                if key.fileobj is self._socket:
                    self._welcome()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._clients:
                    self._serve(key.fileobj)
            now = time.monotonic()
            for each in [each for each, client in self._clients.items() if now > client.until]:
                self._drop(each)

    def _welcome(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError as error:  # gone again, or no descriptor is left
            log.debug("health: a client could not be heard: %s", error)
            time.sleep(0.01)
            return
        connection.setblocking(False)
        if len(self._clients) >= MOST_CLIENTS:
            self._drop(next(iter(self._clients)))
        self._clients[connection] = _Client(time.monotonic() + PATIENCE)
        self._selector.register(connection, selectors.EVENT_READ)

    def _serve(self, connection: socket.socket) -> None:
        client = self._clients[connection]
        try:
            if not client.answered:
                data = connection.recv(LONGEST_HEAD)
                client.head += data
                if data and b"\r\n\r\n" not in client.head and len(client.head) < LONGEST_HEAD:
                    return
                client.answered = True
                # One line: it fits into the buffer of any socket.
                connection.send(_answer(client.head, self._looks))
                connection.shutdown(socket.SHUT_WR)
            elif not connection.recv(LONGEST_HEAD):
                # Not before: closed while a client still sends, it would lose the answer.
                self._drop(connection)
        except BlockingIOError:
            return
        except OSError:
            self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        del self._clients[connection]
        self._selector.unregister(connection)
        connection.close()


class _Client:
    """What a client has said, and until when it is waited for."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.head = b""
        self.answered = False


def _answer(request: bytes, looks: dict[str, Callable[[], Sign]]) -> bytes:
    line = re.match(rb"([A-Z]+) /([^ ?]*)(?:\?[^ ]*)? HTTP/1\.[01]\r\n", request)
    if line is None or b"\r\n\r\n" not in request:
        return _response("400 Bad Request", b'{"error":"expected GET /live or GET /ready"}\n')
    method, name = line[1], line[2].decode(errors="replace")
    if name not in looks:
        return _response("404 Not Found", b'{"error":"expected /live or /ready"}\n')
    if method not in (b"GET", b"HEAD"):
        return _response("405 Method Not Allowed", b'{"error":"expected GET"}\n', "Allow: GET\r\n")
    sign = looks[name]()
    status = "200 OK" if sign else "503 Service Unavailable"
    response = _response(status, _line(**{name: sign}))
    return response if method == b"GET" else response.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def _response(status: str, body: bytes, more: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Cache-Control: no-store\r\n{more}Connection: close\r\n\r\n"
    )
    return head.encode() + body


def _line(**signs: Sign) -> bytes:
    told: dict[str, bool | str] = {name: sign.holds for name, sign in signs.items()}
    reasons = dict.fromkeys(sign.reason for sign in signs.values() if sign.reason)
    if reasons:
        told["reason"] = "; ".join(reasons)
    return msgspec.json.encode(told) + b"\n"


def _port(text: str) -> int:
    if len(text) > 5 or int(text) > LONGEST_PORT:
        raise ConfigError(f"health: expected a port from 0 (any free one) to 65535, got {text}")
    return int(text)


def _listening(host: str, port: int) -> socket.socket:
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, proto)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(MOST_CLIENTS)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening
