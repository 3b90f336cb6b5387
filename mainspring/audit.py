"""Audit: what was changed by way of servers that only who may change everything can change.
`app.audit`."""

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from mainspring.cells import OWN, Put
from mainspring.durations import DAY, Duration, microseconds, moment
from mainspring.ids import new_id
from mainspring.store import Store

DEEDS = f"{OWN}audit/"
KEPT = 90 * DAY
PAGE = 1000


class Home(Protocol):
    """What an audit needs of the app it belongs to."""

    @property
    def store(self) -> Store: ...


class Deed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that was done. `key` is the id of the key by which it was, and `name` its name;
    `what` is the method and the path, `before` and `after` what that changed, where it says so."""

    at: datetime
    name: str
    what: str
    status: int
    key: str | None = None
    address: str | None = None
    before: Any = None
    after: Any = None


_DEED = msgspec.json.Decoder(Deed)


class Audit:
    """What was done in the last 90 days. Entries are only ever added."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def add(self, deed: Deed) -> None:
        """Keep it."""
        put = Put(DEEDS + new_id().hex(), msgspec.json.encode(deed), KEPT, expected=0)
        self._home.store.kv_set([put])

    def since(self, when: datetime | Duration = "1d") -> Iterator[Deed]:
        """What was done since that moment, or for so long, the oldest first; read a thousand at a
        time while one goes on."""
        place = place_of(begin(when))
        while page := self.page(place):
            yield from (deed for _, deed in page)
            place = page[-1][0]

    def page(self, after: str, limit: int = PAGE) -> list[tuple[str, Deed]]:
        """What was done behind a place, the oldest first, each with its own."""
        cells = self._home.store.kv_scan(DEEDS, after=DEEDS + after, limit=limit)
        return [(cell.key.removeprefix(DEEDS), _DEED.decode(cell.value)) for cell in cells]


def begin(when: datetime | Duration, what: str = "when") -> int:
    """That moment, or the one so long ago, in microseconds."""
    if isinstance(when, datetime):
        return moment(when, what)
    return max(0, time.time_ns() // 1000 - microseconds(when, what))


def place_of(at: int) -> str:
    """Before all that was done since then. Ids begin with the milliseconds of their time."""
    return f"{at // 1000:012x}"
