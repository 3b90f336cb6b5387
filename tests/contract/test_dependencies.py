"""Jobs that wait for jobs: released once, together with the end they waited for."""

from typing import Any

import pytest

from mainspring.durations import HOUR, MINUTE, SECOND
from mainspring.errors import InvalidArguments, UnknownDependency
from mainspring.ids import new_id
from mainspring.job import Edge, Failed, NewJob, Reason, Select, Snoozed, State, Succeeded
from mainspring.lifecycle import decide
from tests.contract.stage import OOPS, Stage, everything, ids, new, retries


def flow(stage: Stage, *, run_anyway: bool = False, **options: Any) -> tuple[NewJob[Any], ...]:
    """A parent, and a child that waits for it."""
    parent = new(policy=retries(1), expires=HOUR)
    child = new(**options).after(parent, run_anyway=run_anyway)
    stage.insert(parent, child)
    return parent, child


def test_a_job_waits_until_all_its_parents_have_completed(stage: Stage) -> None:
    parents = stage.put_many(3)
    child = new().after(*parents)
    stage.insert(child)
    assert stage.state(child) is State.BLOCKED
    held = stage.claim()
    assert ids(held) == ids(parents)
    stage.complete(held[:2])
    assert stage.state(child) is State.BLOCKED
    stage.complete(held[2:])
    assert stage.take().id == child.id


def test_the_finish_of_the_last_parent_releases_in_the_same_step(stage: Stage) -> None:
    _, child = flow(stage)
    held = stage.take()
    answer = stage.store.exchange([decide(held, Succeeded())], stage.wish(), now=stage.now)
    assert ids(answer.jobs) == [child.id]


def test_a_released_job_keeps_the_priority_it_was_given(stage: Stage) -> None:
    _, child = flow(stage, priority=5)
    held = stage.take()
    stage.put_many(3)
    stage.complete([held])
    assert ids(stage.claim(1)) == [child.id]


@pytest.mark.parametrize("end", [Snoozed(SECOND), Failed(OOPS)], ids=["snoozed", "retrying"])
def test_an_end_that_is_none_releases_nothing(stage: Stage, end: Snoozed | Failed) -> None:
    _, child = flow(stage)
    stage.end(stage.take(), end)
    assert stage.state(child) is State.BLOCKED
    stage.passes("1s")
    stage.complete([stage.take()])
    assert stage.take().id == child.id


def test_a_released_job_still_waits_for_its_own_time(stage: Stage) -> None:
    parent, child = flow(stage, delay=MINUTE)
    stage.passes("10s")
    stage.complete([stage.take()])
    assert stage.state(child) is State.SCHEDULED
    stage.passes("49s")
    assert stage.claim() == []
    stage.passes("1s")
    assert stage.take().id == child.id
    assert stage.state(parent) is State.COMPLETED


def test_a_released_job_whose_time_has_passed_can_be_claimed_at_once(stage: Stage) -> None:
    _, child = flow(stage, delay=MINUTE)
    held = stage.take()
    stage.passes("10s")
    stage.heartbeat(held.token)
    stage.passes("2m")
    stage.complete([held])
    assert stage.take().id == child.id


def test_parents_may_stand_behind_their_children_in_the_same_call(stage: Stage) -> None:
    first, second, third = new(), new(), new()
    answers = stage.insert(third.after(second), second.after(first), first)
    assert [answer.id for answer in answers] == ids([third, second, first])
    for job in (first, second, third):
        held = stage.take()
        assert held.id == job.id
        stage.complete([held])


def test_a_record_names_what_it_waits_for(stage: Stage) -> None:
    parents = stage.put_many(2)
    child = new().after(*parents)
    stage.insert(child)
    assert set(stage.record(child).parents) == set(ids(parents))


def test_naming_a_parent_twice_is_waiting_once(stage: Stage) -> None:
    parent = stage.put()
    child = new().after(parent).after(parent)
    stage.insert(child)
    stage.complete([stage.take()])
    assert stage.take().id == child.id


# --- parents that end badly ----------------------------------------------------------------------


def end_badly(stage: Stage, how: str, parent: NewJob[Any]) -> None:
    one = Select(ids=(parent.id,))
    match how:
        case "failed":
            stage.fail(stage.take())
        case "cancelled":
            stage.store.cancel(one, now=stage.now)
        case "cancelled while running":
            held = stage.take()
            stage.store.cancel(one, now=stage.now)
            stage.end(held, Failed(OOPS))
        case "deleted":
            assert stage.store.delete(one, now=stage.now).ids == (parent.id,)
            assert stage.gone(parent)
        case "expired":
            stage.passes("61m")
            stage.tidy()


BAD_ENDS = ["failed", "cancelled", "cancelled while running", "deleted", "expired"]


@pytest.mark.parametrize("how", BAD_ENDS)
def test_a_parent_that_ends_badly_takes_its_dependents_along(stage: Stage, how: str) -> None:
    parent, child = flow(stage)
    end_badly(stage, how, parent)
    record = stage.record(child)
    assert (record.state, record.reason) == (State.CANCELLED, Reason.DEPENDENCY_FAILED)
    assert stage.claim() == []


@pytest.mark.parametrize("how", BAD_ENDS)
def test_a_dependent_that_is_to_run_anyway_runs(stage: Stage, how: str) -> None:
    parent, child = flow(stage, run_anyway=True)
    end_badly(stage, how, parent)
    assert stage.take().id == child.id


def test_the_fall_goes_through_the_whole_chain_and_stops_at_who_runs_anyway(stage: Stage) -> None:
    root = new()
    chain = [root]
    for _ in range(5):
        chain.append(new().after(chain[-1]))
    saviour = new().after(chain[-1], run_anyway=True)
    stage.insert(*chain, saviour)
    stage.fail(stage.take())
    assert stage.states(*chain) == [State.FAILED] + [State.CANCELLED] * 5
    assert stage.take().id == saviour.id


def test_running_anyway_after_one_parent_still_waits_for_the_other(stage: Stage) -> None:
    bad, good = stage.put_many(2)
    child = new().after(bad, run_anyway=True).after(good)
    stage.insert(child)
    first, second = stage.claim()
    stage.fail(first)
    assert stage.state(child) is State.BLOCKED
    stage.complete([second])
    assert stage.take().id == child.id


def test_one_bad_parent_is_enough(stage: Stage) -> None:
    parents = stage.put_many(2)
    child = new().after(*parents)
    stage.insert(child)
    good, bad = stage.claim()
    stage.fail(bad)
    assert stage.state(child) is State.CANCELLED
    stage.complete([good])
    assert stage.state(child) is State.CANCELLED


# --- parents that have ended already -------------------------------------------------------------


@pytest.mark.parametrize(
    ("ended", "run_anyway", "state"),
    [
        (State.COMPLETED, False, State.PENDING),
        (State.COMPLETED, True, State.PENDING),
        (State.FAILED, False, State.CANCELLED),
        (State.FAILED, True, State.PENDING),
        (State.CANCELLED, False, State.CANCELLED),
        (State.CANCELLED, True, State.PENDING),
    ],
)
def test_a_parent_that_has_ended_counts_as_it_ended(
    stage: Stage, ended: State, run_anyway: bool, state: State
) -> None:
    parent = stage.bring(ended)
    child = new().after(parent, run_anyway=run_anyway)
    grandchild = new().after(child)
    stage.insert(grandchild, child)
    assert stage.state(child) is state
    below = State.CANCELLED if state is State.CANCELLED else State.BLOCKED
    assert stage.state(grandchild) is below


# --- refused -------------------------------------------------------------------------------------


def test_waiting_for_what_does_not_exist_is_refused(stage: Stage) -> None:
    with pytest.raises(UnknownDependency):
        stage.insert(new(), new(edges=(Edge(new_id()),)))
    assert everything(stage.store) == []


@pytest.mark.parametrize("length", [1, 2, 5])
def test_waiting_in_a_circle_is_refused(stage: Stage, length: int) -> None:
    jobs = [new() for _ in range(length)]
    circle = [job.after(jobs[at - 1]) for at, job in enumerate(jobs)]
    with pytest.raises(InvalidArguments):
        stage.insert(new(), *circle)
    assert everything(stage.store) == []


# --- many ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("well", [True, False], ids=["completes", "fails"])
def test_a_parent_of_2500_lets_all_of_them_go(stage: Stage, well: bool) -> None:
    parent = stage.put()
    children = [new().after(parent) for _ in range(2_500)]
    stage.insert(*children)
    assert stage.count(State.BLOCKED) == 2_500
    held = stage.take()
    if well:
        stage.complete([held])
    else:
        stage.fail(held)
    states = stage.store.counts()["default"]
    assert states[State.BLOCKED] + states[State.PENDING] + states[State.CANCELLED] == 2_500
    stage.tidy()
    assert stage.count(State.BLOCKED) == 0
    assert stage.count(State.PENDING if well else State.CANCELLED) == 2_500
    if well:
        claimed = [job.id for _ in range(5) for job in stage.claim(600)]
        assert sorted(claimed) == sorted(ids(children))


def test_claims_alone_work_off_what_a_finish_left_to_be_released(stage: Stage) -> None:
    parent = stage.put()
    children = [new().after(parent) for _ in range(2_500)]
    stage.insert(*children)
    stage.complete([stage.take()])
    claimed: set[bytes] = set()
    for _ in range(30):
        claimed.update(ids(stage.claim(100)))
    assert claimed == set(ids(children))


def test_a_job_waits_for_2500_parents(stage: Stage) -> None:
    parents = stage.put_many(2_500)
    child = new().after(*parents)
    stage.insert(child)
    while held := stage.claim(500):
        assert child.id not in ids(held)
        stage.complete(held)
        if stage.state(child) is not State.BLOCKED:
            break
    assert stage.count(State.COMPLETED) == 2_500
    assert stage.take().id == child.id


def test_a_chain_of_1200_falls_to_its_end(stage: Stage) -> None:
    jobs = [new()]
    for _ in range(1_199):
        jobs.append(new().after(jobs[-1]))
    stage.insert(*jobs)
    stage.fail(stage.take())
    stage.tidy()
    assert stage.count(State.CANCELLED) == 1_199


@pytest.mark.parametrize("verb", ["delete", "prune"])
def test_a_job_goes_with_the_rest_of_its_many_dependents_still_to_be_told(
    stage: Stage, verb: str
) -> None:
    parent = stage.put()
    children = [new(queue="children").after(parent) for _ in range(2500)]
    stage.insert(*children)
    stage.fail(stage.take())
    stage.store.cancel(Select(queues=("children",), states=(State.BLOCKED,)), now=stage.now)
    assert stage.count(State.CANCELLED, "children") == 2500
    if verb == "delete":
        stage.store.delete(Select(ids=(parent.id,)), now=stage.now)
        assert stage.gone(parent)
        assert stage.store.check() == []
    else:
        stage.passes("30d")
        stage.tidy()
    assert stage.store.check() == []
    assert stage.store.upkeep(now=stage.now) == 0
