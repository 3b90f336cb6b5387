"""The HTTP store: every verb, carried to a server and back."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from copy import copy
from typing import Any, TypeVar

import msgspec

from mainspring.cells import Add, Cell, Put
from mainspring.dossier import Dossier
from mainspring.engines.http.address import address, key
from mainspring.engines.http.ears import Ears
from mainspring.engines.http.lines import TIMEOUT, Lines, Wish
from mainspring.engines.http.trouble import trouble
from mainspring.errors import (
    PartlyUnavailable,
    PayloadTooLarge,
    SchemaError,
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
from mainspring.verbs import (
    CUT,
    LARGEST_CALL,
    MEDIA_TYPE,
    MOST_NAMED,
    PROTOCOL,
    VERBS,
    Greeting,
    encode,
)

T = TypeVar("T")

PATIENT = 600.0
"""Seconds for verbs whose work grows with what is in the store."""

ONCE = frozenset(
    {"cancel", "replay", "delete", "kv_set", "kv_add", "kv_touch", "kv_delete", "post"}
)
"""What would do more, or answer otherwise, if it were done twice."""

_read_greeting = msgspec.json.Decoder(Greeting).decode


class HttpStore:
    """A store behind a mainspring server. See `mainspring.store.Store` for what each verb promises.

    `now` is for trying out: a server that works refuses it.
    """

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self._address = address(url)
        self._key = key(api_key)
        self._lines: Lines | None = None
        self._ears: Ears | None = None

    # --- life -------------------------------------------------------------------------------

    def open(self) -> None:
        if self._lines is not None:
            return
        lines = Lines(self._address, self._key)
        try:
            _greet(lines)
        except BaseException:
            lines.close()
            raise
        self._lines, self._ears = lines, Ears(lines)

    def close(self) -> None:
        lines, ears = self._lines, self._ears
        self._lines = self._ears = None
        if ears is not None:
            ears.close()
        if lines is not None:
            lines.close()

    def migrate(self) -> int:
        self.open()
        version: int = self._call("migrate", timeout=PATIENT)
        return version

    def check(self) -> list[str]:
        wrong: list[str] = self._call("check", timeout=PATIENT)
        return wrong

    def health(self) -> Health:
        there: Health = self._call("health")
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
        answers: list[Inserted] = self._call("insert", jobs, now)
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
        answer: Exchanged = self._carry("exchange", data, timeout)
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
        pulse: Pulse = self._call("heartbeat", presence, tokens, lease, notes, now, timeout=timeout)
        return pulse

    def reclaim(self, grant: Grant, limit: int, *, now: Now | None = None) -> list[Claimed]:
        jobs: list[Claimed] = self._call("reclaim", grant, limit, now)
        return jobs

    def held(self, tokens: Sequence[int]) -> list[Claimed]:
        jobs: list[Claimed] = self._call("held", tokens)
        return jobs

    def transaction(
        self, job: Claimed, transition: Transition, *, lease: int, connection: Any = None
    ) -> AbstractContextManager[Any]:
        raise _no_transactions()

    def upkeep(self, limit: int = 1000, *, now: Now | None = None) -> int:
        touched: int = self._call("upkeep", limit, now)
        return touched

    # --- operate ----------------------------------------------------------------------------

    def cancel(self, select: Select, reason: str = "", *, now: Now | None = None) -> Changed:
        changed: Changed = self._call("cancel", select, reason, now, timeout=PATIENT)
        return changed

    def replay(self, select: Select, *, now: Now | None = None) -> Changed:
        changed: Changed = self._call("replay", select, now, timeout=PATIENT)
        return changed

    def delete(self, select: Select, *, now: Now | None = None) -> Changed:
        changed: Changed = self._call("delete", select, now, timeout=PATIENT)
        return changed

    def configure(self, queue: str, settings: Settings) -> QueueInfo:
        info: QueueInfo = self._call("configure", queue, settings)
        return info

    def instruct(self, workers: Sequence[str], wanted: Wanted) -> list[str]:
        told: list[str] = self._call("instruct", workers, wanted)
        return told

    # --- read -------------------------------------------------------------------------------

    def get(self, ids: Sequence[bytes]) -> list[Record | None]:
        once = list(dict.fromkeys(ids))
        try:
            records: list[Record | None] = self._named("get", once)
        except PartlyUnavailable as error:
            raise PartlyUnavailable(
                str(error), _each(ids, once, error.answer), error.missed
            ) from None
        return _each(ids, once, records)

    def find(self, select: Select, *, limit: int = 100, after: int | None = None) -> list[Record]:
        return self._listed(
            "find", limit, lambda last, most: (select, most, last.number if last else after)
        )

    def counts(self) -> Counts:
        counts: Counts = self._call("counts")
        return counts

    def queues(self) -> list[QueueInfo]:
        queues: list[QueueInfo] = self._call("queues")
        return queues

    def traffic(self, queue: str) -> Traffic:
        traffic: Traffic = self._call("traffic", queue)
        return traffic

    def position(self, id: bytes) -> int | None:
        place: int | None = self._call("position", id)
        return place

    def history(self, id: bytes) -> list[JobError]:
        errors: list[JobError] = self._call("history", id)
        return errors

    def logs(self, id: bytes, *, limit: int = 1000) -> list[Line]:
        lines: list[Line] = self._call("logs", id, limit)
        return lines

    def workers(self, *, now: Now | None = None) -> list[Presence]:
        heard: list[Presence] = self._call("workers", now)
        return heard

    def statistics(self, since: int) -> list[Minute]:
        minutes: list[Minute] = self._call("statistics", since)
        return minutes

    # --- entries ----------------------------------------------------------------------------

    def kv_get(self, keys: Sequence[str], *, now: Now | None = None) -> list[Cell | None]:
        return self._named("kv_get", keys, now)

    def kv_set(self, puts: Sequence[Put], *, now: Now | None = None) -> list[int]:
        versions: list[int] = self._call("kv_set", puts, now)
        return versions

    def kv_add(self, adds: Sequence[Add], *, now: Now | None = None) -> list[int]:
        numbers: list[int] = self._call("kv_add", adds, now)
        return numbers

    def kv_touch(
        self, keys: Sequence[str], ttl: int | None, *, now: Now | None = None
    ) -> list[bool]:
        there: list[bool] = self._call("kv_touch", keys, ttl, now)
        return there

    def kv_delete(self, keys: Sequence[str], *, now: Now | None = None) -> int:
        removed: int = self._call("kv_delete", keys, now)
        return removed

    def kv_scan(
        self, prefix: str = "", *, after: str = "", limit: int = 1000, now: Now | None = None
    ) -> list[Cell]:
        return self._listed(
            "kv_scan", limit, lambda last, most: (prefix, last.key if last else after, most, now)
        )

    # --- topics -----------------------------------------------------------------------------

    def post(self, new: Sequence[NewPost], *, now: Now | None = None) -> list[int]:
        numbers: list[int] = self._call("post", new, now)
        return numbers

    def posts(self, after: Cursor, *, limit: int = 100) -> Page:
        page: Page = self._call("posts", after, limit)
        return page

    def last_post(self) -> Cursor:
        cursor: Cursor = self._call("last_post")
        return cursor

    # --- move -------------------------------------------------------------------------------

    def dump(self, after: int = 0, limit: int = 1000) -> list[Dossier]:
        return self._listed(
            "dump", limit, lambda last, most: (last.number if last else after, most), PATIENT
        )

    def restore(self, dossiers: Sequence[Dossier]) -> int:
        new: int = self._call("restore", dossiers, timeout=PATIENT)
        return new

    # --- what is behind other routes --------------------------------------------------------

    def request(self, method: str, path: str, form: type[T], body: object = None) -> T:
        """What a route of the server answers, which is JSON of that form. With a body it is not
        repeated once it was sent."""
        data, kind = (None, "") if body is None else (msgspec.json.encode(body), "application/json")
        answer = self._open_lines.ask(Wish(method, path, data, kind, repeatable=body is None))
        if answer.status >= 300:
            raise trouble(self._address.shown, answer)
        try:
            return msgspec.json.decode(answer.body, type=form)
        except ValueError as error:
            raise self._other_version(error) from error

    # --- signals ----------------------------------------------------------------------------

    def listen(self, news: News = News.JOBS) -> Signal:
        if self._ears is None:
            raise self._not_open()
        return self._ears.listen(news)

    # --- the way there and back -------------------------------------------------------------

    def _call(self, verb: str, *arguments: Any, timeout: float = TIMEOUT) -> Any:
        return self._carry(verb, encode(arguments), timeout)

    def _named(self, verb: str, names: Sequence[Any], *more: Any) -> list[Any]:
        """What is told of all these, a part of them at a time."""
        answers: list[Any] = []
        missed: list[Any] = []
        told = ""
        for at in range(0, len(names), MOST_NAMED):
            try:
                answers += self._call(verb, names[at : at + MOST_NAMED], *more)
            except PartlyUnavailable as error:
                told = str(error)
                answers += error.answer
                missed += error.missed
        if told:
            raise PartlyUnavailable(told, answers, missed)
        return answers

    def _listed(
        self,
        verb: str,
        limit: int,
        arguments: Callable[[Any, int], tuple[Any, ...]],
        timeout: float = TIMEOUT,
    ) -> list[Any]:
        """A list, of which the server tells at once what it can hold. `arguments` are those for so
        many behind the last."""
        found: list[Any] = []
        cut = True
        while cut:
            last = found[-1] if found else None
            data = encode(arguments(last, limit - len(found)))
            status, part = self._told(verb, data, timeout)
            found += part
            cut = status == CUT
        return found

    def _carry(self, verb: str, data: bytes, timeout: float) -> Any:
        return self._told(verb, data, timeout)[1]

    def _told(self, verb: str, data: bytes, timeout: float) -> tuple[int, Any]:
        """The status and what is answered."""
        lines = self._open_lines
        if len(data) > LARGEST_CALL:
            raise PayloadTooLarge(
                f"{verb}: expected at most {LARGEST_CALL:,} bytes in one call, got {len(data):,}"
            )
        may_be = verb not in ONCE, verb not in {*ONCE, "insert"}  # asked for anew: other jobs
        wish = Wish("POST", f"/store/{verb}", data, MEDIA_TYPE, timeout, *may_be)
        answer = lines.ask(wish)
        if answer.kind != MEDIA_TYPE:
            raise trouble(self._address.shown, answer)
        try:
            if answer.status in (200, CUT):
                return answer.status, VERBS[verb].answer.decode(answer.body)
            partly = VERBS[verb].partly.decode(answer.body)
        except ValueError as error:
            raise self._other_version(error) from error
        raise PartlyUnavailable(partly.message, partly.answer, partly.missed)

    @property
    def _open_lines(self) -> Lines:
        if self._lines is None:
            raise self._not_open()
        return self._lines

    def _other_version(self, error: Exception) -> SchemaError:
        return SchemaError(f"{self._address.shown}: expected an answer of this version: {error}")

    def _not_open(self) -> StoreUnavailable:
        return StoreUnavailable(f"{self._address.shown}: the store is not open")


def _greet(lines: Lines) -> None:
    """See who is there, and whether we understand each other."""
    place = lines.address.shown
    answer = lines.ask(Wish("GET", "/store"))
    if answer.status != 200:
        raise trouble(place, answer)
    try:
        greeting = _read_greeting(answer.body)
    except ValueError:
        raise SchemaError(f"{place}: expected a mainspring server, got another") from None
    if greeting.protocol != PROTOCOL:
        raise SchemaError(
            f"{place}: expected a server that speaks protocol {PROTOCOL}, got {greeting.protocol}"
            f" (mainspring {greeting.version}); update the older of the two"
        )


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
