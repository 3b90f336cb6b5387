"""Selecting among many: by walking, by indexes, over gaps."""

from mainspring.job import Select, State
from mainspring.store import Store
from tests.contract.stage import Stage, Time, ids


def test_few_are_found_among_many_and_many_page_by_page(store: Store) -> None:
    stage = Stage(store, Time())
    jobs = [job for _ in range(12) for job in stage.put_many(1000)]
    stage.fail(stage.take(limit=1))
    rare = stage.put(queue="rare")
    assert ids(store.find(Select(queues=("rare",)))) == [rare.id]
    assert ids(store.find(Select(states=(State.FAILED,)))) == [jobs[0].id]
    found, after = [], None
    while page := store.find(Select(states=(State.PENDING,)), limit=5000, after=after):
        found += ids(page)
        after = page[-1].number
    assert found == ids(reversed([*jobs[1:], rare]))


def test_a_walk_goes_on_beyond_what_one_script_may_look_at(store: Store) -> None:
    stage = Stage(store, Time())
    first = stage.put(queue="rare")
    for _ in range(60):
        stage.put_many(1000)
    assert ids(store.find(Select(queues=("rare",)))) == [first.id]


def test_gaps_between_numbers_are_stepped_over(store: Store) -> None:
    stage = Stage(store, Time())
    first = stage.put()
    client = store._parts.client  # type: ignore[attr-defined]
    client.redis.set(client.key("number"), 10_000_000_000)
    last = stage.put()
    assert ids(store.find(Select())) == [last.id, first.id]
    assert stage.claim()[1].number == 10_000_000_001
    assert store.check() == []
