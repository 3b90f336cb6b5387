"""Mainspring: what a program makes. Binds registries of tasks to a store; opens it at first use."""

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

from msgspec import Struct
from msgspec.structs import replace

from mainspring.asgi import Asgi, application
from mainspring.context import LARGEST_RESULT, MAX_RESULT
from mainspring.durations import Duration
from mainspring.engines import open_store, store_url
from mainspring.errors import (
    InvalidArguments,
    InvalidState,
    KeyRefused,
    PayloadTooLarge,
    TaskError,
    UnknownJob,
)
from mainspring.events import Bus, Enqueued
from mainspring.handle import Job, Reader
from mainspring.intake import Intake
from mainspring.job import Inserted, NewJob, Record, identity
from mainspring.leases import Leases
from mainspring.locate import locate
from mainspring.opened import Opened
from mainspring.operations import Id, Operations
from mainspring.options import Options, text
from mainspring.pull import Queue
from mainspring.registry import HERE, Tasks
from mainspring.results import Waiter
from mainspring.sizes import Size
from mainspring.store import Store
from mainspring.task import Task
from mainspring.topics import Topics
from mainspring.transactions import OnLoop, is_async
from mainspring.twins import in_thread

if TYPE_CHECKING:
    from mainspring.worker.worker import Worker

R = TypeVar("R")
T = TypeVar("T")
E = TypeVar("E", bound=Struct)

MAX_PAYLOAD = 1_000_000
"""Bytes of an encoded payload."""


class Mainspring(Operations):
    """The way to a store, for tasks and for operators. Nothing is opened before the first use.

    `url` names the store, such as `sqlite:///jobs.db` or `sqlite://:memory:` (`ConfigError` if it
    cannot be one); `api_key` is what a server (`https://…`) knows this program by, left out: what
    the variable MAINSPRING_API_KEY says. Payloads beyond `max_payload` bytes are refused, and a job
    fails for good whose result goes beyond `max_result` bytes, where it runs; `name` is what
    consumers and threads are called by. Close it, or use it in `with` or `async with`. Safe to use
    from many threads, and after a fork.
    """

    def __init__(
        self,
        url: str = "sqlite:///mainspring.db",
        *tasks: Tasks,
        api_key: str | None = None,
        max_payload: int = MAX_PAYLOAD,
        max_result: int = MAX_RESULT,
        name: str = "mainspring",
    ) -> None:
        self.url = store_url(url)
        self.api_key = api_key
        self.name = text(name, "name")
        self.max_payload = _limit(max_payload, "max_payload")
        self.max_result = _limit(max_result, "max_result")
        self.events = Bus()
        self.tasks = Tasks()
        for each in tasks:
            if not isinstance(each, Tasks):
                raise TaskError(f"expected Tasks(), got {each!r}")
            self.tasks.include(each)
        self.tasks.bind(self)
        self._lock = threading.Lock()
        self._opened: Opened | None = None
        self._left_behind: list[Opened] = []
        self._closed = False

    @overload
    def enqueue(self, job: NewJob[R], /, *, tx: Any = None) -> Job[R]: ...
    @overload
    def enqueue(
        self, task: str, payload: Any = None, /, **options: Unpack[Options]
    ) -> Job[Any]: ...
    def enqueue(
        self, task: NewJob[Any] | str, payload: Any = None, /, **options: Unpack[Options]
    ) -> Job[Any]:
        """Store a job, made by `task.job(...)`, or of the task of that name.

        A name needs no task declared here (a warning tells of one that is only nearly the same).
        If there is one, its policies hold, and the payload is checked: for a function it is an
        object of named arguments. With `tx`, a connection, the
        insert is part of its transaction.
        """
        new, tx = self._wish(task, payload, options)
        return self.put((new,), tx=tx)[0]

    @overload
    async def aenqueue(self, job: NewJob[R], /, *, tx: Any = None) -> Job[R]: ...
    @overload
    async def aenqueue(
        self, task: str, payload: Any = None, /, **options: Unpack[Options]
    ) -> Job[Any]: ...
    async def aenqueue(
        self, task: NewJob[Any] | str, payload: Any = None, /, **options: Unpack[Options]
    ) -> Job[Any]:
        """The async twin of `enqueue`; concurrent calls share a transaction."""
        new, tx = self._wish(task, payload, options)
        return (await self.aput((new,), tx=tx))[0]

    def enqueue_many(self, jobs: Iterable[NewJob[R]], *, tx: Any = None) -> list[Job[R]]:
        """Store all jobs or none, in one transaction; all are checked before any is written."""
        return self.put(_checked(jobs), tx=tx)

    async def aenqueue_many(self, jobs: Iterable[NewJob[R]], *, tx: Any = None) -> list[Job[R]]:
        """The async twin of `enqueue_many`."""
        return await self.aput(_checked(jobs), tx=tx)

    @overload
    def get(self, id: Id, /) -> Job[Any]: ...
    @overload
    def get(self, id: Id, task: Task[..., R], /) -> Job[R]: ...
    def get(self, id: Id, task: Task[..., Any] | None = None, /) -> Job[Any]:
        """The job with this id; `UnknownJob` if there is none. `task` says what it results in."""
        [record] = self.store.get([identity(id)])
        return self._found(id, record, task)

    @overload
    async def aget(self, id: Id, /) -> Job[Any]: ...
    @overload
    async def aget(self, id: Id, task: Task[..., R], /) -> Job[R]: ...
    async def aget(self, id: Id, task: Task[..., Any] | None = None, /) -> Job[Any]:
        """The async twin of `get`."""
        [record] = await self._aread([identity(id)])
        return self._found(id, record, task)

    @overload
    def queue(self, name: str, /) -> Queue[Any]: ...
    @overload
    def queue(self, name: str, body: type[T], /) -> Queue[T]: ...
    def queue(self, name: str, body: Any = Any, /) -> Queue[Any]:
        """A queue to publish to and consume from by hand. Does no I/O."""
        return Queue(self, text(name, "queue"), body)

    def asgi(
        self, *, hosts: Sequence[str] = (), keys: bool | None = None, synap: bool = False
    ) -> Asgi:
        """The server as an ASGI application, for requests to loopback hosts and `hosts`, with a key
        as soon as there is one (True: always, False: never). `ConfigError` without its extra."""
        return application(self, hosts, keys, synap)

    def on(self, event: type[E], listener: Callable[[E], object]) -> Callable[[], None]:
        """Call `listener` with each event of this kind in this process; call the answer to stop."""
        return self.events.on(event, listener)

    def worker(
        self,
        *queues: str,
        threads: int = 8,
        tasks: int = 1000,
        processes: int = 1,
        max_processes: int | None = None,
        process_slots: int | None = None,
        priorities: tuple[int, int] | None = None,
        max_jobs: int | None = None,
        max_age: Duration | None = None,
        max_memory: Size | None = None,
        in_process: bool = False,
        lease: Duration = 15.0,
        grace: Duration = 30.0,
    ) -> "Worker":
        """A worker for these queues, in this order, or for all: `run()` it, or use it in `with`.

        Each of `processes` children (`max_processes` while much waits) runs up to `threads`
        functions on threads and `tasks` coroutines; tasks that want a process of their own have
        `process_slots`. A child is replaced after `max_jobs`, `max_age` or at `max_memory`.
        `priorities`, the lowest and the highest, leave jobs of others to other workers.

        The children import this app, so it must be a global of a module. `in_process=True`
        runs everything here: for tests and small services, since a function that computes delays
        the worker's own work. A stop waits up to `grace` for running jobs.
        """
        from mainspring.worker.worker import Worker

        return Worker(
            self.store,
            program=self,
            app=None if in_process else locate(self),
            queues=tuple(text(queue, "queue") for queue in queues),
            threads=threads,
            tasks=tasks,
            processes=processes,
            max_processes=max_processes,
            process_slots=process_slots,
            priorities=priorities,
            max_jobs=max_jobs,
            max_age=max_age,
            max_memory=max_memory,
            in_process=in_process,
            lease=lease,
            grace=grace,
        )

    @contextmanager
    def here(self) -> Iterator[Self]:
        """Within it, `task.enqueue(...)` goes to this app, whatever other apps there are."""
        token, limit = HERE.set(self), LARGEST_RESULT.set(self.max_result)
        try:
            yield self
        finally:
            LARGEST_RESULT.reset(limit)
            HERE.reset(token)

    def close(self) -> None:
        """Store what was accepted and let go of everything. Repeatable; not to be used again."""
        self.tasks.unbind(self)
        with self._lock:
            opened, self._opened, self._closed = self._opened, None, True
        if opened is not None and opened.pid == os.getpid():
            opened.close()

    aclose = in_thread(close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def store(self) -> Store:
        """The store, opened."""
        return self._open().store

    @property
    def waiter(self) -> Waiter:
        """Who waits for ends of jobs."""
        return self._open().waiter

    @property
    def intake(self) -> Intake[NewJob[Any], Inserted]:
        """Who makes one insert of what coroutines bring at the same moment."""
        return self._open().intake

    @property
    def leases(self) -> Leases:
        """Who keeps the leases of messages."""
        return self._open().leases

    @property
    def topics(self) -> Topics:
        """Publishing and subscribing, by the same store."""
        return Topics(self)

    @property
    def opened(self) -> Opened:
        """The store with what serves it in this process."""
        return self._open()

    def reader(self, task: str) -> Reader | None:
        """The task of that name, if it is declared here."""
        return self.tasks.get(task)

    def put(
        self, jobs: Sequence[NewJob[Any]], *, tx: Any = None, task: Task[..., Any] | None = None
    ) -> list[Job[Any]]:
        """Store the jobs in one transaction. `enqueue` is the door for programs."""
        self._weigh(jobs)
        inserted = self.store.insert(jobs, connection=tx)
        known = _known(inserted)
        records = self._standing(known) if known else []
        return self._handles(jobs, inserted, records, tx is not None, task)

    async def aput(
        self, jobs: Sequence[NewJob[Any]], *, tx: Any = None, task: Task[..., Any] | None = None
    ) -> list[Job[Any]]:
        """The async twin of `put`."""
        if tx is not None:
            return await self._put_within(jobs, tx, task)
        self._weigh(jobs)
        inserted = await self.intake.insert(jobs)
        known = _known(inserted)
        records = await self._astanding(known) if known else []
        return self._handles(jobs, inserted, records, False, task)

    async def _put_within(
        self, jobs: Sequence[NewJob[Any]], tx: Any, task: Task[..., Any] | None
    ) -> list[Job[Any]]:
        if not is_async(tx):  # the connection belongs to this thread
            return self.put(jobs, tx=tx, task=task)
        loop = OnLoop(tx)
        return await loop.lend(partial(self.put, jobs, tx=loop, task=task))

    def _read(self, ids: list[bytes]) -> list[Record | None]:
        return self.store.get(ids)

    _aread = in_thread(_read)

    def _standing(self, ids: list[bytes]) -> list[Record | None]:
        """How jobs stand that were there already, as far as one may know."""
        try:
            return self.store.get(ids)
        except KeyRefused:
            return [None] * len(ids)

    _astanding = in_thread(_standing)

    def _found(self, id: Id, record: Record | None, task: Task[..., Any] | None) -> Job[Any]:
        if record is None:
            raise UnknownJob(f"no job has the id {id}")
        return Job(self, record, task)

    def _wish(
        self, task: object, payload: object, options: Mapping[str, Any]
    ) -> tuple[NewJob[Any], Any]:
        """The job that is asked for, and the connection to store it by."""
        if isinstance(task, NewJob) and payload is None and not options:
            return task, None
        tx = options.get("tx")
        rest = {name: options[name] for name in options if name != "tx"}
        if isinstance(task, NewJob):
            if payload is not None or rest:
                raise InvalidArguments("options of task.job(...) go into task.using(...)")
            return task, tx
        if not isinstance(task, str):
            raise InvalidArguments(
                f"expected a job, made by task.job(...), or the name of a task, got {task!r}"
            )
        if task not in self.tasks and (near := _nearest(task, tuple(self.tasks))):
            # For whoever called enqueue: other programs may know the name, so it is no error.
            told = f"no task {task!r} is declared here; did you mean {near!r}?"
            warnings.warn(told, UserWarning, stacklevel=3)
        return self.tasks.job_by_name(task, payload, rest), tx

    def _weigh(self, jobs: Sequence[NewJob[Any]]) -> None:
        for job in jobs:
            if len(job.payload) > self.max_payload:
                raise PayloadTooLarge(
                    f"{job.task}: expected a payload of at most {self.max_payload:,} bytes,"
                    f" got {len(job.payload):,}"
                )

    def _handles(
        self,
        jobs: Sequence[NewJob[Any]],
        inserted: Sequence[Inserted],
        records: Sequence[Record | None],
        uncommitted: bool,
        task: Task[..., Any] | None,
    ) -> list[Job[Any]]:
        """What the caller gets; `records` are of the jobs that were there already."""
        if self.events.wants(Enqueued):
            for job, answer in zip(jobs, inserted, strict=True):
                self.events.emit(Enqueued(job, answer))
        if not records:
            return [
                Job(self, None, task, job, answer, uncommitted)
                for job, answer in zip(jobs, inserted, strict=True)
            ]
        there = {record.id: record for record in records if record is not None}
        handles: list[Job[Any]] = []
        for job, answer in zip(jobs, inserted, strict=True):
            id = answer.duplicate_of or answer.id
            mine = replace(job, id=id)
            handles.append(Job(self, there.get(id), task, mine, answer, uncommitted))
        return handles

    def _open(self) -> Opened:
        opened = self._opened
        if opened is not None and opened.pid == os.getpid():
            return opened
        with self._lock:
            if self._closed:
                raise InvalidState("the app was closed")
            if self._opened is not None and self._opened.pid != os.getpid():
                # This process was forked off: what its parent opened is neither used nor closed.
                self._left_behind.append(self._opened)
                self._opened = None
            if self._opened is None:
                self._opened = Opened(open_store(self.url, self.api_key), self.name)
            return self._opened


def _limit(size: object, name: str) -> int:
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise InvalidArguments(f"{name}: expected bytes, from 1, got {size!r}")
    return size


@lru_cache(1024)
def _nearest(name: str, known: tuple[str, ...]) -> str | None:
    """The known name that this one is probably a slip of."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, known, 1, 0.75)), None)


def _checked(jobs: Iterable[NewJob[R]]) -> list[NewJob[R]]:
    found = list(jobs)
    for job in found:
        if not isinstance(job, NewJob):
            raise InvalidArguments(f"expected jobs, made by task.job(...), got {job!r}")
    return found


def _known(inserted: Sequence[Inserted]) -> list[bytes]:
    """The ids of jobs that were there already."""
    return [
        each.duplicate_of or each.id
        for each in inserted
        if each.repeated or each.duplicate_of is not None
    ]
