"""The routes of topics: publish, and subscribe by Server-Sent Events or a WebSocket."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.json import Decoder
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from mainspring import codec
from mainspring.durations import moment
from mainspring.errors import InvalidArguments, InvalidState, SlowSubscriber
from mainspring.keys import Permission
from mainspring.server.backend.service import Service
from mainspring.server.entry.paths import Events, enqueue, path, read, socket
from mainspring.server.forms import asked
from mainspring.server.forms.answers import MILLISECOND, Shown, answer
from mainspring.server.forms.problems import Problem
from mainspring.server.permissions.callers import caller_of
from mainspring.server.permissions.narrow import permit
from mainspring.server.routes.events import HEADERS, RETRY, SILENCE
from mainspring.topics import Post, Subscription

MOST_PATTERNS = 100

TRY_AGAIN_LATER, GOING_AWAY = 1013, 1001
"""Why a WebSocket is closed: it was too slow; the server stops."""


class Publication(Struct, frozen=True, forbid_unknown_fields=True):
    """What is published: a JSON value, or bytes."""

    body: Any = UNSET
    base64: str | UnsetType = UNSET
    headers: dict[str, str] = {}


class Which(Struct, frozen=True, forbid_unknown_fields=True):
    """The topics or patterns, with commas between them or one by one, and behind which position."""

    topics: tuple[str, ...] = ()
    after: Annotated[str, Meta(max_length=1000)] | None = None


class Published(Shown, frozen=True, kw_only=True):
    """The number that the post got."""

    success: bool = True
    topic: str
    number: int


class Connected(Shown, frozen=True, kw_only=True, tag="connected", tag_field="type"):
    """The first of all: from here on everything is heard. `missed` posts behind the position that
    was asked for are not kept any more."""

    topics: tuple[str, ...]
    position: str
    missed: int


class Heard(Shown, frozen=True, kw_only=True, tag="message", tag_field="type"):
    """A post: its `body`, or `base64` where it is bytes."""

    topic: str
    body: Raw | UnsetType = UNSET
    base64: str | UnsetType = UNSET
    headers: dict[str, str]
    number: int
    position: str
    at: int


class Slow(Shown, frozen=True, kw_only=True, tag="slow", tag_field="type"):
    """The last of all: more was published than is held for one that does not read."""

    missed: int
    position: str


Event: TypeAlias = Connected | Heard | Slow

PUBLICATION, WHICH = Decoder(Publication), asked.Query(Which)

_encode = msgspec.json.Encoder().encode


class TopicRoutes:
    """What can be said and heard."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._topics = service.app.topics

    def routes(self) -> list[BaseRoute]:
        """Each path and method."""
        return [
            path(
                "/topics/{name}/publish",
                POST=enqueue(self.publish, body=Publication, answers={201: Published}),
            ),
            path("/topics/subscribe", GET=read(self.subscribe, query=Which, answers={200: Events})),
            path("/topics/ws", GET=read(self.upgrade, query=Which, answers={101: None})),
            socket("/topics/ws", Permission.READ, self.talk),
        ]

    async def publish(self, request: Request) -> Response:
        """Tell all who are subscribed to a topic."""
        said = await asked.body(request, PUBLICATION)
        name: str = request.path_params["name"]
        permit(caller_of(request), name, "a topic")
        body = asked.value_of(said.body, said.base64, "body")
        number = await self._topics.apublish(name, body, headers=said.headers)
        return answer(Published(topic=name, number=number), 201)

    async def subscribe(self, request: Request) -> Response:
        """A stream of what is published on some topics, from now on or behind the last event."""
        subscription = self._subscription(request, asked.header(request, b"last-event-id"))
        return Stream(self._open(subscription), _events(subscription))

    async def upgrade(self, request: Request) -> Response:
        """The same over a WebSocket."""
        raise Problem(426, "upgrade-required", "expected a WebSocket", {"Upgrade": "websocket"})

    async def talk(
        self, connection: WebSocket, form: Callable[[Event], object] | None = None
    ) -> None:
        """The same, a JSON text in each frame, of each event or what `form` makes of it; what comes
        from the client is passed over."""
        subscription = self._subscription(connection, "")
        async with self._open(subscription):
            await connection.accept()
            telling = asyncio.ensure_future(_tell(connection, subscription, form))
            gone = asyncio.ensure_future(_gone(connection))
            try:
                await asyncio.wait((telling, gone), return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    gone.result()
                else:
                    await connection.close(telling.result())
            except WebSocketDisconnect:
                return
            finally:
                telling.cancel()
                gone.cancel()
                await asyncio.gather(telling, gone, return_exceptions=True)

    def _subscription(self, connection: HTTPConnection, seen: str) -> Subscription:
        which = WHICH.read(connection)
        topics = [name for names in which.topics for name in names.split(",") if name]
        if len(topics) > MOST_PATTERNS:
            raise InvalidArguments(f"topics: expected at most {MOST_PATTERNS}, got {len(topics)}")
        knows = caller_of(connection).knows
        return Subscription(self._service.app, topics, seen or which.after, knows)

    @asynccontextmanager
    async def _open(self, subscription: Subscription) -> AsyncIterator[None]:
        """Within it, the subscription goes on until the server stops."""
        with self._service.waiting():
            async with subscription:
                with self._service.on_close(subscription.close):
                    if self._service.stopping:
                        subscription.close()
                    yield


class Stream(StreamingResponse):
    """Server-Sent Events while a subscription is open: what keeps it from being so is answered in
    place of them."""

    def __init__(
        self, opened: AbstractAsyncContextManager[None], events: AsyncIterator[Event | str]
    ) -> None:
        super().__init__(_lines(events), headers=HEADERS, media_type="text/event-stream")
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._opened:
            await super().__call__(scope, receive, send)


async def _events(subscription: Subscription) -> AsyncIterator[Event | str]:
    """All that is to be told; a position where there is nothing new for a while."""
    yield Connected(
        topics=subscription.topics, position=subscription.position, missed=subscription.missed
    )
    while True:
        try:
            post = await subscription.aget(SILENCE)
        except SlowSubscriber as error:
            yield Slow(missed=error.missed, position=error.position)
            return
        except InvalidState:
            return  # it was closed: the server stops
        yield subscription.position if post is None else _heard(post)


async def _lines(events: AsyncIterator[Event | str]) -> AsyncIterator[bytes]:
    yield RETRY
    async for event in events:
        if isinstance(event, str):
            yield b"id: %b\n: still here\n\n" % event.encode()
        else:
            kind = str(event.__struct_config__.tag)
            told = kind.encode(), event.position.encode(), _encode(event)
            yield b"event: %b\nid: %b\ndata: %b\n\n" % told


async def _tell(
    connection: WebSocket, subscription: Subscription, form: Callable[[Event], object] | None
) -> int:
    """Send all there is; the code to close with."""
    code = GOING_AWAY
    async for event in _events(subscription):
        if not isinstance(event, str):
            told = event if form is None else form(event)
            await connection.send_text(_encode(told).decode())
            code = TRY_AGAIN_LATER if isinstance(event, Slow) else code
    return code


async def _gone(connection: WebSocket) -> None:
    while (await connection.receive())["type"] != "websocket.disconnect":
        pass


def _heard(post: Post) -> Heard:
    is_raw = post.data[:1] == codec.RAW
    return Heard(
        topic=post.topic,
        body=UNSET if is_raw else Raw(post.data),
        base64=b64encode(post.data[1:]).decode() if is_raw else UNSET,
        headers=post.headers,
        number=post.number,
        position=post.position,
        at=moment(post.at) // MILLISECOND,
    )
