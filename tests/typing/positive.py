"""What type checkers must understand about the public face. Read by them, never run."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, assert_type

import msgspec
import pydantic

from mainspring import (
    Affected,
    AsyncClient,
    AsyncTask,
    BatchTask,
    Cancel,
    Client,
    Context,
    Entry,
    Job,
    Mainspring,
    Message,
    NewJob,
    Post,
    Published,
    Queue,
    RateLimited,
    Reject,
    Retry,
    RetryAfter,
    Snooze,
    State,
    Subscription,
    Task,
    Tasks,
    current,
)
from mainspring.client import Published as Sent
from mainspring.events import Enqueued

tasks = Tasks()
mail = Tasks("mail")


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int = 0


class User(pydantic.BaseModel):
    name: str
    age: Annotated[int, pydantic.Field(ge=0)] = 0


# --- declaring -----------------------------------------------------------------------------------


@tasks.task
def add(a: int, b: int = 1) -> int:
    return a + b


@tasks.task
async def fetch(url: str, *, tries: int = 3) -> bytes:
    current().progress(25, note="x")
    return b""


@tasks.task(
    queue="mail",
    retry=Retry(max_retries=5, base=1.0, max_delay="5m"),
    timeout="2m",
    key_by="tenant",
    unique_by=("to", "subject"),
    unique_for="1h",
    on_duplicate="return",
    aliases=["mail.deliver"],
)
async def send(to: str, subject: str, *, tenant: str = "main") -> str:
    match to:
        case "":
            raise Snooze(30)
        case "a":
            raise RetryAfter("5m")
        case "b":
            raise Cancel("no")
        case "c":
            raise Reject("no")
        case "d":
            raise RateLimited(3)
        case _:
            return "ok"


@tasks.task(
    max_retries=0, timeout=timedelta(minutes=10), runs_in="process", memory="512MB", version=2
)
def render(doc: int) -> bytes:
    return b""


@render.upgrade(from_=1)
def from_a_name(old: dict[str, Any]) -> dict[str, Any]:
    return {"doc": int(old["name"])}


assert_type(from_a_name({}), dict[str, Any])
assert_type(render.versions, range)


@tasks.task
def nothing(x: int) -> None: ...


@tasks.task
def everything(
    when: datetime,
    who: uuid.UUID,
    price: Decimal,
    raw: bytes,
    colour: Colour,
    at: Point,
    user: User,
    users: list[User],
    maybe: int | None = None,
    *,
    n: Annotated[int, msgspec.Meta(ge=1, le=5)] = 1,
    gap: timedelta = timedelta(1),
) -> dict[str, Point]:
    return {}


@tasks.task
def with_context(x: int, *, context: Context | None = None) -> int:
    return x


@tasks.task
def with_context_last(x: int, context: Context | None = None) -> int:
    return x


@tasks.task
async def with_context_async(x: int, context: Context | None = None) -> int:
    return x


class Service:
    @staticmethod
    @tasks.task
    def inner(x: int) -> int:
        return x

    @tasks.task
    @staticmethod
    def outer(x: int) -> int:
        return x

    def bound(self, payload: dict[str, Any], context: Context) -> str:
        return ""


@tasks.batch(size=50, wait="1s")
def index(items: list[Point]) -> list[int | Exception]:
    return []


@tasks.batch(size=50, queue="index")
def index_all(items: list[Point]) -> None: ...


@tasks.batch()
def index_ints(items: list[int]) -> list[str]:
    return []


@tasks.task
def returns_any(x: dict[str, Any], y: Any) -> Any: ...


@tasks.task(queue="x")
def returns_any_too(x: dict[str, Any], y: Any) -> Any: ...


@tasks.task
def returns_maybe_any(x: int) -> Any | None: ...


@tasks.handler("email")
def email(payload: dict[str, str]) -> str:
    return ""


@tasks.handler("email in context", queue="mail")
async def email_in_context(payload: dict[str, str], context: Context) -> str:
    context.log("x", size=1)
    context.progress(25)
    return ""


class Module:
    @staticmethod
    def execute(payload: Any, context: Context) -> Any: ...


class Executor:
    async def execute(self, payload: Any) -> Any: ...


tasks.handler("bound", Service().bound)
tasks.handler("by place", "handlers.email:execute")
tasks.handler("module", Module())
tasks.handler("lambda", lambda payload: len(payload))
tasks.handler("lambda in context", lambda payload, context: len(payload))

given = Tasks(
    handlers={
        "email": email,
        "image": "handlers.image:execute",
        "module": Module(),
        "executor": Executor(),
        "lambda": lambda payload: payload,
        "bound": Service().bound,
    }
)


@tasks.middleware
@contextmanager
def timed(context: Context) -> Generator[None, None, None]:
    yield


@tasks.middleware
def without(context: Context) -> AbstractContextManager[None]:
    return nullcontext()


tasks.include(mail)

# --- calling and enqueueing ----------------------------------------------------------------------

assert_type(add(1), int)
assert_type(add.enqueue(1, b=2), Job[int])
assert_type(add.job(1), NewJob[int])
assert_type(add.job(1).after(add.job(2), fetch.enqueue("x"), run_anyway=True), NewJob[int])
assert_type(add.job(1).after("text", uuid.uuid4()), NewJob[int])
assert_type(add.enqueue(1).result(timeout=3), int)
assert_type(nothing.enqueue(1), Job[None])
assert_type(send.using(delay="1h", priority=5, unique="u").enqueue("a", "b", tenant="t"), Job[str])
assert_type(email({"a": "b"}), str)
assert_type(with_context.enqueue(x=1), Job[int])
assert_type(with_context(1), int)
assert_type(with_context_last.enqueue(1), Job[int])
assert_type(with_context_last.job(1), NewJob[int])
assert_type(with_context_last(1), int)
assert_type(with_context_async.enqueue(1), Job[int])
assert_type(index.enqueue(Point(1)), Job[int])
assert_type(index_all.enqueue(Point(1)), Job[None])
assert_type(index_ints.job(1), NewJob[str])
index([Point(1)])
assert_type(Service.inner.enqueue(1), Job[int])
assert_type(Service.outer.enqueue(1), Job[int])
assert_type(Service().outer.enqueue(1), Job[int])
returns_any.enqueue({}, 1).result()
returns_any({}, 1)
returns_any_too.enqueue({}, 1).result()
print(returns_any_too({}, 1) + 1)
assert_type(returns_maybe_any.enqueue(1), Job[Any | None])
assert_type(add.__name__, str)


def any_task(task: Task[..., Any]) -> str:
    return task.name


def int_task(task: Task[..., int]) -> Job[int]:
    return task.enqueue()


def batch_task(task: BatchTask[[int], str, int, list[str]]) -> int:
    return task.size


def async_task(task: AsyncTask[[str], bytes]) -> str:
    return task.kind


any_task(add)
any_task(send)
any_task(index)
int_task(add)

# --- the app -------------------------------------------------------------------------------------

with Mainspring("sqlite:///x", tasks) as app:
    assert_type(app, Mainspring)
    assert_type(app.enqueue(add.job(1)), Job[int])
    assert_type(app.enqueue(add.job(1), tx=object()), Job[int])
    assert_type(app.enqueue("send", {"to": "x"}, priority=3, label="Send"), Job[Any])
    assert_type(app.enqueue_many(add.job(i) for i in range(3)), list[Job[int]])
    mixed: list[NewJob[Any]] = [add.job(1), send.job("a", "b")]
    app.enqueue_many(mixed)
    assert_type(app.get("x", add), Job[int])
    assert_type(app.get("x", fetch), Job[bytes])
    assert_type(app.get(uuid.uuid4()), Job[Any])
    assert_type(app.find(states="failed", queues=["a", "b"], limit=5), list[Job[Any]])
    assert_type(app.find(states=[State.FAILED], before=datetime.now(UTC)), list[Job[Any]])
    assert_type(app.cancel(add.enqueue(1), reason="x"), Affected)
    assert_type(app.delete(queues="q").ids, tuple[uuid.UUID, ...])
    assert_type(app.counts()["mail"]["pending"], int)
    assert_type(app.wait_until_idle(timeout="5m"), bool)
    app.on(Enqueued, lambda event: print(event.job.task))
    with app.here() as here:
        assert_type(here, Mainspring)

job = add.enqueue(1)
assert_type(job.refresh(), Job[int])
assert_type(job.state, State)
assert_type(job.cancel("x"), bool)
assert_type(job.id, uuid.UUID)
assert_type(job.due, datetime | None)


async def asynchronous() -> None:
    assert_type(await fetch("x", tries=1), bytes)
    assert_type(await with_context_async(1), int)
    assert_type(await with_context_async.aenqueue(x=1), Job[int])
    job = await fetch.aenqueue("x")
    assert_type(job, Job[bytes])
    assert_type(await job.aresult(), bytes)
    assert_type(await job.arefresh(), Job[bytes])
    assert_type(await job.acancel("x"), bool)
    async with Mainspring("sqlite:///x", tasks, mail) as app:
        assert_type(await app.aenqueue(add.job(1)), Job[int])
        assert_type(await app.aenqueue("add", {"a": 1}, delay=3), Job[Any])
        assert_type(await app.aenqueue_many(add.job(i) for i in range(3)), list[Job[int]])
        assert_type(await app.aget("x", add), Job[int])
        assert_type(await app.afind(limit=3, states="failed"), list[Job[Any]])
        assert_type(await app.acounts(), dict[str, dict[str, int]])
        assert_type(await app.adrain_workers(host="here"), list[str])
        assert_type(await app.ascale_workers("w1", "w2", least=2, most=8), list[str])
        assert_type(await app.await_until_idle(timeout=3), bool)


# --- messages ------------------------------------------------------------------------------------


@dataclass
class Video:
    id: str


anything = app.queue("email")
assert_type(anything, Queue[Any])
videos = app.queue("video", Video)
assert_type(videos, Queue[Video])
published = videos.publish(Video("1"), priority=3, headers={"a": "b"}, delay="5m")
assert_type(published, Published)
assert_type(published.position, int | None)
assert_type(videos.publish_many([Video("1")]), list[Published])
taken = videos.consume(wait=30, lease="5m", consumer="w1", types=["video"])
if taken is not None:
    assert_type(taken.body, Video)
    assert_type(taken.extend("5m"), datetime)
    assert_type(taken.nack("x", delay=60), State)
for message in videos:
    with message:
        assert_type(message.body.id, str)
for message in videos.consume_many(10):
    with message as same:
        same.progress(10)
videos.ack("receipt", {"ok": True})
assert_type(videos.nack("receipt"), State)


def left_by_return(message: Message[Video]) -> int:
    with message:
        return len(message.body.id)


async def pulling() -> None:
    async for message in videos:
        async with message:
            assert_type(message.body, Video)
    one = await videos.aconsume(wait=5)
    if one is not None:
        assert_type(await one.anack(delay="1m"), State)
        await one.aextend("1m")
    assert_type(await videos.aconsume_many(5), list[Message[Video]])
    assert_type(await videos.apublish(Video("1")), Published)
    await videos.aack("receipt", result=1)


def sequences(items: Sequence[int]) -> list[NewJob[int]]:
    return [add.job(item) for item in items]


async def values() -> None:
    assert_type(app.kv.set("a", {"n": 1}, ttl="5m", if_absent=True), int)
    assert_type(app.kv.increment("n", by=2), int)
    assert_type(app.kv.entry("a"), Entry | None)
    assert_type([entry.version for entry in app.kv.scan("a")], list[int])
    assert_type(await app.kv.aincrement("n"), int)
    assert_type([entry.key async for entry in app.kv.ascan(limit=5)], list[str])


async def topics(app: Mainspring) -> None:
    assert_type(app.topics.publish("a.b", {"n": 1}, headers={"by": "me"}), int)
    assert_type(await app.topics.apublish("a.b", None), int)
    with app.topics.subscribe("a.*", "b.#", after="17") as posts:
        assert_type(posts, Subscription)
        assert_type(posts.get(timeout="5s"), Post | None)
        assert_type([(post.topic, post.number) for post in posts], list[tuple[str, int]])
    async with app.topics.subscribe("a", after=0) as following:
        assert_type(await following.aget(), Post | None)
        assert_type([post.position async for post in following], list[str])


with Client("http://localhost:8700", api_key="ms_x") as client:
    assert_type(
        client.queue.publish("videos", {"id": 1}, priority=9, delay="5m").position, int | None
    )
    found = client.queue.consume("videos", timeout=30, ack_deadline=300, type=Video)
    if found is not None:
        with found:
            assert_type(found.message, Video)
            assert_type(found.extend("5m"), datetime)
            assert_type(found.nack(requeue=False), str)
    assert_type(client.queue.stats("videos").depth, int)
    assert_type(client.kv.set("a", 1, ttl=60), int)
    assert_type(client.kv.get("a", type=Video).value, Video | None)
    assert_type(client.kv.increment("n", 2), int)
    assert_type([entry.key for entry in client.kv.scan("a")], list[str])
    assert_type(client.pubsub.publish("t", 1), int)
    assert_type(client.tasks.add("send", {"to": "x"}, delay="5m").status, State)
    assert_type(client.tasks.wait("id").result_as(int), int)


async def remote(client: AsyncClient) -> None:
    assert_type(await client.kv.set("a", 1), int)
    message = await client.queue.consume("videos", type=Video)
    if message is not None:
        async with message:
            assert_type(message.message, Video)
        assert_type(await message.nack(), str)
    assert_type(await client.queue.publish_many("q", [1]), list[Sent])
    assert_type((await client.tasks.get("id")).number, int)
    async with client.pubsub.subscribe("a.*") as posts:
        async for post in posts:
            assert_type(post.topic, str)
