"""Claiming: in order, never early, nothing twice, as much as was asked for."""

import pytest

from mainspring.durations import DAY, HOUR, MINUTE, SECOND
from mainspring.ids import new_token
from mainspring.job import (
    Claimed,
    Failed,
    HandedBack,
    Select,
    Snoozed,
    State,
    Succeeded,
    Transition,
    decode_policy,
)
from mainspring.lifecycle import decide
from mainspring.store import Settings
from tests.contract.stage import OOPS, Stage, ids, lease, new, retries

# --- order ---------------------------------------------------------------------------------------


def test_equal_jobs_are_claimed_in_the_order_they_came(stage: Stage) -> None:
    jobs = [job for _ in range(5) for job in stage.put_many(20)]
    assert ids(stage.claim(30) + stage.claim(70)) == ids(jobs)


def test_older_jobs_go_first(stage: Stage) -> None:
    jobs = []
    for _ in range(10):
        jobs.append(stage.put())
        stage.passes("1ms")
    assert ids(stage.claim()) == ids(jobs)


def test_higher_priority_goes_first(stage: Stage) -> None:
    jobs = {priority: stage.put(priority=priority) for priority in (0, -100, 3, 100, -1, 50)}
    expected = [jobs[priority] for priority in sorted(jobs, reverse=True)]
    assert ids(stage.claim()) == ids(expected)


@pytest.mark.parametrize(("older", "first"), [("59s", "urgent"), ("61s", "plain")])
def test_one_level_of_priority_is_worth_a_minute_of_age(
    stage: Stage, older: str, first: str
) -> None:
    stage.put(task="plain")
    stage.passes(older)
    stage.put(task="urgent", priority=1)
    assert stage.claim(1)[0].task == first


def test_a_queue_with_long_aging_keeps_strictly_to_priority(stage: Stage) -> None:
    stage.store.configure("default", Settings(aging=30 * DAY))
    stage.put(task="plain")
    stage.passes("29d")
    stage.put(task="urgent", priority=1)
    assert stage.claim(1)[0].task == "urgent"


def test_a_changed_aging_holds_for_jobs_that_become_due_afterwards(stage: Stage) -> None:
    first = stage.put(priority=1)
    stage.store.configure("default", Settings(aging=HOUR))
    second = stage.put(priority=1)
    assert ids(stage.claim()) == ids([second, first])


def test_a_changed_aging_holds_for_delayed_jobs_as_soon_as_upkeep_has_seen_them(
    stage: Stage,
) -> None:
    first = stage.put(priority=1)
    second = stage.put(priority=1, delay=SECOND)
    stage.store.configure("default", Settings(aging=HOUR))
    stage.tidy()
    stage.passes("1s")
    assert ids(stage.claim()) == ids([second, first])


def test_a_job_takes_its_place_by_the_time_it_became_due(stage: Stage) -> None:
    delayed = stage.put(delay=10 * SECOND)
    stage.passes("5s")
    before = stage.put()
    stage.passes("10s")
    after = stage.put()
    assert ids(stage.claim()) == ids([before, delayed, after])


def test_a_time_in_the_past_overtakes_nobody(stage: Stage) -> None:
    jobs = [stage.put(), stage.put(run_at=0), stage.put(run_at=stage.now.wall - HOUR)]
    assert ids(stage.claim()) == ids(jobs)


def test_urgent_work_is_not_hidden_behind_a_mass_that_fell_due_with_it(stage: Stage) -> None:
    stage.put_many(2_500, delay=SECOND)
    urgent = stage.put(delay=MINUTE, priority=50)
    stage.passes("2m")
    assert ids(stage.claim(1)) == [urgent.id]


# --- time ----------------------------------------------------------------------------------------


def test_a_delayed_job_is_never_early_and_not_late(stage: Stage) -> None:
    jobs = [stage.put(delay=5 * SECOND), stage.put(run_at=stage.now.wall + 5 * SECOND)]
    stage.time.wall += 5 * SECOND - 1
    assert stage.claim() == []
    stage.time.wall += 1
    assert ids(stage.claim()) == ids(jobs)


def test_the_answer_tells_when_the_next_job_falls_due(stage: Stage) -> None:
    assert stage.look().next_due is None
    stage.put(delay=2 * MINUTE)
    stage.put(delay=MINUTE)
    assert stage.look().next_due == stage.now.wall + MINUTE
    stage.passes("61s")
    answer = stage.look()
    assert len(answer.jobs) == 1
    assert answer.next_due == stage.now.wall + 59 * SECOND


def test_a_late_job_is_not_given_to_anybody(stage: Stage) -> None:
    late = stage.put(expires=MINUTE)
    stage.passes("61s")
    punctual = stage.put(expires=MINUTE)
    assert ids(stage.claim()) == [punctual.id]
    stage.tidy()
    assert stage.state(late) is State.FAILED


# --- what one gets -------------------------------------------------------------------------------


def test_a_claimed_job_tells_all_there_is_to_know(stage: Stage) -> None:
    job = new(queue="mail", task="send", payload=b"[1]", policy=retries(7), delay=5)
    (inserted,) = stage.insert(job)
    stage.passes("1s")
    token = new_token()
    held = stage.take(token=token)
    assert held == Claimed(
        inserted.number,
        token,
        job.id,
        "mail",
        "send",
        b"[1]",
        attempt=1,
        claims=1,
        losses=0,
        created=stage.now.wall - SECOND,
        due=stage.now.wall - SECOND + 5,
        policy=held.policy,
    )
    assert decode_policy(held.policy) == job.policy


def test_headers_come_along_if_there_are_any(stage: Stage) -> None:
    stage.put(headers={"trace": "abc"})
    stage.put()
    with_headers, without = stage.claim()
    assert with_headers.headers is not None
    assert b"abc" in with_headers.headers
    assert without.headers is None


def test_a_claimed_job_is_running_at_its_worker(stage: Stage) -> None:
    job = stage.put()
    stage.passes("3s")
    stage.take(worker="w7")
    record = stage.record(job)
    assert (record.state, record.worker) == (State.RUNNING, "w7")
    assert (record.attempt, record.claims) == (1, 1)
    assert record.started == stage.now.wall


def test_every_claim_is_an_attempt_unless_it_is_given_back(stage: Stage) -> None:
    stage.put(policy=retries(5))
    seen = []
    for outcome in (Failed(OOPS), HandedBack(), Snoozed(0), Failed(OOPS), Succeeded()):
        stage.passes("1s")
        held = stage.take()
        seen.append((held.attempt, held.claims))
        stage.end(held, outcome)
    assert seen == [(1, 1), (2, 2), (2, 3), (2, 4), (3, 5)]


def test_no_more_than_the_limit_is_given_and_the_rest_is_announced(stage: Stage) -> None:
    jobs = stage.put_many(10)
    answer = stage.look(4)
    assert (ids(answer.jobs), answer.more) == (ids(jobs[:4]), True)
    answer = stage.look(100)
    assert (ids(answer.jobs), answer.more) == (ids(jobs[4:]), False)
    answer = stage.look()
    assert (answer.jobs, answer.more) == ([], False)


def test_no_job_is_given_twice(stage: Stage) -> None:
    stage.put_many(50)
    claimed = [job.id for _ in range(20) for job in stage.claim(3)]
    assert len(claimed) == len(set(claimed)) == 50


def test_settling_comes_before_claiming_in_one_step(stage: Stage) -> None:
    stage.put(unique="k")
    held = stage.take()
    fresh = stage.put()
    answer = stage.store.exchange([completed(held)], stage.wish(), now=stage.now)
    assert ids(answer.jobs) == [fresh.id]
    assert answer.lost == ()
    assert stage.insert(new(unique="k"))[0].duplicate_of is None


def completed(held: Claimed) -> Transition:
    return decide(held, Succeeded())


# --- careful jobs and suspects -------------------------------------------------------------------


def test_a_job_on_its_last_attempt_is_claimed_only_into_a_free_slot(stage: Stage) -> None:
    plain = stage.put_many(2)
    careful = stage.put(policy=retries(0))
    behind = stage.put()
    answer = stage.look(10, slots=2)
    assert (ids(answer.jobs), answer.more) == (ids(plain), True)
    answer = stage.look(10, slots=0)
    assert (answer.jobs, answer.more) == ([], True)
    answer = stage.look(10, slots=1)
    assert ids(answer.jobs) == ids([careful, behind])


def test_nothing_overtakes_a_careful_job_that_waits_for_a_slot(stage: Stage) -> None:
    stage.put(policy=retries(0), queue="first")
    stage.put_many(3, queue="first")
    stage.put_many(3, queue="second")
    assert stage.claim(10, slots=0, queues=("first", "second")) == []
    assert stage.count(State.PENDING, "first") == 4


def test_a_job_becomes_careful_before_its_last_attempt(stage: Stage) -> None:
    job = stage.put(policy=retries(1))
    stage.end(stage.take(slots=0), Failed(OOPS))
    stage.passes("1s")
    assert stage.claim(slots=0) == []
    assert stage.take(slots=1).id == job.id


def test_a_job_that_lost_its_worker_is_careful_until_it_ends_an_attempt_alive(
    stage: Stage,
) -> None:
    stage.put(policy=retries(9))
    stage.take(slots=0)
    stage.lose_all()
    stage.passes("1s")
    assert stage.claim(slots=0) == []
    stage.end(stage.take(slots=1), HandedBack())
    assert stage.claim(slots=0) == []
    stage.end(stage.take(slots=1), Failed(OOPS))
    stage.passes("1s")
    assert stage.take(slots=0).losses == 0


def suspect(stage: Stage) -> bytes:
    """A job that has lost its worker twice, and is due again."""
    job = stage.put(policy=retries(9))
    for _ in range(2):
        stage.take(alone=1)
        stage.lose_all()
        stage.passes("1s")
    return job.id


def test_a_suspect_is_given_only_to_who_will_run_it_alone(stage: Stage) -> None:
    id = suspect(stage)
    assert stage.claim() == []
    held = stage.take(alone=1)
    assert (held.id, held.losses, held.alone) == (id, 2, True)


def test_a_suspect_hides_nobody(stage: Stage) -> None:
    id = suspect(stage)
    later = stage.put_many(3)
    assert ids(stage.claim()) == ids(later)
    assert stage.take(alone=1).id == id


def test_no_more_suspects_are_given_than_were_asked_for(stage: Stage) -> None:
    jobs = stage.put_many(3, policy=retries(9))
    for _ in range(2):
        stage.claim(alone=9)
        stage.lose_all()
        stage.passes("1s")
    assert stage.claim(alone=0) == []
    claimed = [stage.claim(alone=1), stage.claim(alone=2)]
    assert [len(jobs) for jobs in claimed] == [1, 2]
    assert {job.id for batch in claimed for job in batch} == set(ids(jobs))


def test_a_job_on_its_last_attempt_is_suspected_after_one_loss(stage: Stage) -> None:
    stage.put(policy=retries(1))
    stage.take()
    stage.lose_all()
    stage.passes("1s")
    assert stage.claim() == []
    assert stage.take(alone=1).alone


def test_a_suspect_that_is_handed_back_stays_one(stage: Stage) -> None:
    id = suspect(stage)
    stage.end(stage.take(alone=1), HandedBack())
    assert stage.claim() == []
    assert stage.take(alone=1).id == id


def test_a_suspect_that_lived_is_one_no_more(stage: Stage) -> None:
    id = suspect(stage)
    stage.end(stage.take(alone=1), Failed(OOPS))
    stage.passes("1s")
    assert stage.take().id == id


# --- which queues, which tasks -------------------------------------------------------------------


def test_named_queues_are_taken_in_the_order_they_are_named(stage: Stage) -> None:
    first, second, third = (stage.put_many(2, queue=name) for name in ("a", "b", "c"))
    assert ids(stage.claim(3, queues=("c", "a"))) == ids([*third, first[0]])
    assert ids(stage.claim(queues=("b", "nowhere", "a"))) == ids([*second, first[1]])
    assert stage.claim(queues=("c",)) == []


def test_without_names_the_jobs_of_all_queues_come_in_one_order(stage: Stage) -> None:
    jobs = []
    for name in ("b", "c", "a", "c", "b", "b"):
        jobs.append(stage.put(queue=name))
        stage.passes("1s")
    urgent = stage.put(queue="d", priority=1)
    assert ids(stage.claim(4) + stage.claim()) == ids([urgent, *jobs])


def test_a_claim_gives_nothing_of_other_queues(stage: Stage) -> None:
    stage.put(queue="a")
    stage.put(queue="a", delay=1)
    stage.passes("1s")
    assert stage.claim(queues=("b",)) == []


@pytest.mark.parametrize("queues", [None, ("a", "b")], ids=["all", "named"])
def test_a_paused_queue_gives_nothing_until_it_is_resumed(
    stage: Stage, queues: tuple[str, ...] | None
) -> None:
    paused = [stage.put(queue="a"), stage.put(queue="a", delay=SECOND)]
    stage.store.configure("a", Settings(paused=True))
    other = stage.put(queue="b")
    stage.passes("2s")
    assert ids(stage.claim(queues=queues)) == [other.id]
    stage.store.configure("a", Settings(paused=False))
    assert ids(stage.claim(queues=queues)) == ids(paused)


def test_a_claim_for_certain_tasks_passes_over_all_others(stage: Stage) -> None:
    jobs = [stage.put(task="abc"[n % 3]) for n in range(9)]
    wanted = [job for job in jobs if job.task in "ac"]
    assert ids(stage.claim(5, tasks=("c", "a"))) == ids(wanted[:5])
    assert ids(stage.claim(tasks=("c", "a", "d"))) == ids(wanted[5:])
    assert {held.task for held in stage.claim()} == {"b"}


def test_a_claim_for_certain_tasks_finds_them_behind_thousands_of_others(stage: Stage) -> None:
    stage.put_many(2_500, task="common")
    rare = stage.put(task="rare")
    assert ids(stage.claim(tasks=("rare",))) == [rare.id]


def test_a_claim_for_certain_priorities_passes_over_all_others(stage: Stage) -> None:
    jobs = {n: stage.put(priority=n) for n in (-100, -1, 0, 1, 7, 100)}
    assert ids(stage.claim(priorities=(0, 7))) == ids([jobs[7], jobs[1], jobs[0]])
    assert stage.claim(priorities=(2, 99)) == []
    assert ids(stage.claim(priorities=(-100, -100))) == [jobs[-100].id]
    assert ids(stage.claim(priorities=(100, 100))) == [jobs[100].id]
    assert ids(stage.claim(priorities=(-100, 100))) == [jobs[-1].id]


def test_a_claim_for_certain_priorities_stops_at_its_limit_and_goes_on_there(stage: Stage) -> None:
    jobs = [stage.put(priority=n % 3) for n in range(30)]
    twos, ones = ([job for job in jobs if job.priority == n] for n in (2, 1))
    answer = stage.look(15, priorities=(1, 2))
    assert (ids(answer.jobs), answer.more) == (ids(twos + ones[:5]), True)
    answer = stage.look(15, priorities=(1, 2))
    assert (ids(answer.jobs), answer.more) == (ids(ones[5:]), False)


def test_jobs_that_are_passed_over_keep_their_places(stage: Stage) -> None:
    stage.store.configure("default", Settings(aging=0))
    jobs = [stage.put(priority=n % 2, task="abc"[n % 3]) for n in range(12)]
    chosen = stage.claim(3, priorities=(1, 1), tasks=("a", "b"))
    assert ids(chosen) == ids([jobs[1], jobs[3], jobs[7]])
    taken = {job.id for job in chosen}
    assert ids(stage.claim()) == [job.id for job in jobs if job.id not in taken]


def test_certain_priorities_are_found_behind_thousands_of_others(stage: Stage) -> None:
    stage.store.configure("default", Settings(aging=0))
    stage.put_many(2_500)
    rare = stage.put(priority=-5)
    assert ids(stage.claim(priorities=(-9, -1))) == [rare.id]


def test_certain_priorities_are_looked_for_among_the_first_jobs_only(stage: Stage) -> None:
    stage.store.configure("default", Settings(aging=0))
    for n in range(20):
        stage.put(priority=n // 10)
        stage.passes("1ms")
    assert stage.claim(priorities=(1, 1), reach=10) == []
    assert len(stage.claim(priorities=(1, 1), reach=12)) == 2
    assert len(stage.claim(priorities=(1, 1))) == 8


def test_priorities_are_those_of_the_jobs_whatever_the_queue_makes_of_them(stage: Stage) -> None:
    stage.store.configure("flat", Settings(aging=0))
    jobs = [stage.put(queue=queue, priority=3) for queue in ("flat", "default")]
    stage.put(queue="flat", priority=2)
    stage.end(stage.take(priorities=(3, 3), queues=("flat",)), Failed(OOPS, delay=SECOND))
    stage.passes("1s")
    claimed = stage.claim(priorities=(3, 3), queues=("flat", "default"))
    assert ids(claimed) == ids(jobs)


def test_a_careful_job_of_another_priority_is_in_nobodys_way(stage: Stage) -> None:
    stage.put(policy=retries(0), priority=5)
    plain = stage.put()
    careful = stage.put(policy=retries(0))
    stage.put()
    answer = stage.look(slots=1, priorities=(0, 4))
    assert (ids(answer.jobs), answer.more) == ([plain.id], True)
    assert ids(stage.claim(1, slots=1, priorities=(0, 4))) == [careful.id]


def test_a_suspect_is_given_by_its_priority_too(stage: Stage) -> None:
    id = suspect(stage)
    assert stage.claim(alone=1, priorities=(1, 9)) == []
    assert stage.claim(priorities=(0, 0)) == []
    assert stage.take(alone=1, priorities=(0, 0)).id == id


# --- repeatable ----------------------------------------------------------------------------------


def test_a_repeated_claim_returns_what_it_holds_and_takes_no_more(stage: Stage) -> None:
    stage.put_many(3, headers={"a": "b"})
    token = new_token()
    held = stage.claim(2, token=token)
    again = stage.claim(2, token=token)
    assert again == held
    assert stage.claim(100, token=token) == held
    assert stage.count(State.RUNNING) == 2
    assert [record.claims for record in stage.store.get(ids(held)) if record] == [1, 1]


def test_a_repeated_claim_leaves_out_what_was_settled_since(stage: Stage) -> None:
    stage.put_many(5)
    token = new_token()
    held = stage.claim(3, token=token)
    stage.complete(held[1:2])
    assert stage.claim(3, token=token) == [held[0], held[2]]


def test_a_whole_exchange_can_be_repeated(stage: Stage) -> None:
    stage.put_many(4)
    held = stage.claim(2)
    settled, wish = [completed(job) for job in held], stage.wish(2)
    first = stage.store.exchange(settled, wish, now=stage.now)
    second = stage.store.exchange(settled, wish, now=stage.now)
    assert (second.jobs, second.lost) == (first.jobs, ())
    assert len(first.jobs) == 2
    assert stage.count(State.COMPLETED) == stage.count(State.RUNNING) == 2


def test_held_tells_what_grants_still_hold(stage: Stage) -> None:
    stage.put_many(4)
    first, second = stage.claim(2), stage.claim(2)
    tokens = [first[0].token, second[0].token]
    assert stage.store.held(tokens) == first + second
    stage.complete(first[:1])
    stage.store.cancel(Select(ids=(second[0].id,)), now=stage.now)
    assert sorted(map(lease, stage.store.held(tokens))) == sorted(map(lease, first[1:] + second))
    stage.complete(first[1:])
    assert stage.store.held(tokens[:1]) == []
    assert stage.store.held([new_token()]) == []
