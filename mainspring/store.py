"""The Store: what an engine promises, in the language of the domain.

Synchronous, batch-first and safe to call from many threads. Engines hold no policy: they apply
transitions. Each promise is a test in tests/contract, run on every engine.

Every verb that looks at the time takes `now`; left out, the store's own clocks answer.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from mainspring.cells import Cells
from mainspring.dossier import Dossier
from mainspring.job import (
    Changed,
    Claimed,
    Inserted,
    JobError,
    NewJob,
    Now,
    Record,
    Select,
    State,
    Transition,
)
from mainspring.posts import Posts
from mainspring.presence import Member as Member
from mainspring.presence import Presence as Presence
from mainspring.presence import Slowest as Slowest
from mainspring.presence import Wanted as Wanted
from mainspring.signals import News as News
from mainspring.signals import Signal as Signal

Counts: TypeAlias = dict[str, dict[State, int]]
"""`{queue: {state: n}}`, every state present."""


class Grant(Struct, frozen=True, kw_only=True):
    """Under what a worker holds what it claims. `token` is random, 64 bits, made by the worker
    (signed); `lease` in microseconds."""

    token: int
    worker: str
    lease: int


class Claim(Struct, frozen=True, kw_only=True):
    """A wish for jobs. Queues are taken in this order; None means all that are not paused and
    not used by hand (`QueueInfo.by_hand`), merged into one order by (score, number).

    At most `limit` jobs; the first careful one beyond `slots` ends the claim (it waits for a free
    slot, and nothing overtakes it). `alone` is how many suspects (`Claimed.alone`) may be among
    them; they wait in a lane of their own and hide nobody. `tasks` limits the claim to these, and
    `priorities` (lowest, highest) to jobs of these and those between, looked for among the first
    `reach` jobs (None: among all, which costs as many rows). What is passed over keeps its place.
    """

    grant: Grant
    limit: int
    slots: int
    alone: int = 0
    queues: tuple[str, ...] | None = None
    tasks: tuple[str, ...] | None = None
    reach: int | None = None
    priorities: tuple[int, int] | None = None

    @property
    def choosy(self) -> bool:
        """Whether it passes over jobs that are in their turn, for their task or priority."""
        return self.tasks is not None or self.priorities is not None


class Exchanged(Struct, frozen=True):
    """The answer to an exchange. `lost` are the (number, token) pairs that were no longer held
    (nothing was changed for them); `cancelled` the numbers that ended as cancelled because that
    had been asked. `next_due` is when the next waiting job falls due, as far as this claim saw
    (wall clock), None if none waits. `more` says that the claim stopped at its limit or at a
    careful job.
    """

    jobs: list[Claimed] = []
    lost: tuple[tuple[int, int], ...] = ()
    cancelled: tuple[int, ...] = ()
    next_due: int | None = None
    more: bool = False


class Note(Struct, frozen=True, array_like=True):
    """Progress (`percent` 0 to 100 with `text`), or a line of log (`percent` None), of a held
    job. `at` in microseconds."""

    number: int
    token: int
    at: int
    text: str
    percent: float | None = None


class Pulse(Struct, frozen=True, kw_only=True):
    """The answer to a heartbeat: grants (tokens) that are lost, running jobs (numbers) that are to
    be cancelled, queues that are paused; what is wanted of the worker, None if nothing was said
    since it started."""

    lost: tuple[int, ...] = ()
    cancel: tuple[int, ...] = ()
    paused: tuple[str, ...] = ()
    wanted: Wanted | None = None


class QueueInfo(Struct, frozen=True, kw_only=True):
    """A queue and its settings. Durations in microseconds.

    `keep_completed`, `keep_cancelled` and `keep_failed` say how long ended jobs are kept.
    `by_hand` says that the queue was given a message (a job of the task `MESSAGE`): only claims
    that name the queue take from it.
    `max_retries`, `retry_delays` (empty: as `Backoff` does) and `ack_deadline`, the lease, are for
    messages and consumers that bring none. At most `max_depth` jobs may wait; 0: any number.
    """

    name: str
    paused: bool = False
    by_hand: bool = False
    aging: int = 60_000_000
    keep_completed: int = 86_400_000_000
    keep_cancelled: int = 86_400_000_000
    keep_failed: int = 14 * 86_400_000_000
    max_retries: int = 3
    retry_delays: tuple[int, ...] = ()
    ack_deadline: int = 30_000_000
    max_depth: int = 0


class Settings(Struct, frozen=True, kw_only=True):
    """A change of a queue's settings; None leaves a value as it is."""

    paused: bool | None = None
    by_hand: bool | None = None
    aging: int | None = None
    keep_completed: int | None = None
    keep_cancelled: int | None = None
    keep_failed: int | None = None
    max_retries: int | None = None
    retry_delays: tuple[int, ...] | None = None
    ack_deadline: int | None = None
    max_depth: int | None = None


class Traffic(Struct, frozen=True, kw_only=True):
    """What waits in a queue, and what ever went through it.

    `depth` jobs wait in whatever way, `running` are held, by so many `consumers` (or workers),
    `dead_letters` have failed for good. The totals count from the queue's beginning: jobs
    `published`, `consumed` (claims), `acked` (completed) and `dead_lettered`, and how long those
    consumed had `waited` in all (microseconds).
    """

    depth: int = 0
    running: int = 0
    consumers: int = 0
    dead_letters: int = 0
    published: int = 0
    consumed: int = 0
    acked: int = 0
    dead_lettered: int = 0
    waited: int = 0


class Minute(Struct, frozen=True, kw_only=True):
    """What happened in one minute (`start`, wall clock) to one task in one queue.

    `waited` and `ran` are sums in microseconds; `wait_histogram` and `run_histogram` map the bit
    length of a time in microseconds to how many took so long.
    """

    start: int
    queue: str
    task: str
    started: int = 0
    completed: int = 0
    failed: int = 0
    retried: int = 0
    waited: int = 0
    ran: int = 0
    wait_histogram: Mapping[int, int] = {}
    run_histogram: Mapping[int, int] = {}


class Line(Struct, frozen=True):
    """One line of a job's log. `at` in microseconds."""

    at: int
    attempt: int
    text: str


class Health(Struct, frozen=True, kw_only=True):
    """How the store stands: `durability` and `version` in words, `warnings` that say what to do,
    `figures` such as file and log sizes in bytes; `place`: in what of the server it is, and by what
    way, where the URL does not tell."""

    engine: str
    version: str
    schema: int
    durability: str
    place: str = ""
    warnings: tuple[str, ...] = ()
    figures: Mapping[str, float] = {}


class Store(Cells, Posts, Protocol):
    """An engine. Errors: `StoreUnavailable`/`StoreFull` when it cannot write now, `SchemaError`
    when the place is not ours; each verb's own are named at the verb.

    An engine made of several stores raises `PartlyUnavailable` where some did their part and
    others do not answer, so that those wait for nothing; whoever does not know of it sees a
    `StoreUnavailable`, and may repeat the call. A claim that gets jobs is no such case. What it
    gets may be held under several tokens (`Claimed.token`), the claim's own among them.
    """

    # --- life -------------------------------------------------------------------------------

    def open(self) -> None:
        """Connect; create the schema or bring it up to date, safely beside others. Repeatable.
        `SchemaError` for a newer one or what is not ours, `ConfigError`."""
        ...

    def close(self) -> None:
        """Finish what was accepted and let go of everything. Repeatable."""
        ...

    def migrate(self) -> int:
        """Bring the schema up to date and return its version; safe from many processes at once."""
        ...

    def check(self) -> list[str]:
        """Every invariant that one snapshot can show, as sentences about what is broken."""
        ...

    def health(self) -> Health:
        """How the store stands, in words and figures."""
        ...

    # --- produce ----------------------------------------------------------------------------

    def insert(
        self, jobs: Sequence[NewJob[Any]], *, connection: Any = None, now: Now | None = None
    ) -> list[Inserted]:
        """Store all of them or none, in one transaction; one answer per job, in order.

        Repeatable: an id that is there with the same content is answered again. A taken unique
        key is answered as a duplicate, replaces the waiting holder or raises, as the job says;
        but if jobs of this call wait on each other, it raises and nothing is stored.
        With `connection` it is part of the caller's transaction. One of an event loop's comes
        from a thread, as `transactions.OnLoop`; here as in `transaction`.
        `IdConflict`, `UniqueTaken`, `UnknownDependency`, `QueueFull` (more would wait in a queue
        than its `max_depth`), `NotImmediate`, `InvalidArguments` (a cycle).
        """
        ...

    # --- work -------------------------------------------------------------------------------

    def exchange(
        self,
        transitions: Sequence[Transition],
        claim: Claim | None = None,
        *,
        now: Now | None = None,
    ) -> Exchanged:
        """Settle finished attempts and claim the next jobs, in one step.

        Settling: each transition is applied if its number is held under its token, answered as
        done if that very transition moved the job already, else listed as lost. Dependents are
        released, unique keys freed and counts and history written in the same step. A request to
        cancel beats everything but a success.
        Claiming: promotes what is due, expires what is late, takes in order (score, number), gives
        no job to two. Repeatable: a claim under a token that exists returns what it still holds.
        """
        ...

    def heartbeat(
        self,
        presence: Presence,
        tokens: Sequence[int],
        lease: int,
        notes: Sequence[Note] = (),
        *,
        now: Now | None = None,
    ) -> Pulse:
        """Presence, renewal of grants and progress up; losses, cancels, pauses and what is wanted
        of the worker down.

        A worker that tells of a task for the first time, or has come less than a minute ago, makes
        jobs parked as `unknown task` due.
        `presence.state == "stopped"` removes it, and with it what was wanted of it; so does a start
        at another moment (`started`) under the same id. Notes of jobs no longer held are dropped.
        """
        ...

    def reclaim(self, grant: Grant, limit: int, *, now: Now | None = None) -> list[Claimed]:
        """Take over jobs whose grants have expired, under a new grant, so that `decide(Lost)` and
        `exchange` settle them. From that instant the old holder's writes count for nothing.
        Repeatable: under a token that exists it returns what that grant still holds."""
        ...

    def held(self, tokens: Sequence[int]) -> list[Claimed]:
        """What these grants still hold."""
        ...

    def transaction(
        self, job: Claimed, transition: Transition, *, lease: int, connection: Any = None
    ) -> AbstractContextManager[Any]:
        """A connection in a transaction that commits together with the transition, or not at all.

        Leaving the block well applies the transition (fenced) and commits; an exception rolls
        back. `connection` is the caller's, on which no transaction is open; left out, one is lent.
        `LeaseLost`; `TransactionError` when it was open beyond a third of the lease;
        `Unsupported` where the engine has no such thing.
        """
        ...

    def upkeep(self, limit: int = 1000, *, now: Now | None = None) -> int:
        """One slice of chores: promote what is due, expire what is late, work off releases of
        dependents, prune what was kept long enough, forget workers long gone, tend the files.
        Returns how many jobs and entries it touched; call again at once when that is `limit` or
        more."""
        ...

    # --- operate ----------------------------------------------------------------------------

    def cancel(self, select: Select, reason: str = "", *, now: Now | None = None) -> Changed:
        """End waiting jobs as cancelled; ask running ones to stop. Ended ones are refused."""
        ...

    def replay(self, select: Select, *, now: Now | None = None) -> Changed:
        """Make ended jobs run again, with all attempts; dependents that were cancelled because of
        them wait again. Refused when another job holds the unique key, or the job has not ended."""
        ...

    def delete(self, select: Select, *, now: Now | None = None) -> Changed:
        """Remove jobs and all that is known of them; waiting ones as if cancelled first. Running
        ones, and ended ones that an unfinished job waits for, are refused."""
        ...

    def configure(self, queue: str, settings: Settings) -> QueueInfo:
        """Change a queue's settings (making the queue if need be) and return all of them."""
        ...

    def instruct(self, workers: Sequence[str], wanted: Wanted) -> list[str]:
        """Want this of these workers, field by field: None leaves what was wanted before. They hear
        it by their next heartbeats, and with each one until it is changed or they are gone.
        Repeatable. Returns the ids of those that are known, in the order given."""
        ...

    # --- read -------------------------------------------------------------------------------

    def get(self, ids: Sequence[bytes]) -> list[Record | None]:
        """The jobs with these ids, in order; None where there is none."""
        ...

    def find(self, select: Select, *, limit: int = 100, after: int | None = None) -> list[Record]:
        """Jobs that match, newest (highest number) first; `after` continues below that number."""
        ...

    def counts(self) -> Counts:
        """Exact numbers of jobs by queue and state, at a cost that does not grow with them."""
        ...

    def queues(self) -> list[QueueInfo]:
        """All queues there are, by name."""
        ...

    def traffic(self, queue: str) -> Traffic:
        """What waits in a queue, and what went through it; all 0 if there is none of that name.

        `consumed` and `waited` may lack the last second of other processes, and of one that was
        killed; the rest is exact.
        """
        ...

    def position(self, id: bytes) -> int | None:
        """The job's place in its queue's order, from 1; None unless it is pending."""
        ...

    def history(self, id: bytes) -> list[JobError]:
        """The errors of a job's attempts, oldest first."""
        ...

    def logs(self, id: bytes, *, limit: int = 1000) -> list[Line]:
        """The job's own log lines, oldest first."""
        ...

    def workers(self, *, now: Now | None = None) -> list[Presence]:
        """Workers that were heard of within three of their heartbeats, by id."""
        ...

    def statistics(self, since: int) -> list[Minute]:
        """What happened since that moment (wall clock), minute by minute; may lag by a second."""
        ...

    # --- move -------------------------------------------------------------------------------

    def dump(self, after: int = 0, limit: int = 1000) -> list[Dossier]:
        """Jobs with higher numbers than `after` as they stand, lowest first, for `restore` on
        another store."""
        ...

    def restore(self, dossiers: Sequence[Dossier]) -> int:
        """Take in jobs as they stood, all of them or none; how many were new. They get numbers of
        their own, in the order given. Repeatable: a job that is here stays as it is.
        `InvalidState` for one that was running, `UniqueTaken`, `UnknownDependency`.
        """
        ...

    # --- signals ----------------------------------------------------------------------------

    def listen(self, news: News = News.JOBS) -> Signal:
        """A signal for commits by anybody that may be such news."""
        ...
