"""Everything moves out of shards and into them."""

from collections.abc import Iterator

import pytest

from mainspring.engines import open_store
from mainspring.engines.shards.store import ShardsStore
from mainspring.errors import Unsupported
from mainspring.job import NewJob, Select
from mainspring.move import copy
from mainspring.store import Store
from tests.contract.stage import Stage, Time, assert_sound, everything, ids, new
from tests.shards.conftest import ALSO_IN_A, IN_A, IN_B


@pytest.fixture
def single_store() -> Iterator[Store]:
    store = open_store("sqlite://:memory:")
    yield store
    assert_sound(store)
    store.close()


def fill(stage: Stage) -> list[NewJob[None]]:
    jobs: list[NewJob[None]] = []
    for n in range(30):
        jobs += stage.put_many(1, queue=(IN_A, IN_B, "events")[n % 3])
    parent = new(queue=IN_A, delay=1_000_000)
    flow = [parent, new(queue=ALSO_IN_A).after(parent)]
    stage.insert(*flow)
    stage.complete(stage.claim(5))
    return jobs + flow


def test_a_dump_of_all_shards_goes_page_by_page_and_leaves_out_none(stage: Stage) -> None:
    jobs = fill(stage)
    found = []
    after = 0
    while page := stage.store.dump(after, 4):
        numbers = [each.number for each in page]
        assert numbers == sorted(numbers)
        assert numbers[0] > after
        found += [each.job.id for each in page]
        after = numbers[-1]
    assert sorted(found) == sorted(ids(jobs))


def test_shards_are_copied_into_one_store_and_back(
    store: ShardsStore, stage: Stage, single_store: Store
) -> None:
    jobs = fill(stage)
    copied = copy(store, single_store)
    assert (copied.jobs, copied.new, copied.wrong) == (len(jobs), len(jobs), ())
    assert single_store.counts() == store.counts()
    assert copy(single_store, store).new == 0


def test_one_store_is_copied_into_shards_each_queue_to_its_own(
    store: ShardsStore, single_store: Store
) -> None:
    jobs = fill(Stage(single_store, Time()))
    copied = copy(single_store, store)
    assert (copied.new, copied.wrong) == (len(jobs), ())
    counts = {info.name: set(info.queues) for info in store.shards()}
    assert counts == {"a": {IN_A, ALSO_IN_A, "events"}, "b": {IN_B, "events"}}
    assert copy(single_store, store).new == 0


def test_a_flow_over_queues_of_two_shards_ends_the_copy_with_what_was_copied_to_be_thrown_away(
    store: ShardsStore, single_store: Store
) -> None:
    parent = new(queue=IN_A)
    child = new(queue=IN_B).after(parent)
    single_store.insert([parent, child])
    with pytest.raises(Unsupported, match=f"queue '{IN_B}' belongs into shard 'b'"):
        copy(single_store, store)
    assert len(everything(single_store)) == 2
    store.delete(Select())
