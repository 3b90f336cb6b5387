"""The routes that tell how all of it stands: `/stats`, `/health`, `/ready`."""

import os
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mainspring import __version__
from mainspring.errors import MainspringError
from mainspring.job import State
from mainspring.server.answers import MILLISECOND, answer, worker
from mainspring.server.paths import anybody, path, read
from mainspring.server.problems import SOON
from mainspring.server.service import Service
from mainspring.store import Minute


class HealthRoutes:
    """What can be asked of the whole."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._app = service.app

    def routes(self) -> list[Route]:
        """Each path and method."""
        return [
            path("/stats", GET=read(self.stats)),
            path("/health", GET=anybody(self.health)),
            path("/ready", GET=anybody(self.ready)),
        ]

    async def stats(self, request: Request) -> Response:
        """Jobs by status, times of the last hour, workers, and this process."""
        return answer({"success": True, "stats": await self._service.ask(self._stats)})

    async def health(self, request: Request) -> Response:
        """200 if the store answers and somebody runs its jobs, else 503 and why not."""
        reasons, stats = await self._service.ask(self._judged)
        return self._verdict(reasons, {"stats": stats})

    async def ready(self, request: Request) -> Response:
        """200 if the store answers, else 503 and why not: for what sends requests to servers."""
        return self._verdict(await self._service.ask(self.unready), {})

    def _verdict(self, reasons: list[str], more: dict[str, Any]) -> Response:
        told = {
            "status": "unhealthy" if reasons else "healthy",
            "reasons": reasons,
            "timestamp": int(time.time() * 1000),
            "uptime": time.time() - self._service.started,
            "pid": os.getpid(),
        }
        return answer(told | more, 503 if reasons else 200, SOON if reasons else None)

    def unready(self) -> list[str]:
        """Why requests should not come here, if there is a reason. Blocks."""
        if self._service.stopping:
            return ["the server stops"]
        try:
            self._app.store.counts()
        except MainspringError as error:
            return [f"the store does not answer: {error}"]
        return []

    def _judged(self) -> tuple[list[str], dict[str, Any] | None]:
        if reasons := self.unready():
            return reasons, None
        try:
            stats = self._stats()
        except MainspringError as error:
            return [f"the store does not answer: {error}"], None
        active = stats["workers"]["activeWorkers"]
        return ([] if active else ["no worker is running"]), stats

    def _stats(self) -> dict[str, Any]:
        app = self._app
        counts, heard = app.store.counts(), app.workers()
        minutes = app.statistics("1h")
        by_status = {state: sum(of.get(state, 0) for of in counts.values()) for state in State}
        active = [each for each in heard if each.state == "running"]
        slots, busy = sum(each.slots for each in active), sum(each.busy for each in active)
        return {
            "queue": {
                "total": sum(by_status.values()),
                "byStatus": by_status,
                "avgWaitingTime": _average_wait(minutes),
                "avgExecutionTime": _average_run(minutes),
            },
            "queues": counts,
            "workers": {
                "poolSize": slots,
                "activeWorkers": len(active),
                "availableWorkers": max(0, slots - busy),
                "busyWorkers": busy,
                "workers": [worker(each) for each in heard],
            },
            "server": {
                "version": __version__,
                "pid": os.getpid(),
                "uptime": time.time() - self._service.started,
            },
        }


def _average_wait(minutes: list[Minute]) -> float | None:
    """Milliseconds that jobs waited for an attempt, None if none was begun."""
    started = sum(minute.started for minute in minutes)
    return sum(minute.waited for minute in minutes) / started / MILLISECOND if started else None


def _average_run(minutes: list[Minute]) -> float | None:
    """Milliseconds that attempts took, None if none ended."""
    ended = sum(sum(minute.run_histogram.values()) for minute in minutes)
    return sum(minute.ran for minute in minutes) / ended / MILLISECOND if ended else None
