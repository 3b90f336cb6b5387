"""Placement: the same for ever, even, and hardly moved by a new shard."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.engines.shards.placement import (
    composed,
    highest,
    of_id,
    of_key,
    of_queue,
    parts,
    slot,
)
from mainspring.ids import new_ids

names = st.lists(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=32),
    min_size=1,
    max_size=10,
    unique=True,
)
QUEUES = [of_queue(f"queue {n}") for n in range(2_000)]


@given(names, st.text(), st.randoms())
def test_a_queues_home_does_not_depend_on_the_order_of_shards(
    shards: list[str], queue: str, random: Random
) -> None:
    home = highest(shards, of_queue(queue))
    random.shuffle(shards)
    assert highest(shards, of_queue(queue)) == home


@given(names, st.text(max_size=10).filter(str.isalnum))
def test_a_new_shard_takes_queues_only_for_itself(shards: list[str], new: str) -> None:
    for queue in QUEUES[:100]:
        before, after = highest(shards, queue), highest({*shards, new}, queue)
        assert after in (before, new)


@pytest.mark.parametrize("count", [2, 3, 8])
def test_queues_are_spread_evenly_and_a_new_shard_takes_its_share(count: int) -> None:
    shards = [f"s{n}" for n in range(count)]
    before = [highest(shards, queue) for queue in QUEUES]
    share = len(QUEUES) / count
    assert all(0.8 * share < n < 1.2 * share for n in Counter(before).values())
    after = [highest([*shards, "new"], queue) for queue in QUEUES]
    moved = sum(one != other for one, other in zip(before, after, strict=True))
    expected = len(QUEUES) / (count + 1)
    assert 0.8 * expected < moved < 1.2 * expected


def test_jobs_of_one_moment_are_spread_evenly_by_their_ids() -> None:
    homes = Counter(highest("abcd", of_id(id)) for id in new_ids(4_000))
    assert all(800 < homes[name] < 1_200 for name in "abcd")


def test_where_things_belong_is_the_same_in_every_version() -> None:
    shards = ["a", "b", "c", "d"]
    queues = {name: highest(shards, of_queue(name)) for name in ("default", "mail", "ü", "")}
    assert queues == {"default": "a", "mail": "b", "ü": "c", "": "a"}
    assert highest(shards, of_key("welcome:7")) == "c"
    assert highest(shards, of_id(bytes(range(16)))) == "b"
    assert [slot(name) for name in shards] == [434, 2010, 638, 1920]


@given(names, st.integers(1, 2**42 - 1))
def test_a_number_tells_its_shard_and_fits_into_a_float(shards: list[str], number: int) -> None:
    for shard in shards:
        whole = composed(number, slot(shard))
        assert parts(whole) == (number, slot(shard))
        assert whole < 2**53
        assert parts(whole + 1)[1] % 2 == 1
