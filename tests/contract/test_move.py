"""A job moves to another store as it stands: what had happened is known there, and what was to
happen happens there."""

from collections.abc import Callable, Iterator

import msgspec
import pytest

from mainspring.dossier import Dossier
from mainspring.durations import HOUR, MINUTE, SECOND
from mainspring.engines import open_store
from mainspring.errors import InvalidState, UniqueTaken
from mainspring.ids import new_id
from mainspring.job import MESSAGE, HandedBack, NewJob, Select, Snoozed, State, Succeeded
from mainspring.store import Note, Settings, Store
from tests.contract.stage import Stage, assert_sound, everything, ids, new, retries


@pytest.fixture
def partner(stage: Stage) -> Iterator[Stage]:
    """A store in memory, at the same time."""
    store = open_store("sqlite://:memory:")
    yield Stage(store, stage.time)
    assert_sound(store)
    store.close()


Pair = tuple[Stage, Stage]


@pytest.fixture(params=["out", "in"])
def pair(request: pytest.FixtureRequest, stage: Stage, partner: Stage) -> Pair:
    """From where to where: the engine under contract gives, or takes."""
    return (stage, partner) if request.param == "out" else (partner, stage)


def dossiers(store: Store) -> list[Dossier]:
    found: list[Dossier] = []
    while page := store.dump(found[-1].number if found else 0, 7):
        found += page
    return found


def told(store: Store) -> list[Dossier]:
    """All that is known, but for the numbers, which are each store's own."""
    return [msgspec.structs.replace(each, number=0) for each in dossiers(store)]


def move(pair: Pair) -> int:
    """Move everything: first the jobs, then what they wait for, so that the order is all one."""
    source, target = pair
    for queue in source.store.queues():
        target.store.configure(
            queue.name, Settings(paused=queue.paused, by_hand=queue.by_hand, aging=queue.aging)
        )
    all_of_them = dossiers(source.store)
    bare = [msgspec.structs.replace(each, waits=()) for each in all_of_them]
    moved = sum(target.store.restore(bare[at : at + 5]) for at in range(0, len(bare), 5))
    assert target.store.restore(all_of_them) == 0
    return moved


def live(stage: Stage) -> None:
    """A bit of everything that may happen to jobs, but none is running in the end."""
    stage.store.configure("slow", Settings(paused=True, aging=HOUR))
    stage.put(task=MESSAGE, queue="by-hand", headers={"a": "1"})
    stage.put_many(3, payload=b'{"n":1}', tags=("red", "blue"), key="tenant", label="a label")
    stage.put(priority=5, queue="slow")
    stage.put(delay=MINUTE, unique="later", unique_for=HOUR)
    stage.put(run_at=stage.time.wall + HOUR, expires=2 * HOUR)
    stage.put(expires=HOUR, on_duplicate="replace", unique="mortal")
    for state in State:
        if state is not State.RUNNING:
            stage.bring(state)
    _noted_and_failed(stage)
    _families(stage)
    _suspect(stage)
    held = stage.put(queue="handed", priority=3)
    stage.passes(SECOND)
    stage.end(stage.take(queues=("handed",)), HandedBack())
    assert stage.state(held) is State.PENDING
    stage.put(queue="snoozed", unique="snoozer")
    stage.end(stage.take(queues=("snoozed",)), Snoozed(MINUTE))


def _noted_and_failed(stage: Stage) -> None:
    stage.put(queue="noted", policy=retries(3))
    for percent in (10.0, 20.0):
        held = stage.take(queues=("noted",))
        notes = [
            Note(held.number, held.token, stage.time.wall, "half way", percent),
            Note(held.number, held.token, stage.time.wall, "a line of log"),
        ]
        stage.heartbeat(held.token, notes=notes)
        stage.fail(held) if percent > 10 else stage.end(held, Snoozed(0))
    done = stage.put(queue="noted", unique="kept", unique_for=HOUR)
    stage.end(stage.take(queues=("noted",)), Succeeded(b'{"answer":42}'))
    assert stage.state(done) is State.COMPLETED


def _families(stage: Stage) -> None:
    for ends_well in (True, False):
        queue = f"family-{ends_well}"
        parents = [new(queue=queue), new(queue=queue, delay=HOUR)]
        stage.insert(*parents, new(queue=queue).after(*parents), new().after(parents[0]))
        held = stage.take(queues=(queue,))
        stage.complete([held]) if ends_well else stage.fail(held)
    late = new(queue="backwards", delay=HOUR)
    stage.insert(new(queue="backwards").after(late, run_anyway=True), late)


def _suspect(stage: Stage) -> None:
    stage.put(queue="suspects", policy=retries(5))
    for _ in range(2):
        stage.take(queues=("suspects",), alone=1)
        stage.lose_all()
        stage.passes(SECOND)


def test_everything_that_is_known_of_a_job_moves_along(pair: Pair) -> None:
    source, target = pair
    live(source)
    before = told(source.store)
    assert move(pair) == len(before) > 25
    assert told(target.store) == before
    assert told(source.store) == before
    assert target.store.counts() == source.store.counts()
    for job in everything(source.store):
        assert target.store.history(job.id) == source.store.history(job.id)
        assert target.store.logs(job.id) == source.store.logs(job.id)


def test_what_would_have_happened_there_happens_here(pair: Pair) -> None:
    source, target = pair
    live(source)
    move(pair)
    for _ in range(3):
        got = []
        for stage in pair:
            stage.tidy()
            held = stage.claim(1000, alone=1)
            got.append([(job.id, job.attempt, job.claims, job.due) for job in held])
            stage.complete(held)
        assert got[0] == got[1]
        source.passes(HOUR)
    assert target.store.counts() == source.store.counts()
    assert target.count(State.BLOCKED, "family-True") == 0


def test_a_move_that_was_cut_short_is_repeated_from_the_start(pair: Pair) -> None:
    source, target = pair
    live(source)
    some = [msgspec.structs.replace(each, waits=()) for each in source.store.dump(0, 10)]
    assert target.store.restore(some) == 10
    assert target.store.restore(some) == 0
    assert move(pair) == len(everything(source.store)) - 10
    assert told(target.store) == told(source.store)


def _family(stage: Stage) -> tuple[NewJob[None], NewJob[None], NewJob[None]]:
    """A job, one that waits for it, and one that waits for both."""
    first = new(queue="line")
    second = new(queue="line").after(first)
    last = new(queue="line").after(first, second, run_anyway=True)
    stage.insert(first, second, last)
    return first, second, last


def test_what_has_arrived_stays_as_it_is_whatever_became_of_it_there(pair: Pair) -> None:
    source, target = pair
    live(source)
    _family(source)
    move(pair)
    for _ in range(3):
        for n, held in enumerate(target.claim(1000, alone=1)):
            target.fail(held) if n % 3 == 1 else target.complete([held])
        target.passes(HOUR)
    target.store.replay(Select(states=(State.FAILED,)))
    assert target.store.check() == []
    before = told(target.store)
    assert move(pair) == 0
    assert told(target.store) == before
    assert target.store.check() == []


@pytest.mark.parametrize("turned", [False, True], ids=["", "children first"])
@pytest.mark.parametrize("ends_well", [True, False])
def test_a_job_whose_dependencies_arrive_when_they_have_ended_there_goes_on(
    pair: Pair, ends_well: bool, turned: bool
) -> None:
    source, target = pair
    _, second, last = _family(source)
    bare = [msgspec.structs.replace(each, waits=()) for each in dossiers(source.store)]
    assert target.store.restore(bare) == 3
    held = target.take(queues=("line",))
    target.complete([held]) if ends_well else target.fail(held)
    step = -1 if turned else 1
    assert target.store.restore(dossiers(source.store)[::step]) == 0
    target.passes(SECOND)
    assert ids(target.claim(queues=("line",))) == ids([second if ends_well else last])
    assert target.state(second) is (State.RUNNING if ends_well else State.CANCELLED)
    assert target.store.check() == []


def test_the_same_order_of_equals_holds_there(pair: Pair) -> None:
    source, target = pair
    jobs = source.put_many(20)
    target.put_many(3, queue="others")
    move(pair)
    assert ids(target.claim(queues=("default",))) == ids(jobs)


def test_an_insert_repeated_after_the_move_is_known(pair: Pair) -> None:
    source, target = pair
    job: NewJob[None] = new(tags=("a",), delay=MINUTE, unique="x", headers={"h": "1"})
    source.insert(job)
    move(pair)
    (answer,) = target.insert(job)
    assert answer.repeated


def test_a_key_that_an_ended_job_held_long_enough_is_not_taken_along(pair: Pair) -> None:
    source, target = pair
    for _ in range(2):
        source.put(unique="x", unique_for=MINUTE)
        source.complete([source.take()])
        source.passes(HOUR)
    assert move(pair) == 2
    assert target.insert(new(unique="x"))[0].duplicate_of is None


@pytest.mark.parametrize(
    ("arrange", "error"),
    [
        (lambda source, target: source.bring(State.RUNNING), InvalidState),
        (
            lambda source, target: (source.put(unique="x"), target.put(unique="x")),
            UniqueTaken,
        ),
    ],
    ids=["running", "taken key"],
)
def test_what_cannot_be_moved_is_refused_and_nothing_is_taken_in(
    pair: Pair, arrange: Callable[[Stage, Stage], object], error: type[Exception]
) -> None:
    source, target = pair
    source.put()
    arrange(source, target)
    before = target.store.counts()
    with pytest.raises(error):
        target.store.restore(source.store.dump())
    assert {k: v for k, v in target.store.counts().items() if any(v.values())} == {
        k: v for k, v in before.items() if any(v.values())
    }
    source.store.delete(Select())
    assert new_id() not in ids(everything(target.store))
