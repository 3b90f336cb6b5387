"""Several shards look like one store."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from mainspring.durations import MINUTE, SECOND
from mainspring.engines.shards.store import ShardsStore
from mainspring.ids import new_id, new_token
from mainspring.job import Lost, NewJob, Select, State, Succeeded
from mainspring.lifecycle import decide
from mainspring.store import Minute, QueueInfo, Settings, Store
from tests.contract.stage import OOPS, Stage, everything, ids, new, retries
from tests.shards.conftest import ALSO_IN_A, IN_A, IN_B

Single = Callable[[str], Store]


def put_everywhere(stage: Stage, count: int = 3) -> list[NewJob[Any]]:
    """Jobs in both shards, by turns, a moment apart."""
    jobs = []
    for n in range(2 * count):
        jobs.append(stage.put(queue=(IN_A, IN_B)[n % 2]))
        stage.passes("1s")
    return jobs


def test_queues_are_spread_and_each_lives_in_one_shard(stage: Stage, single: Single) -> None:
    stage.put_many(3, queue=IN_A)
    stage.put_many(2, queue=IN_B)
    stage.put(queue=ALSO_IN_A)
    assert set(single("a").counts()) == {IN_A, ALSO_IN_A}
    assert set(single("b").counts()) == {IN_B}
    assert stage.count(State.PENDING, IN_A) == 3
    assert stage.count(State.PENDING, IN_B) == 2


def test_a_partitioned_queue_lives_in_all_and_is_counted_as_one(
    stage: Stage, single: Single
) -> None:
    stage.put_many(200, queue="events")
    assert stage.count(State.PENDING, "events") == 200
    for name in "ab":
        assert 60 < single(name).counts()["events"][State.PENDING] < 140
    assert len(stage.claim(500, queues=("events",))) == 200


def test_a_partitioned_queue_has_each_unique_key_once(stage: Stage) -> None:
    for key in "abcdefgh":
        first = stage.put(queue="events", unique=key)
        again = stage.insert(*(new(queue="events", unique=key) for _ in range(5)))
        assert {answer.duplicate_of for answer in again} == {first.id}


def test_numbers_are_of_one_job_each(stage: Stage) -> None:
    answers = stage.insert(*(new(queue=queue) for queue in (IN_A, IN_B, "events") * 50))
    assert len({answer.number for answer in answers}) == 150
    assert {job.number for job in stage.claim(500)} == {answer.number for answer in answers}


def test_jobs_are_found_by_id_wherever_they_are(
    stage: Stage, open_shards: Callable[..., ShardsStore]
) -> None:
    jobs = put_everywhere(stage)
    other = Stage(open_shards(), stage.time)
    nobody = new_id()
    found = other.store.get([*ids(jobs), nobody])
    assert [record and record.id for record in found] == [*ids(jobs), None]
    assert [other.store.position(job.id) for job in jobs] == [1, 1, 2, 2, 3, 3]
    assert other.store.position(nobody) is None
    (held,) = other.claim(1, queues=(IN_B,))
    other.fail(held)
    assert len(open_shards().history(held.id)) == 1
    assert open_shards().logs(held.id) == []


@pytest.mark.parametrize("remembered", [True, False])
def test_pages_over_all_shards_are_in_one_order(
    stage: Stage, open_shards: Callable[..., ShardsStore], remembered: bool
) -> None:
    jobs = put_everywhere(stage, 10)
    found: list[bytes] = []
    after = None
    store = stage.store
    while page := store.find(Select(), limit=3, after=after):
        found += ids(page)
        after = page[-1].number
        if not remembered:
            store = open_shards()
    assert found == ids(reversed(jobs))


@pytest.mark.parametrize("remembered", [True, False])
def test_pages_leave_out_no_job_of_one_moment(
    stage: Stage, open_shards: Callable[..., ShardsStore], remembered: bool
) -> None:
    jobs = stage.put_many(50, queue="events")
    found: list[bytes] = []
    after = None
    store = stage.store
    while page := store.find(Select(), limit=7, after=after):
        found += ids(page)
        after = page[-1].number
        if not remembered:
            store = open_shards()
    assert sorted(found) == sorted(ids(jobs))


def test_a_job_is_found_by_its_number_as_the_command_line_does(
    stage: Stage, open_shards: Callable[..., ShardsStore]
) -> None:
    for job in put_everywhere(stage):
        number = stage.record(job).number
        (found,) = open_shards().find(Select(), limit=1, after=number + 1)
        assert (found.id, found.number) == (job.id, number)
    assert open_shards().find(Select(), after=7) == []


def test_operators_reach_jobs_in_all_shards(stage: Stage) -> None:
    jobs = put_everywhere(stage)
    by_id = Select(ids=tuple(ids(jobs)))
    assert sorted(stage.store.cancel(by_id, now=stage.now).ids) == sorted(ids(jobs))
    assert len(stage.store.replay(Select(states=(State.CANCELLED,)), now=stage.now).ids) == 6
    (held,) = stage.claim(1)
    changed = stage.store.delete(Select(), now=stage.now)
    assert (len(changed.ids), set(changed.refused)) == (5, {held.id})
    assert ids(everything(stage.store)) == [held.id]


def test_settings_of_a_queue_hold_where_it_lives(stage: Stage, single: Single) -> None:
    stage.store.configure("events", Settings(paused=True))
    info = stage.store.configure(IN_B, Settings(keep_failed=MINUTE))
    stage.put_many(20, queue="events")
    assert stage.claim(100) == []
    assert set(stage.heartbeat().paused) == {"events"}
    assert stage.store.queues() == [QueueInfo(name="events", paused=True), info]
    assert [each.name for each in single("a").queues()] == ["events"]


def test_a_new_shard_gets_the_settings_of_queues_that_move_to_it(
    stage: Stage, open_shards: Callable[..., ShardsStore], single: Single
) -> None:
    # With a third shard `orders` moves from b to c.
    info = stage.store.configure("orders", Settings(paused=True, keep_failed=MINUTE))
    stage.put(queue="orders")
    grown = Stage(open_shards("abc", partitioned="events,logs"), stage.time)
    assert single("c").queues() == [info]
    stage.put(queue="orders")
    assert grown.claim() == []


def test_statistics_of_all_shards_are_summed(stage: Stage) -> None:
    stage.put_many(20, queue="events")
    stage.complete(stage.claim(100))
    stage.passes("2s")
    told = told_of(stage, 20)
    assert [(each.queue, each.started, each.completed) for each in told] == [("events", 20, 20)]
    assert sum(told[0].run_histogram.values()) == 20


def told_of(stage: Stage, completed: int) -> list[Minute]:
    """The statistics, once they tell of so many; they may lag by a second."""
    end = time.monotonic() + 5
    while sum(each.completed for each in stage.store.statistics(0)) < completed:
        assert time.monotonic() < end
        stage.store.upkeep(now=stage.now)
    return stage.store.statistics(0)


def test_health_and_check_name_each_shard(stage: Stage, single: Single) -> None:
    health = stage.store.health()
    assert health.engine == "shards"
    assert health.durability.startswith("a, b: full")
    assert {"a_file_bytes", "b_file_bytes"} <= set(health.figures)
    stage.put_many(9, queue="events")
    single("b").configure("events", Settings(aging=SECOND))
    assert stage.store.check() == ["queue 'events' has not the same settings in shards a and b"]
    single("b").configure("events", Settings(aging=MINUTE))


# --- work ----------------------------------------------------------------------------------------


def test_a_claim_takes_from_all_shards_up_to_its_limit(stage: Stage) -> None:
    put_everywhere(stage, 5)
    answer = stage.look(7)
    assert (len(answer.jobs), answer.more) == (7, True)
    assert {job.queue for job in answer.jobs} == {IN_A, IN_B}
    answer = stage.look(7)
    assert (len(answer.jobs), answer.more) == (3, False)


def test_no_shard_is_always_asked_last(stage: Stage) -> None:
    put_everywhere(stage, 10)
    firsts = Counter(job.queue for _ in range(10) for job in stage.claim(1))
    assert firsts == {IN_A: 5, IN_B: 5}


def test_named_queues_are_taken_in_their_order_over_all_shards(stage: Stage) -> None:
    for _ in range(3):
        a, b, c = (stage.put_many(2, queue=queue) for queue in (IN_A, IN_B, ALSO_IN_A))
        held = stage.claim(5, queues=(ALSO_IN_A, IN_B, IN_A))
        assert ids(held) == ids([*c, *b, a[0]])
        stage.complete([*held, *stage.claim()])


def test_nothing_overtakes_a_careful_job_in_a_queue_of_another_shard(stage: Stage) -> None:
    stage.put(queue=IN_B, policy=retries(0))
    stage.put(queue=IN_A)
    answer = stage.look(5, slots=0, queues=(IN_B, IN_A))
    assert (answer.jobs, answer.more) == ([], True)


def test_a_repeated_claim_over_two_shards_returns_what_it_holds(stage: Stage) -> None:
    put_everywhere(stage, 3)
    token = new_token()
    held = stage.claim(6, token=token)
    stage.put_many(3, queue=IN_A)
    again = stage.claim(100, token=token)
    assert sorted(again, key=lambda job: job.number) == sorted(held, key=lambda job: job.number)
    assert len({job.token for job in held}) == 2
    assert token in {job.token for job in held}


def test_a_whole_exchange_over_two_shards_can_be_repeated(stage: Stage) -> None:
    put_everywhere(stage, 4)
    held = stage.claim(4)
    ends, wish = [decide(job, Succeeded()) for job in held], stage.wish(4)
    first = stage.store.exchange(ends, wish, now=stage.now)
    second = stage.store.exchange(ends, wish, now=stage.now)
    assert sorted(ids(first.jobs)) == sorted(ids(second.jobs))
    assert (len(first.jobs), first.lost, second.lost) == (4, (), ())


def test_the_answer_tells_when_the_next_job_falls_due_anywhere(stage: Stage) -> None:
    stage.put(queue=IN_A, delay=2 * MINUTE)
    stage.put(queue=IN_B, delay=MINUTE)
    assert stage.look().next_due == stage.now.wall + MINUTE


def test_a_lost_grant_of_one_shard_says_nothing_of_the_other(stage: Stage) -> None:
    stage.put(queue=IN_A)
    stage.put(queue=IN_B)
    held = {job.queue: job for job in stage.claim()}
    tokens = [job.token for job in held.values()]
    stage.passes("10s")
    assert stage.heartbeat(held[IN_A].token).lost == ()
    stage.passes("10s")
    (taken,) = stage.reclaim()
    assert taken.id == held[IN_B].id
    pulse = stage.heartbeat(*tokens)
    assert pulse.lost == (held[IN_B].token,)
    stage.store.cancel(Select(), now=stage.now)
    assert stage.heartbeat(*tokens).cancel == (held[IN_A].number,)
    assert stage.end(held[IN_B], Succeeded()).lost == ((held[IN_B].number, held[IN_B].token),)


def test_a_program_that_did_not_claim_knows_nothing_of_tokens_and_settles_all_the_same(
    stage: Stage, open_shards: Callable[..., ShardsStore]
) -> None:
    put_everywhere(stage, 2)
    held = stage.claim()
    other = Stage(open_shards(), stage.time)
    tokens = sorted({job.token for job in held})
    assert other.heartbeat(*tokens, new_token()).lost != tuple(tokens)
    assert not set(other.heartbeat(*tokens).lost) & set(tokens)
    assert sorted(ids(other.store.held(tokens))) == sorted(ids(held))
    other.complete(held)


def test_what_expired_in_all_shards_is_taken_over_up_to_the_limit(stage: Stage) -> None:
    put_everywhere(stage, 4)
    stage.claim()
    stage.passes("16s")
    taken = stage.reclaim(5)
    assert len(taken) == 5
    rest = stage.reclaim(100)
    assert len(rest) == 3
    for job in taken + rest:
        assert stage.end(job, Lost(OOPS)).lost == ()


def test_a_repeated_insert_over_two_shards_is_answered_again(stage: Stage) -> None:
    jobs = [new(queue=queue) for queue in (IN_A, IN_B, "events", "logs")]
    first = stage.insert(*jobs)
    again = stage.insert(*jobs)
    assert [answer.number for answer in first] == [answer.number for answer in again]
    assert [answer.repeated for answer in again] == [True] * 4


def test_a_job_is_in_one_shard_however_its_insert_is_repeated(
    stage: Stage, open_shards: Callable[..., ShardsStore]
) -> None:
    old = [new(queue=queue, id=bytes([n]) * 16) for n, queue in enumerate((IN_A, "events", IN_B))]
    stage.insert(*old)
    grown = Stage(open_shards("abcdefgh", partitioned="events"), stage.time)
    assert [answer.repeated for answer in grown.insert(*old)] == [True] * 3
    assert len(everything(grown.store)) == 3


def test_a_message_of_a_queue_can_be_consumed_wherever_it_is(stage: Stage) -> None:
    jobs = stage.put_many(10, queue="logs")
    assert sorted(ids(stage.claim(4, queues=("logs",)) + stage.claim(6, queues=("logs",)))) == (
        sorted(ids(jobs))
    )
