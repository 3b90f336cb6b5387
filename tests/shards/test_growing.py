"""Adding a shard and draining one, while workers run and jobs come in: nothing is lost."""

import threading
from collections.abc import Callable

from mainspring import Mainspring, Tasks
from mainspring.job import State
from mainspring.sharded import Sharded, ShardInfo, ShardQueue
from mainspring.store import Store
from tests.contract.stage import Stage, Time, ids, new
from tests.shards.conftest import IN_A, IN_B

# With a third shard `orders` moves from b to c; `default` and `mail` stay.
MOVES = "orders"
QUEUES = (IN_A, IN_B, MOVES, "events")

ran: list[int] = []
ran_lock = threading.Lock()

tasks = Tasks()


@tasks.task
def step(n: int) -> None:
    with ran_lock:
        ran.append(n)


def produce(app: Mainspring, first: int, count: int) -> None:
    """Jobs in every queue, one call for many and one call for each by turns."""
    for n in range(first, first + count):
        jobs = [step.using(queue=queue).job(n) for queue in QUEUES]
        if n % 2:
            app.enqueue_many(jobs)
        else:
            for job in jobs:
                app.enqueue(job)


def infos(app: Mainspring) -> dict[str, ShardInfo]:
    assert isinstance(app.store, Sharded)
    return {info.name: info for info in app.store.shards()}


def test_a_shard_is_drained_while_workers_and_producers_go_on(url: Callable[..., str]) -> None:
    ran.clear()
    before = Mainspring(url("abc", partitioned="events"), tasks)
    after = Mainspring(url("abc", partitioned="events", draining="b"), tasks)
    with before, after:
        with before.here():
            produce(before, 0, 50)
        assert infos(after)["b"].queues[IN_B] == ShardQueue(
            home=False, waiting=50, running=0, ended=0
        )
        with before.worker(in_process=True), after.worker(in_process=True):
            producers = [
                threading.Thread(target=produce, args=(app, first, 50))
                for app, first in ((before, 50), (after, 100))
            ]
            for thread in producers:
                thread.start()
            for thread in producers:
                thread.join()
            assert after.wait_until_idle(30)
        drained = infos(after)["b"]
        assert drained.draining
        assert all(queue.waiting == queue.running == 0 for queue in drained.queues.values())
        produce(after, 150, 1)
        assert all(queue.waiting == 0 for queue in infos(after)["b"].queues.values())
        with after.worker(in_process=True):
            assert after.wait_until_idle(30)
        assert sorted(ran) == sorted(list(range(151)) * len(QUEUES))
        counts = after.counts()
        assert sum(states[State.COMPLETED] for states in counts.values()) == 151 * len(QUEUES)
        assert after.check() == []


def test_a_shard_is_added_while_workers_and_producers_go_on(url: Callable[..., str]) -> None:
    ran.clear()
    before = Mainspring(url("ab", partitioned="events"), tasks)
    after = Mainspring(url("abc", partitioned="events"), tasks)
    with before, after:
        produce(before, 0, 50)
        assert infos(after)["b"].queues[MOVES].home is False
        with before.worker(in_process=True), after.worker(in_process=True):
            produce(before, 50, 20)
            produce(after, 70, 50)
            assert after.wait_until_idle(30)
        assert sorted(ran) == sorted(list(range(120)) * len(QUEUES))
        c = infos(after)["c"].queues
        assert c[MOVES].ended == 50
        assert set(c) == {MOVES, "events"}
        assert after.check() == []


def test_queues_that_do_not_move_keep_their_order_when_a_shard_is_added(
    open_shards: Callable[..., Store],
) -> None:
    time = Time()
    stage = Stage(open_shards("ab"), time)
    first = stage.put_many(3, queue=IN_B)
    grown = Stage(open_shards("abc"), time)
    second = grown.put_many(3, queue=IN_B)
    assert ids(grown.claim(queues=(IN_B,))) == ids([*first, *second])


def test_jobs_follow_what_they_wait_for_when_their_queue_has_moved(
    open_shards: Callable[..., Store], single: Callable[[str], Store]
) -> None:
    time = Time()
    stage = Stage(open_shards("ab"), time)
    parent = stage.put(queue=MOVES)
    for grown in (open_shards("abc"), open_shards("abc", draining="b")):
        child = new(queue=MOVES).after(parent)
        grown.insert([child], now=time.now)
        assert single("b").get([child.id]) != [None]
    other = Stage(open_shards("abc"), time)
    other.complete([other.take(queues=(MOVES,))])
    assert len(other.claim(queues=(MOVES,))) == 2


def test_a_shard_that_takes_no_new_jobs_is_still_read_and_operated_on(
    open_shards: Callable[..., Store],
) -> None:
    time = Time()
    job = Stage(open_shards("ab"), time).put(queue=IN_B)
    stage = Stage(open_shards("ab", draining="b"), time)
    assert stage.state(job) is State.PENDING
    assert stage.put(queue=IN_B).id != job.id
    assert stage.count(State.PENDING, IN_B) == 2
    assert len(stage.claim(queues=(IN_B,))) == 2
