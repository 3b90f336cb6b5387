"""Over a bad way what a client was told is so, what it was not told is said, and no post is missed
or comes twice."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mainspring import AsyncClient, Client, Mainspring, StoreUnavailable, Tasks
from mainspring.job import Select
from tests.server.conftest import Running
from tests.servers.links import FOREVER, Break, Link, Weather, link

POSTS = 200

MIDST = [Break("request", 100), Break("answer", 60)]
SILENT = Break("answer", 60, FOREVER)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mainspring, Running]]:
    """A server for all tests of the module, and the app behind it."""
    path = tmp_path_factory.mktemp("links") / "jobs.db"
    with Mainspring(f"sqlite:///{path}", Tasks()) as app:
        running = Running(app)
        yield app, running
        running.stop()


@pytest.fixture
def app(home: tuple[Mainspring, Running]) -> Mainspring:
    """The app behind the server, without any jobs."""
    app, _ = home
    app.store.delete(Select())
    return app


@pytest.fixture
def way(home: tuple[Mainspring, Running], app: Mainspring) -> Iterator[Link]:
    with link(home[1].port) as way:
        yield way


@pytest.fixture
def far(way: Link) -> Iterator[Client]:
    """A client at the other end of the way, that does not wait long for an answer."""
    with Client(way.url, timeout=0.3) as far:
        yield far


def add(client: Client) -> Any:
    return [client.tasks.add("echo", 1).id]


def publish(client: Client) -> Any:
    return [client.queue.publish("q", 1).message_id]


def publish_many(client: Client) -> Any:
    return [each.message_id for each in client.queue.publish_many("q", range(100))]


@pytest.mark.parametrize("fault", [*MIDST, SILENT])
@pytest.mark.parametrize("bring", [add, publish, publish_many])
def test_what_is_brought_while_the_way_breaks_is_stored_once(
    far: Client, way: Link, app: Mainspring, bring: Callable[[Client], Any], fault: Break
) -> None:
    way.breaks = [fault, fault._replace(silence=0.0)]
    brought = bring(far)
    assert len(way.broken) == 2
    assert sorted(map(str, brought)) == sorted(str(job.id) for job in app.find(limit=200))


@pytest.mark.parametrize("bring", [add, publish])
def test_what_was_brought_and_never_answered_is_said_to_be_perhaps_there(
    way: Link, bring: Callable[[Client], Any]
) -> None:
    way.breaks = [Break("answer", 60)] * 3
    with (
        Client(way.url, retries=2) as far,
        pytest.raises(StoreUnavailable, match="no answer came, so that it may have been done"),
    ):
        bring(far)


@pytest.mark.parametrize("fault", [*MIDST, SILENT])
def test_a_message_is_acknowledged_once_and_none_is_lost(
    far: Client, way: Link, app: Mainspring, fault: Break
) -> None:
    for n in range(2):
        app.queue("q").publish(n)
    way.breaks = [fault]
    first = far.queue.consume("q", ack_deadline=0.5)
    assert first is not None
    way.breaks.append(fault)
    first.ack("done")
    # One whose delivery was lost on the way comes again when its time is over.
    second = far.queue.consume("q", timeout=20)
    assert second is not None
    second.ack("done")
    assert len(way.broken) == 2
    assert {job.record.result for job in app.find()} == {b'"done"'}


@pytest.mark.parametrize("fault", MIDST)
def test_a_write_on_a_condition_that_breaks_off_is_told_and_not_made_again(
    far: Client, way: Link, app: Mainspring, fault: Break
) -> None:
    version = far.kv.set("k", 1)
    way.breaks = [fault]
    with pytest.raises(StoreUnavailable, match="no answer came, so that it may have been done"):
        far.kv.set("k", 2, if_version=version)
    assert app.kv.get("k") == (1 if fault.way == "request" else 2)


@pytest.mark.parametrize("seed", range(2))
def test_a_subscription_over_a_way_that_breaks_again_and_again_misses_and_repeats_nothing(
    way: Link, app: Mainspring, seed: int
) -> None:
    with Client(way.url, timeout=0.5) as far, far.pubsub.subscribe("t") as posts:
        way.breaks = [Break("answer", 700 + 1100 * n + 37 * seed) for n in range(5)]
        for n in range(POSTS):
            app.topics.publish("t", n)
        heard = iter(posts)
        assert [next(heard).message for _ in range(POSTS)] == list(range(POSTS))
        assert posts.missed == 0
    assert len(way.broken) == 5


def test_the_async_client_does_the_same(way: Link, app: Mainspring) -> None:
    way.weather = Weather(delay=0.005, trouble=0.05, silence=0.7)

    async def story() -> list[str]:
        async with AsyncClient(way.url, timeout=0.5, retries=20) as far:
            async with far.pubsub.subscribe("t") as posts:
                numbers = range(30)
                added = await asyncio.gather(*(far.tasks.add("echo", n) for n in numbers))
                for n in numbers:
                    app.topics.publish("t", n)
                heard = []
                async for post in posts:
                    heard.append(post.message)
                    if len(heard) == len(numbers):
                        break
                assert heard == [*numbers]
            return [str(each.id) for each in added]

    added = asyncio.run(story())
    assert Counter(added) == Counter(str(job.id) for job in app.find(limit=200))
    assert way.broken
