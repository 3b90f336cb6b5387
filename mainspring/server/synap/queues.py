"""Queues: Synap's commands `queue.*`.

A message is a job like all others; that it was bytes on the wire is all that differs.
"""

from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from mainspring.durations import SECOND, microseconds
from mainspring.errors import LeaseLost, PayloadTooLarge, QueueFull
from mainspring.job import WAITING, NewJob, Record, Select, State, decode_policy
from mainspring.keys import Permission
from mainspring.message import Message, receipt
from mainspring.options import text
from mainspring.pull import Queue
from mainspring.retry import Retry
from mainspring.server.backend.desk import Desk
from mainspring.server.backend.service import Service
from mainspring.server.entry.recorder import changed, record
from mainspring.server.synap.asking import Asked, Command, Table, is_whole
from mainspring.server.synap.directory import USUAL, Directory, Kept
from mainspring.server.synap.refusals import Refused, invalid, missing
from mainspring.server.synap.values import kept, shown
from mainspring.store import Traffic
from mainspring.taking import give_back

HIGHEST = 9
"""The highest priority."""

DEEPEST = 100_000
LONGEST_POLL = 300
"""Seconds."""

MOST_LETTERS = 1000

ENDED = (State.COMPLETED, State.FAILED, State.CANCELLED)


class QueueCommands:
    """What can be asked of queues."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._app = service.app
        self._desk = Desk(service)
        self._directory = Directory(service.app)

    def commands(self) -> Table:
        """Each command by its name."""
        return {
            "queue.create": Command(Permission.ENQUEUE, wait=self.create),
            "queue.delete": Command(Permission.ADMIN, self.delete),
            "queue.list": Command(Permission.READ, self.names),
            "queue.stats": Command(Permission.READ, self.stats),
            "queue.purge": Command(Permission.ADMIN, self.purge),
            "queue.publish": Command(Permission.ENQUEUE, wait=self.publish),
            "queue.consume": Command(Permission.WORK, wait=self.consume),
            "queue.ack": Command(Permission.WORK, self.ack),
            "queue.nack": Command(Permission.WORK, self.nack),
            "queue.dead_letters": Command(Permission.READ, self.dead_letters),
            "queue.dead_letters.retry": Command(Permission.ADMIN, self.retry),
            "queue.dead_letters.purge": Command(Permission.ADMIN, self.bury),
        }

    # --- queues -----------------------------------------------------------------------------

    async def create(self, asked: Asked) -> dict[str, bool]:
        """Make a queue, which takes a key for everything; one that is there stays as it is."""
        name = text(asked.text("name"), "queue")
        asked.permit(name)
        if await self._service.ask(self._directory.find, name) is None:
            asked.caller.require(Permission.ADMIN)
            await self._service.ask(self._make, asked, name)
            changed(asked.request, after=asked.payload)
            await record(asked.request, 200)
        return {"success": True}

    def _make(self, asked: Asked, name: str) -> None:
        config = asked.payload.get("config")
        said = replace(asked, payload=config if isinstance(config, dict) else {})
        depth, deadline = said.count("max_depth"), said.count("ack_deadline_secs")
        priority = said.count("default_priority")
        entry = Kept(
            priority=USUAL if priority is None else min(priority, HIGHEST),
            prefetch=said.count("prefetch_limit") or 0,
        )
        self._app.configure(
            name,
            by_hand=True,
            max_depth=DEEPEST if depth is None else depth,
            ack_deadline=30 if deadline is None else deadline,
            max_retries=said.count("default_max_retries"),
            retry_delays=said.payload.get("retry_delays"),
        )
        self._directory.keep(name, entry)

    def delete(self, asked: Asked) -> dict[str, bool]:
        """Remove a queue with its messages. What is held is cancelled: it comes back to nobody."""
        name = _queue(asked, "name")
        entry = self._directory.find(name) if asked.caller.knows(name) else None
        if entry is None:
            return {"deleted": False}
        self._directory.keep(name, replace(entry, deleted=True))
        self._app.delete(queues=name, states=(*WAITING, *ENDED))
        self._app.cancel(queues=name, states=State.RUNNING, reason="its queue was deleted")
        return {"deleted": True}

    def names(self, asked: Asked) -> dict[str, list[str]]:
        """All queues."""
        return {"queues": asked.caller.known(self._directory.names())}

    def stats(self, asked: Asked) -> dict[str, Any]:
        """What waits in a queue, and what went through it."""
        return _figures(self._there(asked).stats())

    def purge(self, asked: Asked) -> dict[str, int]:
        """Remove the messages that wait."""
        queue = self._there(asked)
        return {"purged": len(self._app.delete(queues=queue.name, states=tuple(WAITING)).ids)}

    # --- messages ---------------------------------------------------------------------------

    async def publish(self, asked: Asked) -> dict[str, Any]:
        """Store a message: the bytes of `payload`, or `message`, any JSON value, which also makes
        the queue."""
        job = await self._service.ask(self._job, asked)
        try:
            [stored] = await self._app.aput([job])
        except QueueFull:
            raise Refused(507, f"Queue is full: {job.queue}") from None
        position = await self._service.ask(self._app.store.position, job.id)
        return {"message_id": str(stored.id), "position": position}

    def _job(self, asked: Asked) -> NewJob[Any]:
        """The job that is stored for a message."""
        name, payload = _queue(asked), kept(_payload(asked))
        if len(payload) > (most := self._app.max_payload):
            raise PayloadTooLarge(f"expected at most {most:,} bytes, got {len(payload):,}")
        asked.permit(name)
        if (entry := self._directory.find(name)) is None:
            if "payload" in asked.payload:
                raise _no_queue(name)
            self._directory.keep(name, entry := Kept())
        priority = asked.count("priority")
        options = {
            **_options(asked),
            **self._retries(name, asked.count("max_retries")),
            "priority": entry.priority if priority is None else min(priority, HIGHEST),
        }
        return replace(self._app.queue(name).message(None, **options), payload=payload)

    def _retries(self, queue: str, given: int | None) -> dict[str, Any]:
        """Options of a message that is delivered again at once, unless its queue says when."""
        usual = self._app.rules.of(queue).policy.retry
        if usual.kind == "list":
            return {} if given is None else {"max_retries": given}
        return {"retry": _at_once(usual.max_retries if given is None else given)}

    async def consume(self, asked: Asked) -> dict[str, Any]:
        """Take the next message, waiting up to `timeout` seconds for one; it is held for
        `ack_deadline` seconds, or as the queue says."""
        name, consumer = _queue(asked), text(asked.text("consumer_id"), "consumer_id")
        timeout = _span(asked, "timeout") or 0.0
        if timeout > LONGEST_POLL:
            raise invalid(f"'timeout' must be at most {LONGEST_POLL} seconds")
        lease = _span(asked, "ack_deadline")
        if not asked.caller.knows(name):
            return {"message": None}
        entry = await self._service.ask(self._directory.find, name)
        if entry is None or await self._service.ask(self._has_enough, name, consumer, entry):
            return {"message": None}
        taking = self._app.queue(name).taking(1, lease=lease, consumer=consumer)
        found = await self._desk.take(taking, name, (), timeout, asked.request)
        if not found:
            return {"message": None}
        try:
            return {"message": await self.told(found[0])}
        except Exception:
            await self._service.ask(give_back, found)
            raise

    async def told(self, message: Message[Any]) -> dict[str, Any]:
        """What is told of a message that was taken."""
        [record] = await self._service.ask(self._app.store.get, [message.id.bytes])
        return _message(message, record)

    def prefetch(self, name: str) -> int | None:
        """How many messages a consumer may hold, 0 any number; None if there is no such queue."""
        entry = self._directory.find(name)
        return None if entry is None else entry.prefetch

    def _has_enough(self, queue: str, consumer: str, entry: Kept) -> bool:
        if not entry.prefetch:
            return False
        self._app.leases.round()  # else one who holds all he may would never lose any of it
        store, running = self._app.store, Select(queues=(queue,), states=(State.RUNNING,))
        held = store.find(running, limit=max(1, store.traffic(queue).running))
        return sum(record.worker == consumer for record in held) >= entry.prefetch

    def ack(self, asked: Asked) -> dict[str, bool]:
        """A message is done. Whoever knows its id may say so, as in Synap."""
        queue, held = self._held(asked)
        try:
            queue.ack(held)
        except LeaseLost:
            raise _no_message(asked) from None
        return {"success": True}

    def nack(self, asked: Asked) -> dict[str, Any]:
        """A message failed: it is delivered again as its retries say or after `delay` seconds, or
        with `requeue` false it is a dead letter."""
        requeue = asked.payload.get("requeue", True)
        delay = _span(asked, "delay")
        queue, held = self._held(asked)
        why = asked.text_or("error", "")
        try:
            if requeue is False:
                state = queue.reject(held, why)
            else:
                state = queue.nack(held, why, delay=delay)
        except LeaseLost:
            raise _no_message(asked) from None
        action = "dead_lettered" if state is State.FAILED else "requeued"
        return {"success": True, "action": action}

    def _held(self, asked: Asked) -> tuple[Queue[Any], str]:
        """The queue, and the receipt of the delivery that is meant."""
        queue = self._there(asked)
        try:
            id = UUID(asked.text("message_id"))
        except ValueError:
            raise _no_message(asked) from None
        [record] = self._app.store.get([id.bytes])
        if record is None or record.queue != queue.name or record.token is None:
            raise _no_message(asked)
        return queue, receipt(queue.name, record.number, record.token)

    # --- dead letters -----------------------------------------------------------------------

    def dead_letters(self, asked: Asked) -> dict[str, Any]:
        """Messages that failed for good, the newest first."""
        queue = self._there(asked)
        wanted = asked.count("limit")
        limit = min(100 if wanted is None else wanted, MOST_LETTERS)
        letters = Select(queues=(queue.name,), states=(State.FAILED,))
        found = self._app.store.find(letters, limit=limit) if limit else []
        return {"messages": [_letter(record) for record in found], "count": len(found)}

    def retry(self, asked: Asked) -> dict[str, int]:
        """Have dead letters, those of `message_ids` or all, delivered again with all retries."""
        queue, ids = self._letters(asked)
        done = self._app.replay(*ids, queues=queue.name, states=State.FAILED)
        return {"retried": len(done.ids)}

    def bury(self, asked: Asked) -> dict[str, int]:
        """Remove dead letters, those of `message_ids` or all."""
        queue, ids = self._letters(asked)
        done = self._app.delete(*ids, queues=queue.name, states=State.FAILED)
        return {"purged": len(done.ids)}

    def _letters(self, asked: Asked) -> tuple[Queue[Any], list[UUID]]:
        queue = self._there(asked)
        if "message_ids" not in asked.payload:
            return queue, []
        ids = asked.texts("message_ids")
        if not 0 < len(ids) <= MOST_LETTERS:
            raise invalid(f"'message_ids' must be 1 to {MOST_LETTERS} ids")
        try:
            return queue, [UUID(id) for id in ids]
        except ValueError:
            raise invalid("'message_ids' must be ids of messages") from None

    def _there(self, asked: Asked) -> Queue[Any]:
        name = _queue(asked)
        if not asked.caller.knows(name) or self._directory.find(name) is None:
            raise _no_queue(name)
        return self._app.queue(name)


def _queue(asked: Asked, otherwise: str = "queue") -> str:
    field = "queue" if "queue" in asked.payload else otherwise
    return text(asked.text(field), "queue")


def _payload(asked: Asked) -> bytes:
    """The bytes that are published."""
    payload = asked.payload.get("payload")
    if payload is None and "message" in asked.payload:
        return msgspec.json.encode(asked.payload["message"])
    if not isinstance(payload, list):
        raise missing("payload")
    if not all(is_whole(each) and 0 <= each <= 255 for each in payload):
        raise invalid("'payload' must be an array of bytes, numbers from 0 to 255")
    return bytes(payload)


def _options(asked: Asked) -> dict[str, Any]:
    options: dict[str, Any] = {"headers": asked.members("headers")}
    for field, option in (("delay", "delay"), ("ttl", "expires")):
        if (span := _span(asked, field)) is not None:
            options[option] = span
    return options


def _span(asked: Asked, field: str) -> float | None:
    """Seconds that may be there, fractions of them, too."""
    value = asked.payload.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(f"'{field}' must be a number of seconds")
    return microseconds(value, field) / SECOND


@lru_cache(100)
def _at_once(most: int) -> Retry:
    return Retry(max_retries=most, backoff=[0], jitter=False)


def _message(message: Message[Any], record: Record | None) -> dict[str, Any]:
    job = message.claimed
    priority = record.priority if record else USUAL
    return {
        "id": str(message.id),
        "payload": list(shown(job.payload)),
        "priority": max(0, min(priority, HIGHEST)),
        "retry_count": job.attempt - 1,
        "max_retries": decode_policy(job.policy).retry.max_retries,
        "headers": dict(message.headers),
        "timestamp": job.created // SECOND,
        "deadline": int(message.deadline.timestamp() * 1000),
    }


def _letter(record: Record) -> dict[str, Any]:
    return {
        "message_id": str(UUID(bytes=record.id)),
        "payload": list(shown(record.payload)),
        "priority": max(0, min(record.priority, HIGHEST)),
        "retry_count": max(0, record.attempt - 1),
        "headers": record.headers,
        "reason": record.reason,
        "error": record.error.message if record.error else None,
    }


def _figures(traffic: Traffic) -> dict[str, Any]:
    """Synap's seven numbers, and some more. A delivery that neither ended well nor is under way was
    given back."""
    waited = traffic.waited / traffic.consumed if traffic.consumed else 0.0
    return {
        "depth": traffic.depth,
        "consumers": traffic.consumers,
        "published": traffic.published,
        "consumed": traffic.consumed,
        "acked": traffic.acked,
        "nacked": max(0, traffic.consumed - traffic.acked - traffic.running),
        "dead_lettered": traffic.dead_lettered,
        "in_flight": traffic.running,
        "dead_letters": traffic.dead_letters,
        "avg_wait_time_ms": round(waited / 1000, 3),
    }


def _no_queue(name: str) -> Refused:
    return Refused(404, f"Queue not found: {name}")


def _no_message(asked: Asked) -> Refused:
    return Refused(404, f"Message not found: {asked.text('message_id')}")
