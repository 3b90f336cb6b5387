"""The HTTP store: every verb, carried to a server and back."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from copy import copy
from typing import Any, TypeVar

import msgspec

from mainspring.cells import Add, Cell, Put
from mainspring.dossier import Dossier
from mainspring.engines.http.address import address, key
from mainspring.engines.http.calls import Calls
from mainspring.engines.http.ears import Ears
from mainspring.engines.http.lines import TIMEOUT, Lines
from mainspring.errors import (
    PartlyUnavailable,
    StoreUnavailable,
    Unsupported,
)
from mainspring.job import (
    Changed,
    Claimed,
    Inserted,
    JobError,
    NewJob,
    Now,
    Record,
    Select,
    Transition,
)
from mainspring.posts import Cursor, NewPost, Page
from mainspring.store import (
    Claim,
    Counts,
    Exchanged,
    Grant,
    Health,
    Line,
    Minute,
    News,
    Note,
    Presence,
    Pulse,
    QueueInfo,
    Settings,
    Signal,
    Traffic,
    Wanted,
)
from mainspring.verbs import LARGEST_CALL, encode

T = TypeVar("T")

PATIENT = 600.0
"""Seconds for verbs whose work grows with what is in the store."""


class HttpStore:
    """A store behind a mainspring server. See `mainspring.store.Store` for what each verb promises.

    `now` is for trying out: a server that works refuses it.
    """

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self._address = address(url)
        self._key = key(api_key)
        self._lines: Lines | None = None
        self._calls: Calls | None = None
        self._ears: Ears | None = None

    # --- life -------------------------------------------------------------------------------

    def open(self) -> None:
        if self._lines is not None:
            return
        lines = Lines(self._address, self._key)
        calls = Calls(lines)
        try:
            calls.greet()
        except BaseException:
            lines.close()
            raise
        self._lines, self._calls, self._ears = lines, calls, Ears(lines)

    def close(self) -> None:
        lines, ears = self._lines, self._ears
        self._lines = self._calls = self._ears = None
        if ears is not None:
            ears.close()
        if lines is not None:
            lines.close()

    def migrate(self) -> int:
        self.open()
        version: int = self._server.call("migrate", timeout=PATIENT)
        return version

    def check(self) -> list[str]:
        wrong: list[str] = self._server.call("check", timeout=PATIENT)
        return wrong

    def health(self) -> Health:
        there: Health = self._server.call("health")
        warnings = there.warnings
        if self._key and not self._address.encrypted and not _is_here(self._address.host):
            warnings += ("the API key crosses the network for all to read: use https://",)
        behind = f"{there.engine} {there.version}" + (f", {there.place}" if there.place else "")
        return msgspec.structs.replace(
            there, engine="http", version=f"a server over {behind}", place="", warnings=warnings
        )

    # --- produce and work -------------------------------------------------------------------

    def insert(
        self, jobs: Sequence[NewJob[Any]], *, connection: Any = None, now: Now | None = None
    ) -> list[Inserted]:
        if connection is not None:
            raise _no_transactions()
        answers: list[Inserted] = self._server.call("insert", jobs, now)
        return answers

    def exchange(
        self,
        transitions: Sequence[Transition],
        claim: Claim | None = None,
        *,
        now: Now | None = None,
    ) -> Exchanged:
        data = encode((transitions, claim, now))
        if len(data) > LARGEST_CALL and len(transitions) > 1:
            half = len(transitions) // 2
            first = self.exchange(transitions[:half], None, now=now)
            rest = self.exchange(transitions[half:], claim, now=now)
            return msgspec.structs.replace(
                rest, lost=first.lost + rest.lost, cancelled=first.cancelled + rest.cancelled
            )
        timeout = TIMEOUT if claim is None else _within(claim.grant.lease)
        answer: Exchanged = self._server.carry("exchange", data, timeout)
        return answer

    def heartbeat(
        self,
        presence: Presence,
        tokens: Sequence[int],
        lease: int,
        notes: Sequence[Note] = (),
        *,
        now: Now | None = None,
    ) -> Pulse:
        timeout = _within(lease // 3)  # so that another line is tried before the lease ends
        pulse: Pulse = self._server.call(
            "heartbeat", presence, tokens, lease, notes, now, timeout=timeout
        )
        return pulse

    def reclaim(self, grant: Grant, limit: int, *, now: Now | None = None) -> list[Claimed]:
        jobs: list[Claimed] = self._server.call("reclaim", grant, limit, now)
        return jobs

    def held(self, tokens: Sequence[int]) -> list[Claimed]:
        jobs: list[Claimed] = self._server.call("held", tokens)
        return jobs

    def transaction(
        self, job: Claimed, transition: Transition, *, lease: int, connection: Any = None
    ) -> AbstractContextManager[Any]:
        raise _no_transactions()

    def upkeep(self, limit: int = 1000, *, now: Now | None = None) -> int:
        touched: int = self._server.call("upkeep", limit, now)
        return touched

    # --- operate ----------------------------------------------------------------------------

    def cancel(self, select: Select, reason: str = "", *, now: Now | None = None) -> Changed:
        changed: Changed = self._server.call("cancel", select, reason, now, timeout=PATIENT)
        return changed

    def replay(self, select: Select, *, now: Now | None = None) -> Changed:
        changed: Changed = self._server.call("replay", select, now, timeout=PATIENT)
        return changed

    def delete(self, select: Select, *, now: Now | None = None) -> Changed:
        changed: Changed = self._server.call("delete", select, now, timeout=PATIENT)
        return changed

    def configure(self, queue: str, settings: Settings) -> QueueInfo:
        info: QueueInfo = self._server.call("configure", queue, settings)
        return info

    def instruct(self, workers: Sequence[str], wanted: Wanted) -> list[str]:
        told: list[str] = self._server.call("instruct", workers, wanted)
        return told

    # --- read -------------------------------------------------------------------------------

    def get(self, ids: Sequence[bytes]) -> list[Record | None]:
        once = list(dict.fromkeys(ids))
        try:
            records: list[Record | None] = self._server.named("get", once)
        except PartlyUnavailable as error:
            raise PartlyUnavailable(
                str(error), _each(ids, once, error.answer), error.missed
            ) from None
        return _each(ids, once, records)

    def find(self, select: Select, *, limit: int = 100, after: int | None = None) -> list[Record]:
        return self._server.listed(
            "find", limit, lambda last, most: (select, most, last.number if last else after)
        )

    def counts(self) -> Counts:
        counts: Counts = self._server.call("counts")
        return counts

    def queues(self) -> list[QueueInfo]:
        queues: list[QueueInfo] = self._server.call("queues")
        return queues

    def traffic(self, queue: str) -> Traffic:
        traffic: Traffic = self._server.call("traffic", queue)
        return traffic

    def position(self, id: bytes) -> int | None:
        place: int | None = self._server.call("position", id)
        return place

    def history(self, id: bytes) -> list[JobError]:
        errors: list[JobError] = self._server.call("history", id)
        return errors

    def logs(self, id: bytes, *, limit: int = 1000) -> list[Line]:
        lines: list[Line] = self._server.call("logs", id, limit)
        return lines

    def workers(self, *, now: Now | None = None) -> list[Presence]:
        heard: list[Presence] = self._server.call("workers", now)
        return heard

    def statistics(self, since: int) -> list[Minute]:
        minutes: list[Minute] = self._server.call("statistics", since)
        return minutes

    # --- entries ----------------------------------------------------------------------------

    def kv_get(self, keys: Sequence[str], *, now: Now | None = None) -> list[Cell | None]:
        return self._server.named("kv_get", keys, now)

    def kv_set(self, puts: Sequence[Put], *, now: Now | None = None) -> list[int]:
        versions: list[int] = self._server.call("kv_set", puts, now)
        return versions

    def kv_add(self, adds: Sequence[Add], *, now: Now | None = None) -> list[int]:
        numbers: list[int] = self._server.call("kv_add", adds, now)
        return numbers

    def kv_touch(
        self, keys: Sequence[str], ttl: int | None, *, now: Now | None = None
    ) -> list[bool]:
        there: list[bool] = self._server.call("kv_touch", keys, ttl, now)
        return there

    def kv_delete(self, keys: Sequence[str], *, now: Now | None = None) -> int:
        removed: int = self._server.call("kv_delete", keys, now)
        return removed

    def kv_scan(
        self, prefix: str = "", *, after: str = "", limit: int = 1000, now: Now | None = None
    ) -> list[Cell]:
        return self._server.listed(
            "kv_scan", limit, lambda last, most: (prefix, last.key if last else after, most, now)
        )

    # --- topics -----------------------------------------------------------------------------

    def post(self, new: Sequence[NewPost], *, now: Now | None = None) -> list[int]:
        numbers: list[int] = self._server.call("post", new, now)
        return numbers

    def posts(self, after: Cursor, *, limit: int = 100) -> Page:
        page: Page = self._server.call("posts", after, limit)
        return page

    def last_post(self) -> Cursor:
        cursor: Cursor = self._server.call("last_post")
        return cursor

    # --- move -------------------------------------------------------------------------------

    def dump(self, after: int = 0, limit: int = 1000) -> list[Dossier]:
        return self._server.listed(
            "dump", limit, lambda last, most: (last.number if last else after, most), PATIENT
        )

    def restore(self, dossiers: Sequence[Dossier]) -> int:
        new: int = self._server.call("restore", dossiers, timeout=PATIENT)
        return new

    # --- what is behind other routes --------------------------------------------------------

    def request(self, method: str, path: str, form: type[T], body: object = None) -> T:
        """What a route of the server answers, which is JSON of that form. With a body it is not
        repeated once it was sent."""
        return self._server.request(method, path, form, body)

    # --- signals ----------------------------------------------------------------------------

    def listen(self, news: News = News.JOBS) -> Signal:
        if self._ears is None:
            raise self._not_open()
        return self._ears.listen(news)

    # --- the way there -----------------------------------------------------------------------

    @property
    def _server(self) -> Calls:
        if self._calls is None:
            raise self._not_open()
        return self._calls

    def _not_open(self) -> StoreUnavailable:
        return StoreUnavailable(f"{self._address.shown}: the store is not open")


def _within(lease: int) -> float:
    """Seconds to wait for what is of no use when the lease is over."""
    return min(TIMEOUT, max(1.0, lease / 1_000_000))


def _each(
    ids: Sequence[bytes], once: Sequence[bytes], records: list[Record | None]
) -> list[Record | None]:
    """The records of these ids, of which each was asked for once. No two are the same object."""
    if len(once) == len(ids):
        return records
    found = dict(zip(once, records, strict=True))
    return [copy(found[id]) for id in ids]


def _is_here(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host == "::1"


def _no_transactions() -> Unsupported:
    return Unsupported(
        "a transaction cannot be shared with a server: expected no connection, and a task that"
        " does without transaction()"
    )
