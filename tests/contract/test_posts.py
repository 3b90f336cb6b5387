"""Topics: what is posted is read in the order of its numbers, by whoever knows where it stopped."""

import multiprocessing
import os
import signal
import threading
from typing import Any

import pytest

from mainspring.durations import SECOND
from mainspring.engines import open_store
from mainspring.job import Now
from mainspring.posts import KEPT, MOST_WEIGHT, Cursor, NewPost, Page, Posted
from mainspring.store import News, Signal, Store
from tests.contract.stage import Stage
from tests.contract.test_races import all_at_once

LONG = 20.0


def bodies(page: Page) -> list[bytes]:
    return [post.body for post in page.posts]


def everything(store: Store, after: Cursor) -> list[Posted]:
    """All that is kept behind the cursor, page by page."""
    found: list[Posted] = []
    while (page := store.posts(after, limit=10)).posts:
        found += page.posts
        after = page.after
    return found


def post(stage: Stage, *said: bytes) -> list[int]:
    return stage.store.post([NewPost("t", each) for each in said], now=stage.now)


def test_a_post_is_read_as_it_was_posted(stage: Stage) -> None:
    new = [NewPost("orders.created", b'{"n":1}', {"source": "api"}), NewPost("é 🙂", b"\0\xff")]
    start = stage.store.last_post()
    numbers = stage.store.post(new, now=stage.now)
    page = stage.store.posts(start)
    stream = page.posts[0].stream
    assert page.posts == [
        Posted(n, stage.now.wall, each.topic, each.body, each.headers, stream)
        for n, each in zip(numbers, new, strict=True)
    ]
    assert page.missed == 0
    assert page.after == stage.store.last_post()


@pytest.mark.parametrize("data", [b"", bytes(1_000_000)], ids=["none", "many"])
def test_a_body_is_any_bytes(stage: Stage, data: bytes) -> None:
    post(stage, data)
    assert bodies(stage.store.posts({})) == [data]


def test_numbers_of_a_stream_grow_by_the_order_of_the_posts(stage: Stage) -> None:
    first = post(stage, b"1", b"2")
    second = post(stage, b"3")
    assert [*first, *second] == sorted({*first, *second})
    assert [each.number for each in stage.store.posts({}).posts] == [*first, *second]


def test_who_goes_on_behind_a_cursor_reads_the_rest_and_nothing_twice(stage: Stage) -> None:
    post(stage, *(b"%d" % n for n in range(35)))
    page = stage.store.posts({}, limit=20)
    assert bodies(page) == [b"%d" % n for n in range(20)]
    rest = stage.store.posts(page.after, limit=20)
    assert bodies(rest) == [b"%d" % n for n in range(20, 35)]
    assert stage.store.posts(rest.after) == Page([], rest.after)
    post(stage, b"more")
    assert bodies(stage.store.posts(rest.after)) == [b"more"]


def test_the_number_of_a_post_is_a_cursor_behind_it(stage: Stage) -> None:
    numbers = post(stage, b"1", b"2", b"3")
    assert bodies(stage.store.posts({0: numbers[0]})) == [b"2", b"3"]


def test_nothing_posted_is_nothing_read(stage: Stage) -> None:
    assert stage.store.post([], now=stage.now) == []
    last = stage.store.last_post()
    assert stage.store.posts(last) == Page([], last)


def test_posts_go_when_their_time_has_come_and_whoever_was_behind_is_told(stage: Stage) -> None:
    start = stage.store.last_post()
    post(stage, b"1", b"2", b"3")
    read = stage.store.posts(start, limit=2).after
    stage.time.wall += KEPT // 2
    post(stage, b"4")
    stage.time.wall += KEPT // 2
    assert stage.store.upkeep(now=stage.now) == 3
    assert stage.store.upkeep(now=stage.now) == 0
    page = stage.store.posts(read)
    assert (bodies(page), page.missed) == ([b"4"], 1)
    new = stage.store.posts({})
    assert (bodies(new), new.missed) == ([b"4"], 0), "who has read nothing has missed nothing"
    stage.time.wall += KEPT
    stage.tidy()
    page = stage.store.posts(read)
    assert (page.posts, page.missed) == ([], 2)
    assert page.after == stage.store.last_post()
    assert stage.store.posts(page.after).missed == 0


def test_posts_go_without_upkeep_as_others_come(stage: Stage) -> None:
    post(stage, *[b"old"] * 100)
    stage.time.wall += KEPT + SECOND
    for _ in range(10):
        post(stage, *[b"new"] * 20)
    assert set(bodies(stage.store.posts({}, limit=1000))) == {b"new"}


def test_of_too_many_posts_the_oldest_go(stage: Stage) -> None:
    body = bytes(MOST_WEIGHT // 20)
    for _ in range(25):
        post(stage, body)
    stage.tidy()
    kept = len(stage.store.posts({}, limit=100).posts)
    assert 15 <= kept <= 20
    assert stage.store.check() == []


def test_upkeep_works_in_slices(stage: Stage) -> None:
    post(stage, *[b"x"] * 25)
    stage.time.wall += KEPT
    assert [stage.store.upkeep(10, now=stage.now) for _ in range(4)] == [10, 10, 5, 0]


def test_numbers_go_on_after_everything_has_gone(stage: Stage) -> None:
    [before] = post(stage, b"1")
    last = stage.store.last_post()
    stage.time.wall += KEPT
    stage.tidy()
    assert stage.store.last_post() == last
    [after] = post(stage, b"2")
    assert after > before
    assert bodies(stage.store.posts(last)) == [b"2"]


def test_a_cursor_ahead_of_the_store_says_that_something_was_lost(stage: Stage) -> None:
    post(stage, b"1")
    [kept] = stage.store.posts({}).posts
    ahead = {**stage.store.last_post(), kept.stream: kept.number + (5 << 11)}
    page = stage.store.posts(ahead)
    assert page.posts == []
    assert page.missed > 0
    assert page.after == stage.store.last_post()


def test_posts_and_jobs_leave_each_other_alone(stage: Stage) -> None:
    post(stage, b"1")
    stage.put()
    post(stage, b"2")
    assert stage.claim(1)
    assert bodies(stage.store.posts({})) == [b"1", b"2"]


def test_the_stores_own_clock_answers_when_no_time_is_given(store: Store) -> None:
    store.post([NewPost("t", b"1")])
    store.upkeep()
    [kept] = store.posts({}).posts
    later = kept.at + KEPT
    store.upkeep(now=Now(later, later))
    assert store.posts({}).posts == []


@pytest.fixture
def signal_of(store: Store) -> Any:
    signal = store.listen(News.POSTS)
    yield signal
    signal.close()


def test_a_post_wakes_who_listens(other: Store, signal_of: Signal) -> None:
    while signal_of.wait(0.05):
        pass
    other.post([NewPost("t", b"1")])
    assert signal_of.wait(LONG)


# --- many at once ---------------------------------------------------------------------------------


def test_a_reader_finds_nothing_below_what_it_has_seen(store: Store) -> None:
    """Four publish while one reads: it sees every post once, and those of each in their order."""
    start = store.last_post()
    done = threading.Event()
    seen: list[Posted] = []

    def read() -> None:
        after = start
        while True:
            ended = done.is_set()
            page = store.posts(after, limit=7)
            assert page.missed == 0
            seen.extend(page.posts)
            after = page.after
            if ended and not page.posts:
                return

    reader = threading.Thread(target=read)
    reader.start()

    def publish(me: int) -> None:
        for n in range(40):
            store.post([NewPost(f"t{me}", b"%d" % n)])

    all_at_once(4, publish)
    done.set()
    reader.join()
    assert len(seen) == 160
    for me in range(4):
        mine = [each for each in seen if each.topic == f"t{me}"]
        assert [each.body for each in mine] == [b"%d" % n for n in range(40)]
    for stream in {each.stream for each in seen}:
        numbers = [each.number for each in seen if each.stream == stream]
        assert numbers == sorted(set(numbers))


def publishing_process(url: str, start: Any, me: int) -> None:
    store = open_store(url)
    start.wait()
    for n in range(40):
        store.post([NewPost(f"t{me}", b"%d" % n)])
    store.close()


def test_a_reader_in_another_process_finds_nothing_below_what_it_has_seen(place: str) -> None:
    store = open_store(place)
    after = store.last_post()
    fork = multiprocessing.get_context("fork")
    start = fork.Barrier(3)
    processes = [fork.Process(target=publishing_process, args=(place, start, n)) for n in range(3)]
    for process in processes:
        process.start()
    listening = store.listen(News.POSTS)
    seen: list[Posted] = []
    while len(seen) < 120:
        page = store.posts(after, limit=10)
        seen += page.posts
        after = page.after
        if not page.posts:
            listening.wait(1)
    listening.close()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    for me in range(3):
        mine = [each for each in seen if each.topic == f"t{me}"]
        assert [each.body for each in mine] == [b"%d" % n for n in range(40)]
    assert store.check() == []
    store.close()


def dying_process(url: str) -> None:
    store = open_store(url)
    store.post([NewPost("t", b"1")])
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_was_answered_is_there_after_its_program_was_killed(place: str) -> None:
    process = multiprocessing.get_context("fork").Process(target=dying_process, args=(place,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    store = open_store(place)
    assert [each.body for each in everything(store, {})] == [b"1"]
    store.close()
