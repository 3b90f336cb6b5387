"""The route of a job's events: state, progress and log, as Server-Sent Events."""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from mainspring.job import Record
from mainspring.server.backend.service import Service
from mainspring.server.backend.watch import Sight, Watch
from mainspring.server.entry.paths import Events, path, read
from mainspring.server.forms.answers import MILLISECOND, task
from mainspring.server.forms.asked import header
from mainspring.server.permissions.callers import caller_of
from mainspring.server.permissions.narrow import there
from mainspring.server.routes.tasks import id_of
from mainspring.store import Line

SILENCE = 15.0
"""Seconds after which a comment shows that the stream lives."""

RETRY = b"retry: 2000\n\n"
"""Milliseconds after which a client whose stream broke asks again."""

END = "end"
"""The id of the last event. A client that asks again having seen it is told to stop."""

HEADERS = {"X-Accel-Buffering": "no"}


class EventRoutes:
    """What can be followed."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._watch = Watch(service)

    def routes(self) -> list[Route]:
        """Each path and method."""
        return [path("/tasks/{id}/events", GET=read(self.follow, answers={200: Events, 204: None}))]

    async def follow(self, request: Request) -> Response:
        """A stream of a job's changes, until it has ended."""
        id = id_of(request)
        [record] = await self._service.ask(self._service.app.store.get, [id.bytes])
        job = there(caller_of(request), id, record)
        seen = header(request, b"last-event-id")
        if seen == END and job.state.final:
            return Response(status_code=204)
        return StreamingResponse(
            self._events(id, seen), headers=HEADERS, media_type="text/event-stream"
        )

    async def _events(self, id: UUID, seen: str) -> AsyncIterator[bytes]:
        story = Story(seen)
        yield RETRY
        with self._watch.follow(id.bytes) as follower, self._service.on_close(follower.changed.set):
            while not (self._service.stopping or follower.dropped):
                sight = await follower.next(SILENCE)
                if sight is None:
                    yield b": still here\n\n"
                    continue
                if told := b"".join(story.told(sight)):
                    yield told
                if sight.job is None or sight.job.state.final:
                    return


class Story:
    """What one client has been told of a job."""

    def __init__(self, seen: str) -> None:
        self._seen = seen
        self._stood: object = None
        self._came: object = (None, None)

    def told(self, sight: Sight) -> Iterator[bytes]:
        """The events that tell what is new; how the job ended comes last."""
        job = sight.job
        if job is None:
            yield _event("deleted", {}, END)
            return
        ended = job.state.final
        if not ended:
            yield from self._state(job, self._seen)
        for name, line in self._fresh(sight.lines):
            self._seen = name
            at = line.at // MILLISECOND
            yield _event("log", {"at": at, "attempt": line.attempt, "text": line.text}, name)
        if (job.progress, job.note) != self._came:
            self._came = (job.progress, job.note)
            yield _event("progress", {"progress": job.progress, "note": job.note}, self._seen)
        if ended:
            yield from self._state(job, END)

    def _state(self, job: Record, id: str) -> Iterator[bytes]:
        stands = (job.state, job.attempt, job.claims, job.cancel_asked, job.due)
        if stands != self._stood:
            self._stood = stands
            yield _event("state", task(job), id)

    def _fresh(self, lines: tuple[tuple[str, Line], ...]) -> tuple[tuple[str, Line], ...]:
        """The lines after the last that was told; all of them where that one is not kept."""
        with suppress(ValueError):
            names = [name for name, _ in lines]
            return lines[names.index(self._seen) + 1 :]
        return lines


def _event(kind: str, data: object, id: str) -> bytes:
    """An event; one without an id leaves what the client holds as the last."""
    named = b"id: %b\n" % id.encode("ascii", "ignore") if id else b""
    return b"%bevent: %b\ndata: %b\n\n" % (named, kind.encode(), msgspec.json.encode(data))
