"""What happened, as values, and the bus that tells it. Listeners cannot change a job.

An event is told in the process where it happened: `Enqueued` where the job was made, `Started`
and `Finished` where it ran, the rest in the worker's parent.
"""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import Struct

from mainspring.job import Claimed, Inserted, NewJob, Transition

log = logging.getLogger("mainspring")


class Enqueued(Struct, frozen=True):
    """A job was stored (or found stored already, see `inserted`)."""

    job: NewJob[Any]
    inserted: Inserted


class Started(Struct, frozen=True):
    """A job's function is about to be called."""

    job: Claimed
    worker: str


class Finished(Struct, frozen=True):
    """An attempt has ended; `transition.to` is the state it leads to."""

    job: Claimed
    transition: Transition
    worker: str


class AttemptFailed(Struct, frozen=True):
    """An attempt failed, or its worker's child died in it; `transition.to` is retrying or failed.
    Told by the worker's parent, which knows no user code."""

    job: Claimed
    transition: Transition
    worker: str


class Progressed(Struct, frozen=True):
    """A job told its progress, 0 to 100."""

    job: Claimed
    percent: float
    note: str


class LeasesLost(Struct, frozen=True):
    """These jobs were taken over by others; what became of them here counts for nothing."""

    numbers: tuple[int, ...]
    worker: str


class UnknownTasks(Struct, frozen=True):
    """Jobs of tasks that no child of this worker knows were found, and left waiting."""

    tasks: tuple[str, ...]
    worker: str


class WorkerStarted(Struct, frozen=True):
    """A worker takes jobs from now on, from the store at `url`."""

    worker: str
    url: str


class WorkerStopping(Struct, frozen=True):
    """A worker with jobs was asked to stop: it claims no more, they have up to `grace` seconds."""

    worker: str
    grace: float


class WorkerStopped(Struct, frozen=True):
    """A worker has ended; `handed_back` jobs were given back unstarted."""

    worker: str
    handed_back: int


class WorkerSteered(Struct, frozen=True):
    """A worker was told to do something, and does: pauses, reloads … `what`, in words."""

    what: str
    worker: str


class ChildDied(Struct, frozen=True):
    """A child process ended unasked. `lost` jobs had begun in it."""

    pid: int
    status: str
    lost: tuple[int, ...]
    worker: str


class StoreLost(Struct, frozen=True):
    """The store does not answer; claims stop, outcomes are kept and tried again."""

    error: str
    worker: str


class StoreBack(Struct, frozen=True):
    """The store answers again."""

    worker: str


E = TypeVar("E", bound=Struct)
Listener = Callable[[Any], object]


class Bus:
    """Many listeners per kind of event; an error in one is logged and breaks nothing."""

    def __init__(self) -> None:
        self._listeners: dict[type[Struct], tuple[_Ear, ...]] = {}

    def on(self, kind: type[E], listener: Callable[[E], object]) -> Callable[[], None]:
        """Call `listener` with every event of this kind. Call the answer to stop."""
        ear = _Ear(listener)
        self._listeners[kind] = (*self._listeners.get(kind, ()), ear)

        def off() -> None:
            self._listeners[kind] = tuple(e for e in self._listeners[kind] if e is not ear)

        return off

    def wants(self, kind: type[Struct]) -> bool:
        """Whether anybody listens to this kind: ask before building many events."""
        return bool(self._listeners.get(kind))

    def emit(self, event: Struct) -> None:
        """Tell every listener; raises nothing but an interrupt."""
        for ear in self._listeners.get(type(event), ()):
            try:
                ear.listener(event)
            except (Exception, SystemExit):
                log.exception("a listener of %s failed", type(event).__name__)


class _Ear:
    """One registration: a listener may be registered more than once, and each ends by itself."""

    __slots__ = ("listener",)

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
