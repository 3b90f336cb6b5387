"""The state machine: every state × event pair, and what `decide` makes of every end."""

import itertools
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.durations import MINUTE, SECOND
from mainspring.job import (
    FINAL,
    Cancelled,
    Claimed,
    Failed,
    HandedBack,
    JobError,
    Lost,
    Outcome,
    Policy,
    Reason,
    Snoozed,
    State,
    Succeeded,
    TaskUnknown,
    encode_policy,
)
from mainspring.lifecycle import GONE, TABLE, Event, decide
from mainspring.retry import Backoff

EVENTS: tuple[Event, ...] = get_args(Event)
ERROR = JobError(attempt=1, type="ValueError", message="no")

ENDS: dict[Event, list[Outcome]] = {
    "success": [Succeeded(), Succeeded(b"42")],
    "failure": [Failed(ERROR), Failed(ERROR, delay=0), Failed(ERROR, reason="timed out")],
    "permanent failure": [
        Failed(ERROR, permanent=True),
        Failed(ERROR, permanent=True, reason="rejected"),
    ],
    "snooze": [Snoozed(5 * SECOND), Snoozed(0, Reason.RATE_LIMITED)],
    "hand back": [HandedBack()],
    "unknown task": [TaskUnknown()],
    "lease ended": [Lost(ERROR)],
    "cancel": [Cancelled(), Cancelled("no longer needed")],
}
OUTCOMES = [outcome for outcomes in ENDS.values() for outcome in outcomes]


def claimed(attempt: int, max_retries: int = 3, losses: int = 0, claims: int = 0) -> Claimed:
    policy = encode_policy(Policy(Backoff(max_retries, jitter=False)))
    return Claimed(
        7, -9, bytes(16), "q", "t", b"{}", attempt, claims or attempt, losses, 1, 2, policy
    )


ALLOWED: dict[State, set[Event]] = {
    State.SCHEDULED: {"due", "expired", "cancel", "delete"},
    State.RETRYING: {"due", "expired", "cancel", "delete"},
    State.BLOCKED: {"released", "dependency failed", "expired", "cancel", "delete"},
    State.PENDING: {"claim", "expired", "cancel", "delete"},
    State.RUNNING: {*ENDS},
    State.COMPLETED: {"delete", "replay"},
    State.FAILED: {"delete", "replay"},
    State.CANCELLED: {"delete", "replay"},
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, EVENTS)))
def test_a_state_and_an_event_are_in_the_table_exactly_when_they_may_meet(
    state: State, event: Event
) -> None:
    assert ((state, event) in TABLE) == (event in ALLOWED[state])


def test_every_state_can_be_reached_and_left() -> None:
    reached = {target for targets in TABLE.values() for target in targets}
    assert reached == {*State, GONE}
    assert {state for state, _ in TABLE} == set(State)


def test_nothing_but_a_replay_brings_an_ended_job_back() -> None:
    for (state, event), targets in TABLE.items():
        if state in FINAL:
            assert event == "replay" or targets == {GONE}


jobs = st.builds(
    claimed,
    attempt=st.integers(1, 6),
    max_retries=st.integers(0, 5),
    losses=st.integers(0, 4),
    claims=st.integers(6, 40),
)


@given(jobs, st.sampled_from(sorted(ENDS)), st.data())
def test_every_end_of_an_attempt_leads_where_the_table_says(
    job: Claimed, event: Event, data: st.DataObject
) -> None:
    outcome = data.draw(st.sampled_from(ENDS[event]))
    assert decide(job, outcome).to in TABLE[State.RUNNING, event]


@pytest.mark.parametrize("event", sorted(ENDS.keys() - {"cancel"}))
def test_every_state_the_table_names_for_an_end_is_chosen_for_some_job(event: Event) -> None:
    chosen = {
        decide(claimed(attempt), outcome).to for attempt in range(1, 6) for outcome in ENDS[event]
    }
    assert chosen == TABLE[State.RUNNING, event]


@given(jobs, st.sampled_from(OUTCOMES))
def test_a_decision_names_the_lease_it_was_made_under(job: Claimed, outcome: Outcome) -> None:
    made = decide(job, outcome)
    assert (made.number, made.token) == (job.number, job.token)


@given(jobs, st.sampled_from(OUTCOMES))
def test_the_attempt_is_given_back_by_ends_that_are_nobodys_fault_and_by_no_other(
    job: Claimed, outcome: Outcome
) -> None:
    given_back = isinstance(outcome, Snoozed | HandedBack | TaskUnknown)
    assert decide(job, outcome).give_back is given_back


@given(jobs, st.sampled_from(OUTCOMES))
def test_only_a_job_that_was_not_begun_keeps_its_place(job: Claimed, outcome: Outcome) -> None:
    assert decide(job, outcome).old_score is isinstance(outcome, HandedBack | TaskUnknown)


@given(jobs, st.sampled_from(OUTCOMES))
def test_a_job_goes_back_careful_exactly_when_its_next_attempt_is_the_last_or_follows_a_loss(
    job: Claimed, outcome: Outcome
) -> None:
    made = decide(job, outcome)
    if made.to.final:
        return
    next_attempt = job.attempt if made.give_back else job.attempt + 1
    last = msgspec.structs.replace(job, attempt=next_attempt).last_attempt
    assert made.careful is (last or made.losses > 0)


@given(jobs, st.sampled_from(OUTCOMES))
def test_losses_count_deaths_in_a_row(job: Claimed, outcome: Outcome) -> None:
    made = decide(job, outcome)
    if made.to.final:
        return
    match outcome:
        case Lost():
            assert made.losses == job.losses + 1
        case HandedBack() | TaskUnknown():
            assert made.losses == job.losses  # nothing was learnt about the job
        case _:
            assert made.losses == 0  # its code ran and its worker lived


@pytest.mark.parametrize("outcome", [Failed(ERROR), Lost(ERROR)], ids=["failed", "lost"])
@pytest.mark.parametrize("max_retries", [0, 1, 5])
def test_failures_are_retried_until_the_retries_are_used_up(
    outcome: Outcome, max_retries: int
) -> None:
    states = [decide(claimed(n, max_retries), outcome).to for n in range(1, max_retries + 2)]
    assert states == [State.RETRYING] * max_retries + [State.FAILED]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Failed(ERROR), Reason.RETRIES_EXHAUSTED),
        (Failed(ERROR, reason=Reason.TIMED_OUT), Reason.TIMED_OUT),
        (Failed(ERROR, permanent=True), Reason.PERMANENT),
        (Failed(ERROR, permanent=True, reason=Reason.REJECTED), Reason.REJECTED),
        (Lost(ERROR), Reason.WORKER_LOST),
    ],
)
def test_a_dead_letter_says_why(outcome: Outcome, reason: str) -> None:
    made = decide(claimed(4), outcome)
    assert (made.to, made.reason, made.error) == (State.FAILED, reason, ERROR)


def test_a_retry_waits_as_its_policy_says_unless_the_error_says_otherwise() -> None:
    assert decide(claimed(2), Failed(ERROR)).delay == 2 * SECOND
    assert decide(claimed(2), Failed(ERROR, delay=77)).delay == 77
    assert decide(claimed(3), Lost(ERROR)).delay == 4 * SECOND


def test_an_explicit_delay_does_not_buy_another_attempt() -> None:
    assert decide(claimed(4), Failed(ERROR, delay=77)).to is State.FAILED


def test_a_snooze_waits_as_long_as_it_asked_and_says_so() -> None:
    made = decide(claimed(1), Snoozed(5 * SECOND))
    assert (made.delay, made.reason) == (5 * SECOND, Reason.SNOOZED)


def test_a_success_carries_its_result_and_a_cancellation_its_reason() -> None:
    assert decide(claimed(1), Succeeded(b"42")).result == b"42"
    assert decide(claimed(1), Cancelled("enough")).reason == "enough"


def test_an_unknown_task_waits_one_second_doubling_to_five_minutes() -> None:
    delays = [decide(claimed(1, claims=n), TaskUnknown()).delay for n in range(1, 40)]
    assert delays[:4] == [SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND]
    assert delays == sorted(delays)
    assert delays[-1] == 5 * MINUTE
