"""Operations: what one may ask of and do to many jobs and queues. The app inherits it."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias, TypedDict, Unpack
from uuid import UUID

from msgspec import Struct

from mainspring.audit import Audit
from mainspring.durations import SECOND, Duration, microseconds, moment
from mainspring.errors import InvalidArguments, MainspringError
from mainspring.fleet import Fleet
from mainspring.handle import Job
from mainspring.job import Changed, NewJob, Select, State, identity
from mainspring.keys import Keys
from mainspring.kv import KeyValue
from mainspring.message import positive
from mainspring.options import texts
from mainspring.registry import Tasks
from mainspring.results import POLL
from mainspring.rules import Rules
from mainspring.served import ServedAudit, ServedKeys, is_served
from mainspring.store import Health, Minute, News, QueueInfo, Settings
from mainspring.twins import in_thread

BUSY = (State.PENDING, State.RUNNING, State.RETRYING, State.SCHEDULED, State.BLOCKED)

Id: TypeAlias = "Job[Any] | NewJob[Any] | UUID | str"
"""A job, or its id."""


class Filter(TypedDict, total=False):
    """Which jobs: each field that is given must match; one value or several.

    `after` and `before` bound the time of insertion (after ≤ created < before).
    """

    states: State | str | Sequence[State | str]
    queues: str | Sequence[str]
    tasks: str | Sequence[str]
    keys: str | Sequence[str]
    tags: str | Sequence[str]
    before: datetime
    after: datetime


class Affected(Struct, frozen=True):
    """What a verb over many jobs did: the ids of those changed, and why others were not."""

    ids: tuple[UUID, ...] = ()
    refused: Mapping[UUID, str] = {}


class Operations(Fleet):
    """The verbs. Each has an async twin with an "a" in front.

    Settings of queues, workers, statistics and health are the store's own values: durations and
    moments in them are microseconds.
    """

    tasks: Tasks
    url: str
    max_payload: int

    _rules: Rules | None = None

    @property
    def rules(self) -> Rules:
        """What settings of queues mean for messages."""
        store = self.store
        if self._rules is None or self._rules.store is not store:
            self._rules = Rules(store)
        return self._rules

    @property
    def kv(self) -> KeyValue:
        """Values under keys, in the same store."""
        return KeyValue(self)

    @property
    def keys(self) -> Keys:
        """Who may use servers over the store."""
        return ServedKeys(self) if is_served(self.url) else Keys(self)

    @property
    def audit(self) -> Audit:
        """What was changed by way of servers over the store."""
        return ServedAudit(self) if is_served(self.url) else Audit(self)

    def find(
        self,
        *,
        limit: int = 100,
        older_than: Job[Any] | int | None = None,
        **filter: Unpack[Filter],
    ) -> list[Job[Any]]:
        """Jobs that match, the newest first; the next page is `older_than` the last of these."""
        below = older_than.number if isinstance(older_than, Job) else older_than
        found = self.store.find(select((), filter), limit=_limit(limit), after=below)
        return [Job(self, record) for record in found]

    def cancel(self, *jobs: Id, reason: str = "", **filter: Unpack[Filter]) -> Affected:
        """End waiting jobs as cancelled and ask running ones to stop: these, or all that match."""
        return _affected(self.store.cancel(some(jobs, filter), reason))

    def replay(self, *jobs: Id, **filter: Unpack[Filter]) -> Affected:
        """Make ended jobs run again, with all attempts: these, or all that match."""
        return _affected(self.store.replay(some(jobs, filter)))

    def delete(self, *jobs: Id, **filter: Unpack[Filter]) -> Affected:
        """Remove jobs and all that is known of them: these, or all that match."""
        return _affected(self.store.delete(some(jobs, filter)))

    def purge(self, queue: str, *, states: Sequence[State | str] = ()) -> Affected:
        """Remove all jobs of a queue that are not running, or only those in these states."""
        kept = states or [state for state in State if state is not State.RUNNING]
        return _affected(self.store.delete(select((), {"queues": queue, "states": kept})))

    def pause(self, queue: str) -> QueueInfo:
        """Let no job of the queue begin. Retries, expiry and recovery go on."""
        return self.store.configure(_name(queue), Settings(paused=True))

    def resume(self, queue: str) -> QueueInfo:
        """The opposite of `pause`."""
        return self.store.configure(_name(queue), Settings(paused=False))

    def configure(
        self,
        queue: str,
        *,
        aging: Duration | None = None,
        keep_completed: Duration | None = None,
        keep_cancelled: Duration | None = None,
        keep_failed: Duration | None = None,
        by_hand: bool | None = None,
        max_retries: int | None = None,
        retry_delays: Sequence[Duration] | None = None,
        ack_deadline: Duration | None = None,
        max_depth: int | None = None,
    ) -> QueueInfo:
        """Change settings of a queue, for jobs that become due or end from now on.

        A job one priority higher goes ahead of jobs up to `aging` older; `keep_…` say how long
        ended jobs are kept. With `by_hand` only consumers, and workers that name the queue, take
        from it; the first message that is published to a queue sets that.

        A message that is published without retries of its own is delivered up to `max_retries`
        times more (3), after these `retry_delays`, the last of which repeats (at most 100, each
        of up to 30 days; none: exponential). Who consumes holds it for `ack_deadline` (30 s)
        unless he says. Other processes know these within a second.

        At most `max_depth` jobs may wait (0: any number): a publish or enqueue of more raises
        `QueueFull`. What is retried or replayed waits all the same.
        """
        wishes = {
            "aging": aging,
            "keep_completed": keep_completed,
            "keep_cancelled": keep_cancelled,
            "keep_failed": keep_failed,
        }
        given: dict[str, Any] = {
            name: microseconds(w, name) for name, w in wishes.items() if w is not None
        }
        if ack_deadline is not None:
            given["ack_deadline"] = positive(ack_deadline, "ack_deadline")
        if retry_delays is not None:
            given["retry_delays"] = _delays(retry_delays)
        settings = Settings(by_hand=by_hand, max_retries=max_retries, max_depth=max_depth, **given)
        info = self.store.configure(_name(queue), settings)
        self.rules.forget()
        return info

    def counts(self) -> dict[str, dict[str, int]]:
        """`{queue: {state: n}}`: exact, every state present, at a cost that does not grow."""
        counts = self.store.counts()
        return {queue: {str(state): n for state, n in counts[queue].items()} for queue in counts}

    def queues(self) -> list[QueueInfo]:
        """All queues and their settings."""
        return self.store.queues()

    def statistics(self, since: datetime | Duration = "1h") -> list[Minute]:
        """What happened since that moment, or for so long, by minute, queue and task."""
        if isinstance(since, datetime):
            return self.store.statistics(moment(since, "since"))
        return self.store.statistics(time.time_ns() // 1000 - microseconds(since, "since"))

    def check(self) -> list[str]:
        """What is broken, as sentences: in the store, and in the declarations of tasks."""
        return self.store.check() + self._mistakes()

    def health(self) -> Health:
        """How the store stands."""
        return self.store.health()

    def wait_until_idle(self, timeout: Duration | None = None) -> bool:
        """Wait until no job is pending, running, retrying, scheduled or blocked; False if too late.

        Woken by the store, not polling it.
        """
        end = _end(timeout)
        signal = self.store.listen(News.ENDS)
        try:
            while not self._idle():
                left = end - time.monotonic()
                if left <= 0:
                    return False
                signal.wait(min(left, POLL))
            return True
        finally:
            signal.close()

    async def await_until_idle(self, timeout: Duration | None = None) -> bool:
        """The async twin of `wait_until_idle`."""
        end = _end(timeout)
        with self.waiter.bell(News.ENDS) as bell:
            while not await self._aidle():
                left = end - time.monotonic()
                if left <= 0:
                    return False
                await bell.rung(min(left, POLL))
        return True

    afind = in_thread(find)
    acancel = in_thread(cancel)
    areplay = in_thread(replay)
    adelete = in_thread(delete)
    apurge = in_thread(purge)
    apause = in_thread(pause)
    aresume = in_thread(resume)
    aconfigure = in_thread(configure)
    acounts = in_thread(counts)
    aqueues = in_thread(queues)
    astatistics = in_thread(statistics)
    acheck = in_thread(check)
    ahealth = in_thread(health)

    def _idle(self) -> bool:
        counts = self.store.counts().values()
        return not any(states.get(state) for states in counts for state in BUSY)

    _aidle = in_thread(_idle)

    def _mistakes(self) -> list[str]:
        found = []
        for task in dict.fromkeys(self.tasks.values()):
            try:
                task.resolve()
            except MainspringError as error:
                found.append(str(error))
        return found


def some(jobs: Sequence[Id], filter: Filter) -> Select:
    """A selection that says something: everything there is must not go by a slip."""
    if not jobs and not filter:
        raise InvalidArguments("expected jobs, or which to take (queues=..., states=...), got none")
    return select(jobs, filter)


def select(jobs: Sequence[Id], filter: Filter) -> Select:
    """The store's own selection; `InvalidArguments` names the field that does not fit."""
    if unknown := [name for name in filter if name not in Filter.__annotations__]:
        known = ", ".join(Filter.__annotations__)
        raise InvalidArguments(f"unknown filter {unknown[0]!r}; expected one of {known}")
    fields: dict[str, Any] = {}
    for name, value in filter.items():
        if name in ("before", "after"):
            fields[name] = moment(value, name)  # type: ignore[arg-type]  # checked there
        else:
            fields[name] = texts((value,) if isinstance(value, str) else value, name)
    if "states" in fields:
        fields["states"] = tuple(map(_state, fields["states"]))
    if jobs:
        fields["ids"] = tuple(map(identity, jobs))
    return Select(**fields)


def _state(name: str) -> State:
    try:
        return State(name)
    except ValueError:
        known = ", ".join(State)
        raise InvalidArguments(f"states: expected some of {known}, got {name!r}") from None


def _delays(delays: Sequence[Duration]) -> tuple[int, ...]:
    if isinstance(delays, str) or not isinstance(delays, Sequence):
        raise InvalidArguments(f"retry_delays: expected a list of durations, got {delays!r}")
    return tuple(microseconds(delay, "retry_delays") for delay in delays)


def _name(queue: str) -> str:
    return texts((queue,), "queue")[0]


def _limit(limit: int) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise InvalidArguments(f"limit: expected a number from 1, got {limit!r}")
    return limit


def _affected(changed: Changed) -> Affected:
    return Affected(
        tuple(UUID(bytes=id) for id in changed.ids),
        {UUID(bytes=id): why for id, why in changed.refused.items()},
    )


def _end(timeout: Duration | None) -> float:
    """When the wait is over, on the monotonic clock."""
    if timeout is None:
        return float("inf")
    return time.monotonic() + microseconds(timeout, "timeout") / SECOND
