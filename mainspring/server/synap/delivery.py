"""Delivery: a WebSocket on which a consumer gets one message after the other, and settles them."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Literal, cast

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.websockets import WebSocket

from mainspring.keys import Permission
from mainspring.message import Message
from mainspring.options import text
from mainspring.server.backend.service import Service
from mainspring.server.entry.paths import path, socket, work
from mainspring.server.forms.problems import Problem
from mainspring.server.permissions.callers import caller_of
from mainspring.server.synap.asking import Asked
from mainspring.server.synap.queues import QueueCommands
from mainspring.server.synap.refusals import Refused, refusal_of
from mainspring.taking import give_back

MOST_HELD = 100
"""Messages that wait for their end on one connection, unless the queue says otherwise."""

PATIENCE = 60
"""Seconds of one wait for a message."""

PLACE = "/queue/{queue}/ws/{consumer_id}"
GOING_AWAY, FAILED = 1001, 1011


class Said(Struct, frozen=True):
    """What became of a message."""

    command: Literal["ack", "nack"]
    message_id: str
    requeue: bool = True


SAID = msgspec.json.Decoder(Said)


class Delivery:
    """Where consumers connect."""

    def __init__(self, service: Service, queues: QueueCommands) -> None:
        self._service = service
        self._queues = queues

    def routes(self) -> list[BaseRoute]:
        """Where that is."""
        return [path(PLACE, GET=work(self.upgrade)), socket(PLACE, Permission.WORK, self.talk)]

    async def upgrade(self, request: Request) -> Any:
        """The same needs a WebSocket."""
        raise Problem(426, "upgrade-required", "expected a WebSocket", {"Upgrade": "websocket"})

    async def talk(self, connection: WebSocket) -> None:
        """Send messages as they come, as many as a consumer may hold, and do with each what it
        says. What it says nothing of comes again when its time is over."""
        name = text(connection.path_params["queue"], "queue")
        consumer = text(connection.path_params["consumer_id"], "consumer_id")
        knows = caller_of(connection).knows(name)
        prefetch = await self._service.ask(self._queues.prefetch, name) if knows else None
        if prefetch is None:
            raise Problem(404, "unknown-queue", f"Queue not found: {name}")
        talk = Talk(self._service, self._queues, connection, name, consumer, prefetch or MOST_HELD)
        with self._service.waiting():
            await connection.accept()
            await talk.go_on()


class Talk:
    """One connection of a consumer."""

    def __init__(
        self,
        service: Service,
        queues: QueueCommands,
        connection: WebSocket,
        queue: str,
        consumer: str,
        most: int,
    ) -> None:
        self._service = service
        self._queues = queues
        self._connection = connection
        self._queue = queue
        self._consumer = consumer
        self._most = most
        self._held: dict[str, float] = {}
        self._room = asyncio.Event()

    async def go_on(self) -> None:
        """Until the client has gone, something went wrong, or the server stops."""
        await self._tell(type="connected", queue=self._queue, consumer_id=self._consumer)
        ways = [asyncio.ensure_future(way) for way in (self._listen(), self._deliver())]
        try:
            with self._service.on_close(ways[1].cancel):
                if not self._service.stopping:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            await self._end(ways)
        finally:
            for way in ways:
                way.cancel()

    async def _end(self, ways: Sequence[asyncio.Future[None]]) -> None:
        """Say why it is over, to a client that is still there."""
        listening = ways[0]
        errors = [way.exception() for way in ways if way.done() and not way.cancelled()]
        if error := next(filter(None, errors), None):
            await self._tell(type="error", error=refusal_of(_plain(error)).words)
            await self._connection.close(FAILED)
        elif not listening.done():
            await self._connection.close(GOING_AWAY)

    async def _listen(self) -> None:
        while (message := await self._connection.receive())["type"] != "websocket.disconnect":
            try:
                said = SAID.decode(message.get("text") or message.get("bytes") or b"")
            except (msgspec.DecodeError, RecursionError) as error:
                raise Refused(400, f"Invalid request: {error}") from None
            await self._service.ask(self._settle, said)
            self._held.pop(said.message_id, None)
            self._room.set()

    def _settle(self, said: Said) -> None:
        payload = {"queue": self._queue, "message_id": said.message_id, "requeue": said.requeue}
        asked = Asked(payload, caller_of(self._connection), "", cast(Request, self._connection))
        (self._queues.ack if said.command == "ack" else self._queues.nack)(asked)

    async def _deliver(self) -> None:
        queue = self._service.app.queue(self._queue)
        while True:
            await self._wait_for_room()
            message = await queue.aconsume(wait=PATIENCE, consumer=self._consumer)
            if message is not None:
                await self._send(message)

    async def _wait_for_room(self) -> None:
        while len(self._held) >= self._most:
            self._room.clear()
            try:
                async with asyncio.timeout(max(0.0, min(self._held.values()) - time.time())):
                    await self._room.wait()
            except TimeoutError:
                now = time.time()
                self._held = {id: end for id, end in self._held.items() if end > now}

    async def _send(self, message: Message[Any]) -> None:
        """Send a message; one that cannot be sent goes back."""
        try:
            told = await self._queues.told(message)
            created = told.pop("timestamp")
            id = told.pop("id")
            await self._tell(type="message", message_id=id, created_at=created, **told)
        except BaseException:
            asyncio.get_running_loop().run_in_executor(None, give_back, [message])
            raise
        self._held[str(message.id)] = message.deadline.timestamp()

    async def _tell(self, **told: Any) -> None:
        await self._connection.send_text(msgspec.json.encode(told).decode())


def _plain(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(type(error).__name__)
