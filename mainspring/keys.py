"""Keys: who may use a server, for what and for how long. `app.keys`."""

import hmac
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mainspring.cells import OWN, Put
from mainspring.durations import LATEST, Duration, instant, microseconds
from mainspring.errors import InvalidArguments, UnknownAccessKey
from mainspring.options import text, texts
from mainspring.store import Store
from mainspring.twins import in_thread

KEYS, USES = f"{OWN}key/", f"{OWN}used/"
PAGE = 1000

WRITTEN = re.compile(r"ms_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", re.ASCII)
"""A key as it is written: its id, and 256 random bits that are kept nowhere."""

_ID = re.compile(r"[0-9a-f]{16}")


class Permission(StrEnum):
    """What a caller may do. `ADMIN` may all of it; `OPEN` is for everybody, `ANY` for whoever has a
    key, whatever it is for."""

    OPEN = "open"
    ANY = "any"
    READ = "read"
    ENQUEUE = "enqueue"
    WORK = "work"
    ADMIN = "admin"


GIVEN = (Permission.READ, Permission.ENQUEUE, Permission.WORK, Permission.ADMIN)
"""What a key can have."""


class Home(Protocol):
    """What keys need of the app they belong to."""

    @property
    def store(self) -> Store: ...


class Key(Struct, frozen=True, kw_only=True):
    """What is known of a key. `only` are patterns (`*` any run of characters, `?` one) of the names
    of queues, entries and topics that it may use, none: all. `used` is when a server last let it
    in, to the minute."""

    id: str
    name: str
    permissions: tuple[Permission, ...]
    only: tuple[str, ...]
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None
    used: datetime | None = None


class NewKey(Key, frozen=True, kw_only=True):
    """A key that was just made. `key` is what its holder has to show; it cannot be read again."""

    key: str


class Lock(Struct, frozen=True, kw_only=True):
    """What the store keeps of a key; moments in microseconds (wall clock)."""

    digest: bytes
    name: str
    permissions: tuple[Permission, ...]
    only: tuple[str, ...] = ()
    created: int
    expires: int | None = None
    revoked: int | None = None
    used: int | None = None

    def opens_to(self, secret: str) -> bool:
        """Whether that is the secret of the key, at the same speed if it is nearly."""
        return hmac.compare_digest(sha256(secret.encode()).digest(), self.digest)

    def refusal(self, now: int) -> str | None:
        """Why nobody is let in by it any more, if so."""
        if self.revoked is not None:
            return "it was revoked"
        if self.expires is not None and self.expires <= now:
            return "it has expired"
        return None


_LOCK = msgspec.json.Decoder(Lock)


class Keys:
    """The keys of a store, for the servers over it. Every method has an async twin with an "a" in
    front. Servers hear of a change within 5 seconds."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def create(
        self,
        name: str,
        permissions: Iterable[str],
        *,
        only: Iterable[str] = (),
        expires: Duration | None = None,
    ) -> NewKey:
        """A new key, some of "read", "enqueue", "work" and "admin" (all of it), for good or for
        the time that `expires` says. `InvalidArguments` for what does not fit."""
        now = _now()
        id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        lock = Lock(
            digest=sha256(secret.encode()).digest(),
            name=text(name, "name"),
            permissions=_permissions(permissions),
            only=_patterns(only),
            created=now,
            expires=_end(expires, now),
        )
        self._home.store.kv_set([Put(KEYS + id, msgspec.json.encode(lock), expected=0)])
        return NewKey(**msgspec.structs.asdict(_key(id, lock)), key=f"ms_{id}_{secret}")

    def revoke(self, id: str) -> Key:
        """Let nobody in by that key any more; repeatable. `UnknownAccessKey`."""
        lock = self.lock(possible(id))
        if lock is None:
            raise _unknown(id)
        if lock.revoked is None:
            # Nothing else ever changes it, and of two revokes either may be the last.
            lock = replace(lock, revoked=_now())
            self._home.store.kv_set([Put(KEYS + id, msgspec.json.encode(replace(lock, used=None)))])
        return _key(id, lock)

    def exist(self) -> bool:
        """Whether there is any, also one that was revoked or has expired."""
        return bool(self._home.store.kv_scan(KEYS, limit=1))

    def lock(self, id: str) -> Lock | None:
        """What the store keeps of a key; None if there is none."""
        cell, used = self._home.store.kv_get([KEYS + id, USES + id])
        if cell is None:
            return None
        return replace(_LOCK.decode(cell.value), used=used and int(used.value))

    def mark(self, id: str) -> None:
        """Note that somebody was let in by this key now."""
        self._home.store.kv_set([Put(USES + id, b"%d" % _now())])

    def list(self) -> Sequence[Key]:
        """All of them, the newest first, those that hold no more among them."""
        used = {id: int(value) for id, value in self._all(USES)}
        found = [
            _key(id, replace(_LOCK.decode(value), used=used.get(id)))
            for id, value in self._all(KEYS)
        ]
        return sorted(found, key=lambda key: key.created, reverse=True)

    def _all(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        after = ""
        while page := self._home.store.kv_scan(prefix, after=after, limit=PAGE):
            for cell in page:
                yield cell.key.removeprefix(prefix), cell.value
            after = page[-1].key

    acreate = in_thread(create)
    arevoke = in_thread(revoke)
    alist = in_thread(list)


def possible(id: str) -> str:
    """The id, if a key can have it; `UnknownAccessKey`."""
    if not _ID.fullmatch(text(id, "id")):
        raise _unknown(id)
    return id


def _unknown(id: str) -> UnknownAccessKey:
    return UnknownAccessKey(f"no key has the id {id!a}")


def _key(id: str, lock: Lock) -> Key:
    return Key(
        id=id,
        name=lock.name,
        permissions=lock.permissions,
        only=lock.only,
        created=instant(lock.created),
        expires=None if lock.expires is None else instant(lock.expires),
        revoked=None if lock.revoked is None else instant(lock.revoked),
        used=None if lock.used is None else instant(lock.used),
    )


def _permissions(given: Iterable[str]) -> tuple[Permission, ...]:
    found = texts(given, "permissions")
    known = ", ".join(GIVEN)
    for each in found:
        if each not in GIVEN:
            raise InvalidArguments(f"permissions: expected some of {known}, got {each!r}")
    if not found:
        raise InvalidArguments(f"permissions: expected some of {known}, got none")
    return tuple(each for each in GIVEN if each in found)


def _patterns(given: Iterable[str]) -> tuple[str, ...]:
    found = texts(given, "only")
    for each in found:
        if "[" in each:
            raise InvalidArguments(f'only: expected names, with "*" and "?", got {each!r}')
    return found


def _end(expires: Duration | None, now: int) -> int | None:
    if expires is None:
        return None
    if (span := microseconds(expires, "expires")) == 0:
        raise InvalidArguments(f"expires: expected more than 0 seconds, got {expires!r}")
    return min(now + span, LATEST)


def _now() -> int:
    return time.time_ns() // 1000
