"""Lines: the ways to a server, a blocking one and one for event loops. The only place that knows
httpx2."""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

from mainspring.client.attempts import Attempts
from mainspring.client.call import Answer, Call
from mainspring.durations import SECOND, Duration, microseconds
from mainspring.errors import ConfigError, InvalidArguments

try:
    import httpx2
except ImportError as error:
    raise ConfigError(
        f"Client: needs the extra 'client' ({error}): pip install 'mainspring[client]'"
    ) from error

R = TypeVar("R")

VARIABLE = "MAINSPRING_API_KEY"

MOST_RETRIES = 100
LIMITS = httpx2.Limits(max_keepalive_connections=20, keepalive_expiry=3.0)
"""As many connections as there are requests at once. One that is idle is closed before the server
does that, lest a request meets the end of it."""

NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
LOST = (httpx2.TransportError, httpx2.DecodingError)


class Settings:
    """Where a server is, and how it is spoken to. `ConfigError`, `InvalidArguments`."""

    def __init__(
        self, url: str, api_key: str | None, timeout: Duration, retries: int, tls: Any
    ) -> None:
        if isinstance(retries, bool) or not isinstance(retries, int):
            raise InvalidArguments(f"retries: expected a whole number, got {retries!r}")
        if not 0 <= retries <= MOST_RETRIES:
            raise InvalidArguments(f"retries: expected 0 to {MOST_RETRIES}, got {retries!r}")
        self.url = _url(url)
        self.retries = retries
        self.timeout = microseconds(timeout, "timeout") / SECOND
        self.tls = tls
        self.headers = {"Accept": "application/json", "User-Agent": "mainspring"}
        if key := _key(api_key):
            self.headers["Authorization"] = f"Bearer {key}"

    def options(self) -> dict[str, Any]:
        """Of httpx2."""
        return {
            "base_url": self.url,
            "headers": self.headers,
            "timeout": self.timeout,
            "verify": self.tls,
            "limits": LIMITS,
        }

    def request(self, call: Call[Any]) -> dict[str, Any]:
        """A call in the words of httpx2."""
        headers = dict(call.headers)
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        return {
            "method": call.method,
            "url": call.path,
            "params": dict(call.query) or None,
            "content": call.body,
            "headers": headers,
            "timeout": httpx2.Timeout(self.timeout, read=self.timeout + call.wait),
        }


class Line:
    """A blocking way. Any number of threads may use it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.retries = settings.retries
        self._http = httpx2.Client(**settings.options())

    def send(self, call: Call[R]) -> R:
        """What the server answers. Sent again after trouble, if that may be. `StoreUnavailable`;
        the errors that answers tell of."""
        attempts = Attempts(call, self.retries, self._settings.url)
        while True:
            try:
                said = self._http.request(**self._settings.request(call))
            except LOST as error:
                pause = attempts.lost(error, sent=not isinstance(error, NOT_SENT))
            else:
                answer = Answer(said.status_code, said.headers, said.content)
                wanted = attempts.answered(answer)
                if wanted is None:
                    return call.result(answer)
                pause = wanted
            time.sleep(pause)

    @contextmanager
    def stream(self, call: Call[None]) -> Iterator[Iterator[bytes]]:
        """The bytes of an answer that goes on, as they come. One of `LOST` when it breaks off."""
        with self._http.stream(**self._settings.request(call)) as said:
            if said.status_code != 200:
                call.result(Answer(said.status_code, said.headers, said.read()))
            yield said.iter_bytes()

    def close(self) -> None:
        """Hang up."""
        self._http.close()


class AsyncLine:
    """The same for one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.retries = settings.retries
        self._http = httpx2.AsyncClient(**settings.options())

    async def send(self, call: Call[R]) -> R:
        """The async twin of `Line.send`."""
        attempts = Attempts(call, self.retries, self._settings.url)
        while True:
            try:
                said = await self._http.request(**self._settings.request(call))
            except LOST as error:
                pause = attempts.lost(error, sent=not isinstance(error, NOT_SENT))
            else:
                answer = Answer(said.status_code, said.headers, said.content)
                wanted = attempts.answered(answer)
                if wanted is None:
                    return call.result(answer)
                pause = wanted
            await asyncio.sleep(pause)

    @asynccontextmanager
    async def stream(self, call: Call[None]) -> AsyncIterator[AsyncIterator[bytes]]:
        """The async twin of `Line.stream`."""
        async with self._http.stream(**self._settings.request(call)) as said:
            if said.status_code != 200:
                call.result(Answer(said.status_code, said.headers, await said.aread()))
            yield said.aiter_bytes()

    async def close(self) -> None:
        """Hang up."""
        await self._http.aclose()


def _url(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname
    except (ValueError, AttributeError, TypeError):
        good = None
    if not good:
        raise ConfigError('url: expected the address of a server, such as "http://localhost:8700"')
    if "@" in parts.netloc:
        raise ConfigError(f"url: expected no user and no password; a key goes into {VARIABLE}")
    if parts.query or parts.fragment:
        raise ConfigError("url: expected no ? and no # in the address of a server")
    return url


def _key(given: str | None) -> str:
    source = VARIABLE if given is None else "api_key"
    found = os.environ.get(VARIABLE, "").strip() if given is None else given
    if found and not re.fullmatch(r"[!-~]{1,500}", found):
        raise ConfigError(f"{source}: expected up to 500 characters of ASCII without spaces")
    return found
