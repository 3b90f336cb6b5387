"""The routes that tell how all of it stands: `/stats`, `/health`, `/ready`."""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mainspring import __version__
from mainspring.errors import MainspringError
from mainspring.job import State
from mainspring.keys import Permission
from mainspring.server.backend.service import Service
from mainspring.server.entry.paths import anybody, path, read
from mainspring.server.forms.answers import MILLISECOND, Shown, WorkerShown, answer, worker
from mainspring.server.forms.problems import SOON
from mainspring.server.permissions.callers import Caller, caller_of
from mainspring.store import Minute


class QueueFigures(Shown, frozen=True, kw_only=True):
    """Jobs by status; how long they waited for an attempt, and attempts took, in the last hour
    (milliseconds, None if there was none)."""

    total: int
    by_status: Mapping[State, int]
    avg_waiting_time: float | None
    avg_execution_time: float | None


class WorkerFigures(Shown, frozen=True, kw_only=True):
    """Workers, and the jobs that all of them can run at once."""

    pool_size: int
    active_workers: int
    available_workers: int
    busy_workers: int
    workers: Sequence[WorkerShown]


class ServerFigures(Shown, frozen=True, kw_only=True):
    """The process that answers; `uptime` in seconds."""

    version: str
    pid: int
    uptime: float


class Stats(Shown, frozen=True, kw_only=True):
    """How all of it stands."""

    queue: QueueFigures
    queues: Mapping[str, Mapping[State, int]]
    workers: WorkerFigures
    server: ServerFigures


class StatsTold(Shown, frozen=True, kw_only=True):
    """How all of it stands."""

    success: bool = True
    stats: Stats


class Verdict(Shown, frozen=True, kw_only=True):
    """Whether it is healthy, and why not. `timestamp` in milliseconds, `uptime` in seconds; `stats`
    are for callers that may read."""

    status: Literal["healthy", "unhealthy"]
    reasons: Sequence[str]
    timestamp: int
    uptime: float
    pid: int
    stats: Stats | UnsetType | None = UNSET


class HealthRoutes:
    """What can be asked of the whole."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._app = service.app

    def routes(self) -> list[Route]:
        """Each path and method."""
        return [
            path("/stats", GET=read(self.stats, answers={200: StatsTold})),
            path("/health", GET=anybody(self.health, answers={200: Verdict, 503: Verdict})),
            path("/ready", GET=anybody(self.ready, answers={200: Verdict, 503: Verdict})),
        ]

    async def stats(self, request: Request) -> Response:
        """Jobs by status, times of the last hour, workers, and this process."""
        stats = await self._service.ask(self._stats, caller_of(request))
        return answer(StatsTold(stats=stats))

    async def health(self, request: Request) -> Response:
        """200 if the store answers and somebody runs its jobs, else 503 and why not."""
        caller = caller_of(request)
        reasons, stats = await self._service.ask(self._judged, caller)
        return self._verdict(caller, reasons, stats)

    async def ready(self, request: Request) -> Response:
        """200 if the store answers, else 503 and why not: for what sends requests to servers."""
        return self._verdict(caller_of(request), await self._service.ask(self.unready))

    def _verdict(
        self, caller: Caller, reasons: list[str], stats: Stats | UnsetType | None = UNSET
    ) -> Response:
        if not caller.may(Permission.READ):
            reasons = [reason.partition(":")[0] for reason in reasons]  # no names of machines
        told = Verdict(
            status="unhealthy" if reasons else "healthy",
            reasons=reasons,
            timestamp=int(time.time() * 1000),
            uptime=time.time() - self._service.started,
            pid=os.getpid(),
            stats=stats,
        )
        return answer(told, 503 if reasons else 200, SOON if reasons else None)

    def unready(self) -> list[str]:
        """Why no request should come here, if there is a reason. Blocks."""
        if self._service.stopping:
            return ["the server stops"]
        try:
            self._app.store.counts()
        except MainspringError as error:
            return [f"the store does not answer: {error}"]
        return []

    def _judged(self, caller: Caller) -> tuple[list[str], Stats | None]:
        if reasons := self.unready():
            return reasons, None
        try:
            active = any(each.state == "running" for each in self._app.workers())
            stats = self._stats(caller) if caller.may(Permission.READ) else None
        except MainspringError as error:
            return [f"the store does not answer: {error}"], None
        return ([] if active else ["no worker is running"]), stats

    def _stats(self, caller: Caller) -> Stats:
        """What the caller may know of it all."""
        app = self._app
        counts = app.store.counts()
        counts = {name: counts[name] for name in caller.known(counts)}
        heard = [each for each in app.workers() if caller.knows_worker(each)]
        minutes = [each for each in app.statistics("1h") if caller.knows(each.queue)]
        by_status = {state: sum(of.get(state, 0) for of in counts.values()) for state in State}
        active = [each for each in heard if each.state == "running"]
        slots, busy = sum(each.slots for each in active), sum(each.busy for each in active)
        return Stats(
            queue=QueueFigures(
                total=sum(by_status.values()),
                by_status=by_status,
                avg_waiting_time=_average_wait(minutes),
                avg_execution_time=_average_run(minutes),
            ),
            queues=counts,
            workers=WorkerFigures(
                pool_size=slots,
                active_workers=len(active),
                available_workers=max(0, slots - busy),
                busy_workers=busy,
                workers=[worker(each) for each in heard],
            ),
            server=ServerFigures(
                version=__version__, pid=os.getpid(), uptime=time.time() - self._service.started
            ),
        )


def _average_wait(minutes: list[Minute]) -> float | None:
    """Milliseconds that jobs waited for an attempt, None if none was begun."""
    started = sum(minute.started for minute in minutes)
    return sum(minute.waited for minute in minutes) / started / MILLISECOND if started else None


def _average_run(minutes: list[Minute]) -> float | None:
    """Milliseconds that attempts took, None if none ended."""
    ended = sum(sum(minute.run_histogram.values()) for minute in minutes)
    return sum(minute.ran for minute in minutes) / ended / MILLISECOND if ended else None
