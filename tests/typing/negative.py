"""Every line marked E must be an error for a type checker, and no other. Never run."""

# ruff: noqa: B018, F841

from typing import Any

from mainspring import AsyncClient, Client, Mainspring, Message, Retry, Tasks
from tests.typing.positive import (
    Point,
    Service,
    Video,
    add,
    app,
    email,
    fetch,
    index,
    send,
    tasks,
    videos,
)

add.enqueue("x")  # E
add.enqueue()  # E
add.enqueue(1, c=2)  # E
add.enqueue(1, delay=5)  # E options are no arguments
add.job("x")  # E
add("x")  # E
send.enqueue("a", "b", "tenant")  # E by name only
send.using(dealy=3)  # E
send.using(priority="high")  # E
send.using(retry=3)  # E
text: str = add.enqueue(1).result()  # E
index.enqueue([Point(1)])  # E one item, not a list
index(Point(1))  # E a list, not one item
email.enqueue({"a": 1})  # E a handler stays a plain function
app.enqueue(add)  # E without .job(...)
app.enqueue_many([add])  # E
app.enqueue("add", {"a": 1}, dleay=5)  # E
app.enqueue(add.job(1), delay=5)  # E
app.get("x", add).result().upper()  # E
app.find(state="failed")  # E
app.find(limit="5")  # E
app.queue("v", Video).publish("x")  # E
videos.publish(Video("1"), queue="other")  # E
videos.consume(wait=[1])  # E
tasks.task(timeout=3, tiemout=3)  # E
tasks.batch(size="many")  # E
tasks.handler("a", lambda: 3)  # E
tasks.include(app)  # E
Mainspring("sqlite://", add)  # E
Tasks(handlers={"a": 3})  # E
add.enqueue(1).state = "failed"  # E


@tasks.task(runs_in="procces")  # E
def misspelt() -> None: ...


@tasks.task(runs_in="process", memory=1.5)  # E
def broken_bytes() -> None: ...


@misspelt.upgrade(from_="1")  # E
def from_text(old: Any) -> Any: ...


@misspelt.upgrade(from_=1)  # E takes the old payload alone
def from_two(old: Any, more: Any) -> Any: ...


@tasks.handler("e")  # E
def three(a: Any, b: Any, c: Any) -> None: ...


@tasks.batch()  # E takes a list
def single(item: Point) -> None: ...


async def asynchronous() -> None:
    data: bytes = fetch("x")  # E without await
    text: str = await add.aenqueue(1)  # E
    await app.afind(limit="5")  # E
    await add.enqueue(1)  # E


def raises() -> int:
    raise Retry(max_retries=3)  # E a policy is no exception


class Bad:
    @tasks.task
    def method(self, x: int) -> int:
        return x


Bad().method.enqueue(1)  # E self is missing
Service.inner.enqueue("x")  # E


def settles(message: Message[Video]) -> None:
    message.body = Video("1")  # E
    message.body.size  # E
    message.extend(lease="5m", delay=3)  # E


app.kv.increment("n", 1.5)  # E
app.kv.set("a", 1, "5m")  # E by name only
app.kv.get_many("a").append(1)  # E
app.topics.publish("a")  # E
app.topics.subscribe(["a"])  # E several by several arguments
app.topics.publish("a", 1, {"by": "me"})  # E by name only


def clients(client: Client, other: AsyncClient) -> None:
    client.queue.publish("q", 1, prio=5)  # E
    client.queue.publish(7, 1)  # E
    client.kv.increment("n", 1.5)  # E
    client.queue.consume("q", type=Video).message  # E there may be none
    other.kv.get("a").value  # E not awaited
    client.tasks.add("send", delay=[])  # E
