"""Topics over several shards: each has its home, and one that is away holds up no other."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from mainspring import Mainspring
from mainspring.engines.shards.store import ShardsStore
from mainspring.errors import PartlyUnavailable, StoreUnavailable
from mainspring.posts import NewPost
from mainspring.store import Store

TOPICS = [f"t{n:02}" for n in range(20)]
LONG = 20.0

Open = Callable[..., ShardsStore]


def away(*_: Any, **__: Any) -> Any:
    raise StoreUnavailable("gone")


def shard(store: ShardsStore, name: str) -> Store:
    [found] = [each for each in store._ring.shards if each.name == name]
    return found.store()


def home(store: ShardsStore, topic: str) -> str:
    return store._ring.home_of_topic(topic).name


def test_topics_are_spread_and_read_from_everywhere(open_shards: Open) -> None:
    store = open_shards("abc")
    start = store.last_post()
    numbers = store.post([NewPost(topic, topic.encode()) for topic in TOPICS])
    page = store.posts(start)
    assert {post.topic: post.number for post in page.posts} == dict(
        zip(TOPICS, numbers, strict=True)
    )
    assert len({post.stream for post in page.posts}) == 3
    assert page.after == store.last_post()
    assert store.posts(page.after).posts == []


def test_a_bare_number_goes_on_in_its_shard_and_tells_the_others_again(open_shards: Open) -> None:
    store = open_shards("ab")
    numbers = dict(zip(TOPICS, store.post([NewPost(topic, b"") for topic in TOPICS]), strict=True))
    of_a = [topic for topic in TOPICS if home(store, topic) == "a"]
    of_b = [topic for topic in TOPICS if home(store, topic) == "b"]
    page = store.posts({0: numbers[of_a[2]]})
    assert sorted(post.topic for post in page.posts) == sorted(of_a[3:] + of_b)


def test_a_draining_shard_is_read_and_gets_nothing_new(open_shards: Open) -> None:
    before = open_shards("ab")
    start = before.last_post()
    before.post([NewPost(topic, b"old") for topic in TOPICS])
    store = open_shards("ab", draining="b")
    of_b = shard(store, "b").last_post()
    store.post([NewPost(topic, b"new") for topic in TOPICS])
    assert shard(store, "b").last_post() == of_b
    page = store.posts(start)
    assert sorted(post.body for post in page.posts) == [b"new"] * 20 + [b"old"] * 20


def test_a_shard_that_came_later_is_read_from_its_beginning(open_shards: Open) -> None:
    position = open_shards("ab").last_post()
    store = open_shards("abc")
    store.post([NewPost(topic, b"") for topic in TOPICS])
    page = store.posts(position)
    assert sorted(post.topic for post in page.posts) == TOPICS
    assert page.missed == 0
    gone = open_shards("ab").posts(page.after)
    assert (gone.posts, gone.missed) == ([], 0)


def test_one_that_is_away_holds_up_no_other_and_is_heard_when_it_is_back(
    open_shards: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_shards("ab")
    after = store.last_post()
    store.post([NewPost(topic, b"") for topic in TOPICS])
    b = shard(store, "b")
    with monkeypatch.context() as patch:
        patch.setattr(b, "posts", away)
        page = store.posts(after)
        assert {home(store, post.topic) for post in page.posts} == {"a"}
        after = page.after
    heard: list[str] = []
    while not heard:
        page = store.posts(after)
        heard = [post.topic for post in page.posts]
    assert sorted(heard) == [topic for topic in TOPICS if home(store, topic) == "b"]


def test_what_some_shards_have_stored_is_told(
    open_shards: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_shards("ab")
    monkeypatch.setattr(shard(store, "b"), "post", away)
    with pytest.raises(PartlyUnavailable) as partly:
        store.post([NewPost(topic, b"") for topic in TOPICS])
    stored = [topic for topic, n in zip(TOPICS, partly.value.answer, strict=True) if n]
    assert stored == [topic for topic in TOPICS if home(store, topic) == "a"]
    assert sorted(post.topic for post in partly.value.missed) == sorted({*TOPICS} - {*stored})
    with pytest.raises(StoreUnavailable, match="shard 'b'"):
        store.post([NewPost(partly.value.missed[0].topic, b"")])


def test_of_coroutines_those_fail_whose_shard_is_away_and_nothing_is_published_twice(
    url: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Mainspring(url("ab")) as app:
        store = app.store
        assert isinstance(store, ShardsStore)
        with monkeypatch.context() as patch:
            patch.setattr(shard(store, "b"), "post", away)

            async def main() -> list[int | BaseException]:
                publishing = [app.topics.apublish(topic, 1) for topic in TOPICS]
                return await asyncio.gather(*publishing, return_exceptions=True)

            answers = dict(zip(TOPICS, asyncio.run(main()), strict=True))
        for topic, answer in answers.items():
            wanted = int if home(store, topic) == "a" else StoreUnavailable
            assert isinstance(answer, wanted), topic
        said = [post.topic for post in shard(store, "a").posts({}).posts]
        assert sorted(said) == [topic for topic in TOPICS if home(store, topic) == "a"]


def test_a_subscription_goes_on_in_all_of_them(url: Callable[..., str]) -> None:
    with Mainspring(url("abc")) as app:
        with app.topics.subscribe("#") as posts:
            for topic in TOPICS:
                app.topics.publish(topic, 1)
            heard = [posts.get(LONG) for _ in range(15)]
        last = heard[-1]
        assert last is not None
        with app.topics.subscribe("#", after=last.position) as posts:
            heard += [posts.get(LONG) for _ in range(5)]
            assert posts.get(0.05) is None
            position = posts.position
        assert sorted(post.topic for post in heard if post) == TOPICS
        assert position.count(",") == 2
