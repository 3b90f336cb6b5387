"""Guard: what every request passes before its route, and every answer on its way back."""

from collections.abc import Awaitable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from itertools import chain

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from mainspring.options import texts
from mainspring.server.asked import GIVEN
from mainspring.server.problems import Problem, problem_of

MOST_HEADERS, LARGEST_HEADERS = 100, 32_000
LONGEST_URL = 8_000

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
"""Of every answer: browsers neither frame, guess nor keep what comes from here."""

READING = frozenset({"GET", "HEAD"})
SAME_SITE = (b"same-origin", b"none")

STARTS = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})
POLICY_VIOLATION = 1008


class Guard:
    """Lets in what names this host and comes from no other site; makes problems of errors.

    A page of another site, also one whose name was made to lead here (DNS rebinding), must get
    nothing done through the browser of somebody who can reach this server.
    """

    def __init__(self, inner: ASGIApp, hosts: Sequence[str]) -> None:
        self._inner = inner
        self._hosts = frozenset({"localhost", *(host.lower() for host in texts(hosts, "hosts"))})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
            return
        begun = False

        def secured(message: Message) -> Awaitable[None]:
            nonlocal begun
            if message["type"] in STARTS:
                begun = True
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            return send(message)

        try:
            self._admit(scope)
            scope["app"] = self  # so that routing raises what it has to say
            await self._inner(scope, receive, secured)
        except ClientDisconnect:
            return
        except Exception as error:
            if begun:
                raise
            if scope["type"] == "websocket" and not _can_answer(scope):
                await WebSocketClose(POLICY_VIOLATION)(scope, receive, secured)
                return
            await problem_of(error).response()(scope, receive, secured)

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
        if not _names(host, self._hosts):
            raise Problem(
                421,
                "misdirected-request",
                f"expected a Host that names this server, got {host.decode('latin-1')!a}",
            )
        origin = given.get(b"origin")
        if origin is not None and origin.partition(b"://")[2].lower() != host.lower():
            raise _foreign(f"origin {origin.decode('latin-1')!a}")
        site = given.get(b"sec-fetch-site", b"none")
        if scope.get("method", "GET") not in READING and site not in SAME_SITE:
            raise _foreign(f"a page that is {site.decode('latin-1')!a}")


def _can_answer(scope: Scope) -> bool:
    """Whether who asks for a WebSocket can be told why there is none."""
    return "websocket.http.response" in (scope.get("extensions") or {})


def _foreign(what: str) -> Problem:
    return Problem(403, "foreign-origin", f"expected a request of this very site, got {what}")


@lru_cache(256)
def _names(host: bytes, known: frozenset[str]) -> bool:
    """Whether a Host header names this machine by loopback, or one of the known names."""
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
        return ip_address(name).is_loopback
    except ValueError:
        return False
