"""Topics as programs see them: who hears what, in which order, and who hears no more."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mainspring import (
    InvalidArguments,
    InvalidState,
    Mainspring,
    PayloadTooLarge,
    Post,
    SlowSubscriber,
    StoreUnavailable,
)
from mainspring.job import Now
from mainspring.posts import KEPT, Page
from mainspring.relay import MOST_BYTES, MOST_WAITING

LONG = 20.0


@pytest.fixture
def app() -> Iterator[Mainspring]:
    with Mainspring("sqlite://:memory:") as app:
        yield app


def got(post: Post | None) -> Any:
    assert post is not None
    return post.body


@pytest.mark.parametrize("body", [None, 0, "é", [1, [2]], {"a": None}, b"", b"\0\xff"])
def test_a_body_comes_as_it_went(app: Mainspring, body: Any) -> None:
    with app.topics.subscribe("t") as posts:
        number = app.topics.publish("t", body, headers={"by": "me"})
        post = posts.get(LONG)
        assert post is not None
        assert (post.topic, post.body, post.headers) == ("t", body, {"by": "me"})
        assert type(post.body) is type(body)
        assert post.number == number
        assert post.position == posts.position
        assert abs(post.at - datetime.now(UTC)) < timedelta(minutes=1)


def test_only_what_is_published_within_is_heard(app: Mainspring) -> None:
    app.topics.publish("t", "before")
    with app.topics.subscribe("t") as posts:
        app.topics.publish("t", "within")
        assert got(posts.get(LONG)) == "within"
        assert posts.get(0) is None
        assert posts.get(0.01) is None


def test_each_hears_what_it_asked_for_and_once(app: Mainspring) -> None:
    with (
        app.topics.subscribe("a.*", "a.b", "#") as everything,
        app.topics.subscribe("b.#") as some,
    ):
        for n, topic in enumerate(("a.b", "b", "c", "b.c")):
            app.topics.publish(topic, n)
        assert [got(everything.get(LONG)) for _ in range(4)] == [0, 1, 2, 3]
        assert [got(some.get(LONG)) for _ in range(2)] == [1, 3]
        assert everything.get(0) is some.get(0) is None


def test_one_goes_through_all_that_comes(app: Mainspring) -> None:
    with app.topics.subscribe("t") as posts:
        for n in range(300):
            app.topics.publish("t", n)
        for n, post in enumerate(posts):
            assert post.body == n
            if n == 299:
                break


def test_who_waits_is_woken(app: Mainspring) -> None:
    heard: list[Any] = []
    with app.topics.subscribe("t") as posts:
        thread = threading.Thread(target=lambda: heard.append(got(posts.get(LONG))))
        thread.start()
        app.topics.publish("t", 1)
        thread.join(LONG)
    assert heard == [1]


@pytest.mark.parametrize("form", [int, str])
def test_it_goes_on_behind_a_post(app: Mainspring, form: Any) -> None:
    first = app.topics.publish("t", 0)
    for n in range(1, 250):
        app.topics.publish("t" if n % 2 else "other", n)
    with app.topics.subscribe("t", after=form(first)) as posts:
        assert posts.missed == 0
        app.topics.publish("t", "live")
        bodies = [got(posts.get(LONG)) for _ in range(126)]
        assert bodies == [*range(1, 250, 2), "live"]
        assert posts.get(0) is None
        position = posts.position
    with app.topics.subscribe("t", after=position) as posts:
        assert posts.get(0) is None
    app.topics.publish("t", "more")
    with app.topics.subscribe("t", after=position) as posts:
        assert got(posts.get(LONG)) == "more"


def test_after_nothing_is_all_that_is_kept(app: Mainspring) -> None:
    app.topics.publish("t", 1)
    with app.topics.subscribe("t", after=0) as posts:
        assert got(posts.get(LONG)) == 1
        assert posts.missed == 0


def test_a_position_is_also_behind_what_was_not_for_us(app: Mainspring) -> None:
    with app.topics.subscribe("t", "u") as posts:
        app.topics.publish("other", 1)
        app.topics.publish("u", 2)
        assert got(posts.get(LONG)) == 2
        assert posts.position == str(app.topics.publish("other", 3) - 1)


def test_who_comes_too_late_is_told_how_many_are_gone(app: Mainspring) -> None:
    first = app.topics.publish("t", 1)
    for n in range(3):
        app.topics.publish("t", n)
    [*_, last] = app.store.posts({}).posts
    app.store.upkeep(now=Now(last.at + KEPT, last.at + KEPT))
    app.topics.publish("t", "kept")
    with app.topics.subscribe("t", after=first) as posts:
        assert posts.missed == 3
        assert got(posts.get(LONG)) == "kept"


def test_a_slow_one_hears_what_was_held_and_then_that_it_was_slow(app: Mainspring) -> None:
    with app.topics.subscribe("t") as posts, app.topics.subscribe("#") as other:
        for n in range(MOST_WAITING + 10):
            app.topics.publish("t", n)
            other.get(LONG)
        assert [got(posts.get(LONG)) for _ in range(MOST_WAITING)] == list(range(MOST_WAITING))
        with pytest.raises(SlowSubscriber, match="has missed 10 posts") as slow:
            posts.get(LONG)
        assert slow.value.missed == 10
        with app.topics.subscribe("t", after=slow.value.position) as again:
            bodies = [got(again.get(LONG)) for _ in range(10)]
            assert bodies == list(range(MOST_WAITING, MOST_WAITING + 10))


def test_large_posts_fill_an_inbox_sooner() -> None:
    with (
        Mainspring("sqlite://:memory:", max_payload=MOST_BYTES) as app,
        app.topics.subscribe("t") as posts,
        app.topics.subscribe("#") as other,
    ):
        for _ in range(4):
            app.topics.publish("t", b"x" * (MOST_BYTES // 2))
            other.get(LONG)
        assert len(got(posts.get(LONG))) == len(got(posts.get(LONG))) == MOST_BYTES // 2
        with pytest.raises(SlowSubscriber, match="2 posts"):
            posts.get(LONG)


def test_a_relay_that_was_held_up_for_too_long_says_so(
    app: Mainspring, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, gap = app.store.posts, threading.Event()

    def posts_behind(after: Any, *, limit: int = 100) -> Page:
        if gap.is_set():
            return Page([], {0: after[0] + 7}, missed=7)
        return read(after, limit=limit)

    monkeypatch.setattr(app.store, "posts", posts_behind)
    with app.topics.subscribe("t") as posts:
        gap.set()
        with pytest.raises(SlowSubscriber, match="7 posts"):
            posts.get(LONG)


def test_a_store_that_is_away_is_waited_for(
    app: Mainspring, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, asked = app.store.posts, threading.Semaphore(0)
    away = threading.Event()

    def posts_behind(after: Any, *, limit: int = 100) -> Page:
        if away.is_set():
            asked.release()
            raise StoreUnavailable("away")
        return read(after, limit=limit)

    monkeypatch.setattr(app.store, "posts", posts_behind)
    with app.topics.subscribe("t") as posts:
        away.set()
        app.topics.publish("t", 1)
        assert asked.acquire(timeout=LONG)
        away.clear()
        assert got(posts.get(LONG)) == 1


def test_what_goes_wrong_for_good_is_told(app: Mainspring, monkeypatch: pytest.MonkeyPatch) -> None:
    with app.topics.subscribe("t") as posts:
        monkeypatch.setattr(app.store, "posts", lambda *_, **__: 1 / 0)
        app.topics.publish("t", 1)
        with pytest.raises(ZeroDivisionError):
            posts.get(LONG)
        monkeypatch.undo()
    with app.topics.subscribe("t") as posts:
        app.topics.publish("t", 2)
        assert got(posts.get(LONG)) == 2


def test_an_app_that_is_closed_ends_its_subscriptions() -> None:
    app = Mainspring("sqlite://:memory:")
    with app.topics.subscribe("t") as posts:
        threading.Timer(0.05, app.close).start()
        with pytest.raises(InvalidState, match="closed"):
            posts.get(LONG)
    with pytest.raises(InvalidState, match="closed"), app.topics.subscribe("t"):
        pass


def test_a_subscription_is_for_one_with(app: Mainspring) -> None:
    posts = app.topics.subscribe("t")
    with pytest.raises(InvalidState, match="not entered"):
        posts.get(0)
    with posts:
        pass
    with pytest.raises(InvalidState, match="closed"):
        posts.get(0)
    with pytest.raises(InvalidState, match="entered before"), posts:
        pass
    assert app.opened.relay.listeners == 0

    async def main() -> None:
        with app.topics.subscribe("t") as posts, pytest.raises(InvalidState, match="async with"):
            await posts.aget(0)
        async with app.topics.subscribe("t") as posts:
            with pytest.raises(InvalidState, match="expected aget"):
                posts.get(0)

    asyncio.run(main())


def test_after_a_pause_nothing_of_before_is_heard(app: Mainspring) -> None:
    for n in range(5):
        app.topics.publish("t", "between")
        with app.topics.subscribe("t") as posts:
            app.topics.publish("t", n)
            assert got(posts.get(LONG)) == n


def test_coroutines_hear_as_well(app: Mainspring) -> None:
    async def hear(name: str, n: int) -> list[Any]:
        async with app.topics.subscribe(name) as posts:
            ready.release()
            found = []
            async for post in posts:
                found.append(post.body)
                if len(found) == n:
                    break
            assert await posts.aget(0.01) is None
            return found

    async def main() -> list[list[Any]]:
        hearing = [asyncio.create_task(hear(*each)) for each in (("a", 20), ("b", 20), ("*", 40))]
        for _ in hearing:
            await ready.acquire()
        for n in range(20):
            await app.topics.apublish("a", n)
            await app.topics.apublish("b", -n)
        return await asyncio.gather(*hearing)

    ready = asyncio.Semaphore(0)
    a, b, both = asyncio.run(main())
    assert a == list(range(20))
    assert b == [-n for n in range(20)]
    assert both == [n * sign for n in range(20) for sign in (1, -1)]


def test_coroutines_go_on_behind_a_position(app: Mainspring) -> None:
    async def main() -> None:
        for n in range(150):
            await app.topics.apublish("t", n)
        async with app.topics.subscribe("t", after=0) as posts:
            await app.topics.apublish("t", 150)
            assert [got(await posts.aget(LONG)) for _ in range(151)] == list(range(151))

    asyncio.run(main())


def test_a_wait_that_is_cancelled_loses_nothing(app: Mainspring) -> None:
    async def main() -> None:
        async with app.topics.subscribe("t") as posts:
            heard = []
            for n in range(20):
                waiting = asyncio.create_task(posts.aget(LONG))
                await asyncio.sleep(0)
                waiting.cancel()
                if waiting.done():
                    heard.append(got(waiting.result()))
                app.topics.publish("t", n)
            while len(heard) < 20:
                heard.append(got(await posts.aget(LONG)))
            assert heard == list(range(20))

    asyncio.run(main())


def test_whoever_gives_up_before_it_began_is_not_left_listening(
    app: Mainspring, monkeypatch: pytest.MonkeyPatch
) -> None:
    last, asked, go = app.store.last_post, threading.Event(), threading.Event()

    def slowly() -> Any:
        asked.set()
        assert go.wait(LONG)
        return last()

    async def hear() -> None:
        async with app.topics.subscribe("t"):
            raise AssertionError("it was cancelled before")

    async def main() -> None:
        hearing = asyncio.create_task(hear())
        await asyncio.to_thread(asked.wait, LONG)
        hearing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hearing
        go.set()

    monkeypatch.setattr(app.store, "last_post", slowly)
    asyncio.run(main())
    assert app.opened.relay.listeners == 0


def test_one_is_closed_from_another_thread(app: Mainspring) -> None:
    async def main() -> None:
        async with app.topics.subscribe("t") as posts:
            waiting = asyncio.create_task(posts.aget())
            await asyncio.sleep(0)
            await asyncio.to_thread(posts.close)
            with pytest.raises(InvalidState, match="closed"):
                await waiting

    asyncio.run(main())


def test_many_subscribe_and_leave_while_much_is_published(app: Mainspring) -> None:
    done = threading.Event()

    def publish() -> None:
        n = 0
        while not done.is_set():
            app.topics.publish("t", n)
            n += 1

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        for turn in range(60):
            with app.topics.subscribe("t", after=0 if turn % 3 == 0 else None) as posts:
                bodies = [got(posts.get(LONG)) for _ in range(5)]
                assert bodies == list(range(bodies[0], bodies[0] + 5))
    finally:
        done.set()
        publisher.join()


def test_a_forked_process_hears_by_itself(tmp_path: Path) -> None:
    import multiprocessing

    with Mainspring(f"sqlite:///{tmp_path}/jobs.db") as app, app.topics.subscribe("t") as posts:
        child = multiprocessing.get_context("fork").Process(target=answering, args=(app,))
        child.start()
        assert got(posts.get(LONG)) == "ready"
        app.topics.publish("question", 1)
        assert got(posts.get(LONG)) == "heard 1"
        child.join()
        assert child.exitcode == 0


def answering(app: Mainspring) -> None:
    with app.topics.subscribe("question") as posts:
        app.topics.publish("t", "ready")
        app.topics.publish("t", f"heard {got(posts.get(LONG))}")


@pytest.mark.parametrize("topic", ["", "a.*", "#", "a..b", 3, "a\0"])
def test_a_topic_that_cannot_be_is_refused(app: Mainspring, topic: Any) -> None:
    with pytest.raises(InvalidArguments, match="topic"):
        app.topics.publish(topic, 1)


@pytest.mark.parametrize("after", ["x", "-1", "", "1,", True, -1, 1.5, b"1", "9" * 30])
def test_a_position_that_cannot_be_is_refused(app: Mainspring, after: Any) -> None:
    with pytest.raises(InvalidArguments, match="position"):
        app.topics.subscribe("t", after=after)


def test_what_cannot_be_published_is_refused() -> None:
    with Mainspring("sqlite://:memory:", max_payload=100) as app:
        with pytest.raises(PayloadTooLarge, match="at most 100 bytes, got 101"):
            app.topics.publish("t", b"x" * 100)
        with pytest.raises(InvalidArguments, match="topic 't'"):
            app.topics.publish("t", object())
        with pytest.raises(InvalidArguments, match="headers"):
            app.topics.publish("t", 1, headers={"a": 1})  # type: ignore[dict-item]
        assert app.store.posts({}).posts == []
