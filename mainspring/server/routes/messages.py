"""The routes of messages: publish to a queue, consume from it, say what became of each.

A duration is a number of seconds, or text such as "5m".
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.json import Decoder
from msgspec.structs import asdict
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mainspring.durations import SECOND, microseconds
from mainspring.errors import InvalidArguments, LeaseLost, UnknownJob
from mainspring.handle import Job
from mainspring.job import NewJob, State
from mainspring.message import Message, receipt
from mainspring.pull import Queue
from mainspring.server.backend.desk import Desk
from mainspring.server.backend.service import Service
from mainspring.server.entry.paths import enqueue, path, read, work
from mainspring.server.forms import asked
from mainspring.server.forms.answers import MILLISECOND, Shown, answer, value
from mainspring.server.forms.wishes import MOST_WISHES, Seconds, ids
from mainspring.server.permissions.callers import Caller, caller_of
from mainspring.server.permissions.narrow import known_queue, permitted_queue
from mainspring.server.routes.storing import idempotency_key, stored
from mainspring.store import Traffic

LONGEST_POLL = 300
"""Seconds."""

MOST_CONSUMED = 100

ACTIONS = {State.FAILED: "dead_lettered", State.CANCELLED: "cancelled"}
"""What a nack came to; "requeued" otherwise."""


class Letter(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A message: `body`, any JSON value, or `base64` for bytes. `type` says what kind it is; the
    rest are options of the library (`PublishOptions`)."""

    body: Any = UNSET
    base64: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    headers: dict[str, str] | UnsetType = UNSET
    delay: Seconds | UnsetType = UNSET
    run_at: datetime | UnsetType = UNSET
    expires: Seconds | UnsetType = UNSET
    max_retries: int | UnsetType = UNSET
    key: str | UnsetType = UNSET
    unique: str | UnsetType = UNSET
    unique_for: Seconds | UnsetType = UNSET
    on_duplicate: Literal["return", "replace", "error"] | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    label: str | UnsetType = UNSET
    id: UUID | UnsetType = UNSET


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether to tell where in the queue a message is: that of a lone one, unless it says
    otherwise."""

    position: Literal["true", "false"] | UnsetType = UNSET


class Consume(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A wish for up to `max` messages, of these `types` (all, if it names none): how long to wait
    for the first, how long they are held, and by whom."""

    timeout: Seconds = 0
    ack_deadline: Seconds | None = None
    max: Annotated[int, Meta(ge=1, le=MOST_CONSUMED)] = 1
    consumer: str = ""
    types: Annotated[tuple[str, ...], Meta(max_length=100)] = ()


class Held(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A message that is held: by its `receipt`, which is good for this delivery alone, or by its id
    (then whoever holds it now is meant, or nobody if that is not `consumer`)."""

    message_id: UUID | UnsetType = UNSET
    receipt: str | UnsetType = UNSET
    consumer: str | UnsetType = UNSET


class Ack(Held, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """It is done; `result` is kept."""

    result: Any = None


class Nack(Held, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """It failed: it is delivered again after `delay`, or as its retries say, unless it is not to be
    requeued."""

    requeue: bool = True
    delay: Seconds | None = None
    error: Annotated[str, Meta(max_length=4000)] = ""


class Extend(Held, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """It is held for so long from now on."""

    ack_deadline: Seconds


class Release(Held, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """It is given back as if it had not been taken, at once or after `delay`."""

    delay: Seconds | None = None


LETTERS = Decoder(Letter | Annotated[list[Letter], Meta(min_length=1, max_length=MOST_WISHES)])
CONSUME, ACK, NACK = Decoder(Consume), Decoder(Ack), Decoder(Nack)
EXTEND, RELEASE = Decoder(Extend), Decoder(Release)
ASKED = asked.Query(Asked)


class Stored(Shown, frozen=True, kw_only=True):
    """A message that was stored, and its place in the queue, from 1; null unless it is pending."""

    message_id: UUID
    position: int | None


class StoredOne(Stored, frozen=True, kw_only=True):
    """The message that was published."""

    success: bool = True


class StoredMany(Shown, frozen=True, kw_only=True):
    """The messages that were published."""

    success: bool = True
    messages: Sequence[Stored]


class MessageShown(Shown, frozen=True, kw_only=True):
    """A delivery of a message. `body` is a JSON value, or `{"base64": ...}` where it is bytes."""

    message_id: UUID
    receipt: str
    number: int
    type: str
    body: Raw
    headers: dict[str, str]
    attempt: int
    published_at: int
    deadline: int


class Consumed(Shown, frozen=True, kw_only=True):
    """What there was; nothing if the wait was in vain."""

    success: bool = True
    messages: Sequence[MessageShown]


class Settled(Shown, frozen=True, kw_only=True):
    """Where the message is now."""

    success: bool = True
    status: State


class Nacked(Settled, frozen=True, kw_only=True):
    """What became of it: requeued, dead_lettered or cancelled (if that had been asked)."""

    action: str


class Extended(Shown, frozen=True, kw_only=True):
    """Until when it is held."""

    success: bool = True
    deadline: int


class StatsShown(Shown, frozen=True, kw_only=True):
    """What waits in a queue, is held by consumers, and went through it since its beginning."""

    depth: int
    in_flight: int
    consumers: int
    published_total: int
    consumed_total: int
    acked_total: int
    dead_lettered_total: int
    dead_letter_count: int
    avg_wait_time_ms: float


class Stats(Shown, frozen=True, kw_only=True):
    """The statistics of one queue."""

    success: bool = True
    queue: str
    stats: StatsShown


class MessageRoutes:
    """What can be asked of messages."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._app = service.app
        self._desk = Desk(service)

    def routes(self) -> list[Route]:
        """Each path and method."""
        one = "/queues/{name}"
        return [
            path(
                f"{one}/publish",
                POST=enqueue(
                    self.publish,
                    query=Asked,
                    body=Letter | list[Letter],
                    answers={201: StoredOne | StoredMany, 200: StoredOne | StoredMany},
                ),
            ),
            path(
                f"{one}/consume",
                POST=work(self.consume, body=Consume | None, answers={200: Consumed}),
            ),
            path(f"{one}/ack", POST=work(self.ack, body=Ack, answers={200: Settled})),
            path(f"{one}/nack", POST=work(self.nack, body=Nack, answers={200: Nacked})),
            path(f"{one}/extend", POST=work(self.extend, body=Extend, answers={200: Extended})),
            path(f"{one}/release", POST=work(self.release, body=Release, answers={200: Settled})),
            path(f"{one}/stats", GET=read(self.stats, answers={200: Stats})),
        ]

    async def publish(self, request: Request) -> Response:
        """Store a message, or all of a list; one that is there already is answered as it is."""
        name = permitted_queue(request)
        said = ASKED.read(request)
        asked_for = await asked.body(request, LETTERS)
        letters = [asked_for] if isinstance(asked_for, Letter) else asked_for
        key, only = idempotency_key(request), caller_of(request).only
        made = await self._jobs(self._app.queue(name), letters, key, only)
        found = await stored(self._service, request, made)
        status = 200 if all(job.repeated or job.duplicate for job in found) else 201
        alone = isinstance(asked_for, Letter)
        with_position = said.position == "true" or (alone and said.position is UNSET)
        places = await self._service.ask(_positions, found) if with_position else []
        shown = [
            Stored(message_id=job.id, position=places[n] if places else None)
            for n, job in enumerate(found)
        ]
        if not alone:
            return answer(StoredMany(messages=shown), status)
        return answer(StoredOne(**asdict(shown[0])), status)

    async def _jobs(
        self, queue: Queue[Any], letters: Sequence[Letter], key: str, only: Sequence[str]
    ) -> list[NewJob[Any]]:
        named = ids(key, len(letters), only) if key else [None] * len(letters)
        return [
            await queue.amessage(
                asked.value_of(letter.body, letter.base64, "body"), **_options(letter, id)
            )
            for letter, id in zip(letters, named, strict=True)
        ]

    async def consume(self, request: Request) -> Response:
        """Take messages, waiting for the first, in the order in which consumers came."""
        queue = self._queue(request)
        wish = await asked.body_or(request, CONSUME, Consume())
        timeout = microseconds(wish.timeout, "timeout")
        if timeout > LONGEST_POLL * SECOND:
            raise InvalidArguments(f"timeout: expected at most {LONGEST_POLL} s")
        consumer = wish.consumer or _named(request)
        taking = queue.taking(
            wish.max, lease=wish.ack_deadline, consumer=consumer, types=wish.types
        )
        types = tuple(sorted(set(wish.types)))
        found = await self._desk.take(taking, queue.name, types, timeout / SECOND, request)
        return answer(Consumed(messages=[_shown(message) for message in found]))

    async def ack(self, request: Request) -> Response:
        """Acknowledge a message. One that was acknowledged before stays so."""
        queue, said = self._queue(request), await asked.body(request, ACK)

        def settle() -> None:
            if held := self._receipt(queue.name, said, done=State.COMPLETED):
                queue.ack(held, said.result)

        await self._service.ask(settle)
        return answer(Settled(status=State.COMPLETED))

    async def nack(self, request: Request) -> Response:
        """Give back a message as failed: to be delivered again, or as a dead letter."""
        queue, said = self._queue(request), await asked.body(request, NACK)
        if said.delay is not None and not said.requeue:
            raise InvalidArguments("delay: expected none with requeue false")

        def settle() -> State:
            held = self._receipt(queue.name, said)
            if not said.requeue:
                return queue.reject(held, said.error)
            return queue.nack(held, said.error, delay=said.delay)

        status = await self._service.ask(settle)
        return answer(Nacked(status=status, action=ACTIONS.get(status, "requeued")))

    async def extend(self, request: Request) -> Response:
        """Hold a message longer, with all that were taken by the same call."""
        queue, said = self._queue(request), await asked.body(request, EXTEND)
        until = await self._service.ask(
            lambda: queue.extend(self._receipt(queue.name, said), said.ack_deadline)
        )
        return answer(Extended(deadline=int(until.timestamp() * 1000)))

    async def release(self, request: Request) -> Response:
        """Give back a message at no cost."""
        queue, said = self._queue(request), await asked.body(request, RELEASE)
        status = await self._service.ask(
            lambda: queue.release(self._receipt(queue.name, said), delay=said.delay)
        )
        return answer(Settled(status=status))

    async def stats(self, request: Request) -> Response:
        """What waits in the queue, and what went through it."""
        queue = self._queue(request)
        traffic = await self._service.ask(queue.stats)
        return answer(Stats(queue=queue.name, stats=_stats(traffic)))

    def _queue(self, request: Request) -> Queue[Any]:
        return self._app.queue(known_queue(request))

    def _receipt(self, queue: str, said: Held, done: State | None = None) -> str:
        """The receipt of the delivery that is meant; "" if the message is `done` already."""
        if (said.receipt is UNSET) == (said.message_id is UNSET):
            raise InvalidArguments("expected receipt or messageId, one of them")
        if not isinstance(said.message_id, UUID):
            return str(said.receipt)
        [record] = self._app.store.get([said.message_id.bytes])
        if record is None or record.queue != queue:
            raise UnknownJob(f"no message of queue {queue!r} has the id {said.message_id}")
        if record.state is done:
            return ""
        if record.token is None or said.consumer not in (UNSET, record.worker):
            stands = f"held by {record.worker}" if record.token is not None else record.state
            raise LeaseLost(f"message {said.message_id} is not held: it is {stands}")
        return receipt(queue, record.number, record.token)


def _named(request: Request) -> str:
    """What a consumer is called that does not say: by his key, and where he is."""
    caller: Caller = caller_of(request)
    return f"{caller.name}@{request.client.host}" if request.client else caller.name


def _options(letter: Letter, id: UUID | None) -> dict[str, Any]:
    given = {name: said for name, said in asdict(letter).items() if said is not UNSET}
    for name in ("body", "base64"):
        given.pop(name, None)
    if "type" in given:
        given["task"] = given.pop("type")
    if id is not None:
        given.setdefault("id", id)
    return given


def _positions(stored: Sequence[Job[Any]]) -> list[int | None]:
    return [job.position() for job in stored]


def _shown(message: Message[Any]) -> MessageShown:
    job = message.claimed
    return MessageShown(
        message_id=message.id,
        receipt=message.receipt,
        number=message.number,
        type=message.task,
        body=value(job.payload),
        headers=dict(message.headers),
        attempt=message.attempt,
        published_at=job.created // MILLISECOND,
        deadline=int(message.deadline.timestamp() * 1000),
    )


def _stats(traffic: Traffic) -> StatsShown:
    waited = traffic.waited / traffic.consumed if traffic.consumed else 0.0
    return StatsShown(
        depth=traffic.depth,
        in_flight=traffic.running,
        consumers=traffic.consumers,
        published_total=traffic.published,
        consumed_total=traffic.consumed,
        acked_total=traffic.acked,
        dead_lettered_total=traffic.dead_lettered,
        dead_letter_count=traffic.dead_letters,
        avg_wait_time_ms=round(waited / MILLISECOND, 3),
    )
