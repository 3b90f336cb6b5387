"""Served: keys and audit of a store behind a server, by the routes that the server has for them.

The store's own verbs do not reach them from there: who could write them could let himself in.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar, cast
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import asdict

from mainspring.audit import PAGE, Audit, Deed, begin
from mainspring.durations import Duration, instant, microseconds
from mainspring.keys import Home, Key, Keys, NewKey, Permission, possible
from mainspring.options import texts

T = TypeVar("T")

MILLISECOND = 1000
"""Microseconds."""


class Server(Protocol):
    """What a store behind a server can do besides."""

    def request(self, method: str, path: str, form: type[T], body: object = None) -> T:
        """What a route answers, which is JSON of that form."""
        ...


def is_served(url: str) -> bool:
    """Whether a server stands before the store at that URL."""
    return url.startswith(("http://", "https://"))


class KeyTold(Struct, frozen=True, rename="camel"):
    """A key as a server shows it: moments in milliseconds."""

    id: str
    name: str
    permissions: tuple[Permission, ...]
    only: tuple[str, ...]
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    used_at: int | None

    def key(self) -> Key:
        """The key."""
        return Key(
            id=self.id,
            name=self.name,
            permissions=self.permissions,
            only=self.only,
            created=_moment(self.created_at),
            expires=_perhaps(self.expires_at),
            revoked=_perhaps(self.revoked_at),
            used=_perhaps(self.used_at),
        )


class OneKey(Struct, frozen=True):
    """The answer about one key."""

    key: KeyTold
    secret: str = ""


class AllKeys(Struct, frozen=True):
    """The answer about all of them."""

    keys: tuple[KeyTold, ...]


class DeedTold(Struct, frozen=True):
    """A deed as a server shows it."""

    at: int
    name: str
    what: str
    status: int
    key: str | None
    address: str | None
    before: Any
    after: Any

    def deed(self) -> Deed:
        """The deed."""
        return Deed(**asdict(self) | {"at": _moment(self.at)})


class Deeds(Struct, frozen=True):
    """The answer about some of them."""

    deeds: tuple[DeedTold, ...]
    next: str | None


class ServedKeys(Keys):
    """As `Keys`, for whoever has a key with `admin` for all names: else `KeyRefused`."""

    def create(
        self,
        name: str,
        permissions: Iterable[str],
        *,
        only: Iterable[str] = (),
        expires: Duration | None = None,
    ) -> NewKey:
        """As in `Keys`; where the server did not answer, it may have been made all the same."""
        wish = {
            "name": name,
            "permissions": texts(permissions, "permissions"),
            "only": texts(only, "only"),
        }
        if expires is not None:
            wish["expires"] = f"{microseconds(expires, 'expires')}us"
        told = _server(self._home).request("POST", "/keys", OneKey, wish)
        return NewKey(**asdict(told.key.key()), key=told.secret)

    def revoke(self, id: str) -> Key:
        """As in `Keys`."""
        return _server(self._home).request("DELETE", f"/keys/{possible(id)}", OneKey).key.key()

    def list(self) -> Sequence[Key]:
        """As in `Keys`."""
        return [told.key() for told in _server(self._home).request("GET", "/keys", AllKeys).keys]


class ServedAudit(Audit):
    """As `Audit`, for whoever has a key with `admin` for all names: else `KeyRefused`."""

    def since(self, when: datetime | Duration = "1d") -> Iterator[Deed]:
        """As in `Audit`."""
        span = max(0, time.time_ns() // 1000 - begin(when))
        page = {"since": f"{span}us", "limit": PAGE}
        while True:
            told = _server(self._home).request("GET", f"/audit?{urlencode(page)}", Deeds)
            yield from (each.deed() for each in told.deeds)
            if told.next is None:
                return
            page["after"] = told.next


def _server(home: Home) -> Server:
    return cast(Server, home.store)


def _moment(milliseconds: int) -> datetime:
    return instant(milliseconds * MILLISECOND)


def _perhaps(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else _moment(milliseconds)
