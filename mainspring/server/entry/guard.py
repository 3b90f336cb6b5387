"""Guard: what every request passes before its route, and every answer on its way back."""

import time
from collections.abc import Awaitable, Collection
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from itertools import chain

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from mainspring.options import texts
from mainspring.server.backend.service import Service
from mainspring.server.entry import access
from mainspring.server.entry.keyring import Keyring
from mainspring.server.entry.paths import READING
from mainspring.server.entry.peers import Peers
from mainspring.server.entry.rates import Rates, source
from mainspring.server.entry.recorder import RECORDER, Recorder
from mainspring.server.forms.asked import GIVEN
from mainspring.server.forms.problems import Problem, problem_of
from mainspring.server.permissions.callers import ASKING, CALLER, EVERYBODY, NOBODY, Caller
from mainspring.server.terms import Terms

MOST_HEADERS, LARGEST_HEADERS = 100, 32_000
LONGEST_URL = 8_000

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
"""Of every answer: browsers neither frame, guess nor keep what comes from here."""

SAME_SITE = (b"same-origin", b"none")

STARTS = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})
POLICY_VIOLATION = 1008

LASTING = 1.0
"""Seconds after which it is looked again whether a key still holds, before more is said."""


class Guard:
    """Lets in what names this host, comes from no other site, and has a key where one is needed;
    makes problems of errors.

    A page of another site, also one whose name was made to lead here (DNS rebinding), must get
    nothing done through the browser of somebody who can reach this server. `open_paths` are those
    that need no key.
    """

    def __init__(
        self, inner: ASGIApp, service: Service, terms: Terms, open_paths: Collection[str]
    ) -> None:
        hosts = texts(terms.hosts, "hosts")
        self._inner = inner
        self._hosts = frozenset({"localhost", *(host.lower().rstrip(".") for host in hosts)})
        self._open = frozenset(open_paths)
        self._peers = Peers(terms.proxies) if terms.proxies else None
        self._rates = Rates(terms.rate) if terms.rate else None
        self._recorder = Recorder(service)
        self.keyring = Keyring(service, terms.keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
            return
        passage = Passage(self.keyring, receive, send)
        try:
            if self._peers is not None:
                self._peers.correct(scope)
            self._admit(scope)
            if self._rates is not None or not self.keyring.idle():
                passage.caller = await self._identify(scope)
            scope[RECORDER] = self._recorder
            scope["app"] = self  # so that routing raises what it has to say
            inner_receive = passage.receive if scope["type"] == "websocket" else receive
            await self._inner(scope, inner_receive, passage.send)
        except (ClientDisconnect, Over):
            return
        except Exception as error:
            if passage.begun:
                raise
            await _refuse(error, scope, receive, passage)
        finally:
            if access.wanted():
                access.tell(scope, passage.status, time.monotonic() - passage.began)

    def _admit(self, scope: Scope) -> None:
        if len(scope["path"]) + len(scope["query_string"]) > LONGEST_URL:
            raise Problem(414, "uri-too-long", f"expected at most {LONGEST_URL:,} characters")
        headers = scope["headers"]
        size = len(b"".join(chain.from_iterable(headers)))
        if len(headers) > MOST_HEADERS or size > LARGEST_HEADERS:
            raise Problem(
                431,
                "headers-too-large",
                f"expected at most {MOST_HEADERS} headers of {LARGEST_HEADERS:,} bytes in all,"
                f" got {len(headers)} of {size:,}",
                {"Connection": "close"},
            )
        scope[GIVEN] = given = dict(headers)
        host = given.get(b"host", b"")
        server = scope.get("server")
        if not _names(host, self._hosts, server[0] if server else None):
            raise Problem(
                421,
                "misdirected-request",
                f"expected a Host that names this server, got {host.decode('latin-1')!a}",
            )
        origin = given.get(b"origin")
        if origin is not None and origin.partition(b"://")[2].lower() != host.lower():
            raise _foreign(f"origin {origin.decode('latin-1')!a}")
        site = given.get(b"sec-fetch-site", b"none")
        if site not in SAME_SITE and scope.get("method") not in READING:
            raise _foreign(f"a page that is {site.decode('latin-1')!a}")

    async def _identify(self, scope: Scope) -> Caller:
        """Who asks; without a key that holds, only for what is open to all."""
        rates, client = self._rates, scope.get("client")
        address = source(client[0]) if rates is not None and client else ""
        if rates is not None:
            rates.take(address)
        try:
            caller = await self.keyring.caller(scope[GIVEN].get(b"authorization"))
        except Exception as error:
            if rates is not None and isinstance(error, Problem) and error.status == 401:
                rates.fail(address)
            if scope["path"].removeprefix(scope.get("root_path", "")) not in self._open:
                raise
            caller = NOBODY
        if rates is not None and caller.key:
            rates.take(caller.key)
        scope[CALLER] = caller
        ASKING.set(caller)
        return caller


class Over(Exception):
    """The key by which somebody was let in does not hold any more; nothing is left to be told."""


class Passage:
    """One request on its way, and what comes back. What lasts goes on only while its key holds."""

    def __init__(self, keyring: Keyring, receive: Receive, send: Send) -> None:
        self.caller = EVERYBODY
        self.begun = False
        self.status: int | None = None
        self._keyring = keyring
        self._receive = receive
        self._send = send
        self.began = self._looked = time.monotonic()

    def send(self, message: Message) -> Awaitable[None]:
        """What the route says, if it is still to be heard."""
        if time.monotonic() - self._looked > LASTING:
            return self._send_if_it_holds(message)
        return self._pass(message)

    def _pass(self, message: Message) -> Awaitable[None]:
        if message["type"] in STARTS:
            self.begun = True
            self.status = message.get("status", 101)
            given = message.get("headers", ())
            message["headers"] = [*given, *HEADERS]
            if POLICY[0] not in dict(given):  # a page says what itself may load
                message["headers"].append(POLICY)
        return self._send(message)

    async def _send_if_it_holds(self, message: Message) -> None:
        await self._look_again()
        await self._pass(message)

    async def receive(self) -> Message:
        """What comes over a WebSocket."""
        message = await self._receive()
        if time.monotonic() - self._looked > LASTING:
            await self._look_again()
        return message

    async def _look_again(self) -> None:
        self._looked = time.monotonic()
        if await self._keyring.holds(self.caller):
            return
        if not self.begun:
            raise Problem(401, "unauthorized", "expected a key that holds until the answer")
        if self.status == 101:
            await self._send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        raise Over


async def _refuse(error: Exception, scope: Scope, receive: Receive, passage: Passage) -> None:
    answer = problem_of(error).response()
    if scope["type"] == "websocket" and not _can_answer(scope):
        passage.status = answer.status_code
        await WebSocketClose(POLICY_VIOLATION)(scope, receive, passage.send)
        return
    await answer(scope, receive, passage.send)


def _can_answer(scope: Scope) -> bool:
    """Whether who asks for a WebSocket can be told why there is none."""
    return "websocket.http.response" in (scope.get("extensions") or {})


def _foreign(what: str) -> Problem:
    return Problem(403, "foreign-origin", f"expected a request of this very site, got {what}")


@lru_cache(256)
def _names(host: bytes, known: frozenset[str], own: str | None) -> bool:
    """Whether a Host header names this machine: by loopback, a known name, or the very address at
    which the request came in."""
    name = host.decode("latin-1").lower()
    if name.startswith("["):
        name, _, port = name[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = name.partition(":")
    if port and not port.isdecimal():
        return False
    if name.rstrip(".") in known:
        return True
    try:
        address = ip_address(name)
        return address.is_loopback or (own is not None and address == _address(own))
    except ValueError:
        return False


def _address(text: str) -> object:
    found = ip_address(text.partition("%")[0])
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found
