"""What the values around a job promise."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.ids import new_id
from mainspring.job import (
    FINAL,
    WAITING,
    Claimed,
    Edge,
    Identified,
    JobError,
    NewJob,
    Policy,
    State,
    Transition,
    decode_policy,
    encode_policy,
    identity,
)
from mainspring.retry import Backoff


def new(**options: Any) -> NewJob[Any]:
    return NewJob(id=new_id(), task="send", payload=b"{}", **options)


def test_the_final_states_are_those_no_work_leads_out_of() -> None:
    assert {State.COMPLETED, State.FAILED, State.CANCELLED} == FINAL
    assert FINAL | WAITING | {State.RUNNING} == set(State)
    assert not FINAL & WAITING
    assert [state for state in State if state.final] == sorted(FINAL, key=list(State).index)


def test_after_adds_edges_and_leaves_the_job_as_it_was() -> None:
    first, second, third = new(), new(), new(priority=5)
    waiting = third.after(first).after(second, run_anyway=True)
    assert third.edges == ()
    assert waiting.edges == (Edge(first.id), Edge(second.id, run_anyway=True))
    assert (waiting.id, waiting.priority) == (third.id, 5)


def test_a_job_is_named_by_itself_by_its_uuid_or_by_anything_with_an_id() -> None:
    class Stored(Identified):
        def __init__(self, id: UUID) -> None:
            self.id = id

    job = new()
    assert identity(job) == identity(job.uuid) == identity(Stored(job.uuid)) == job.id


def test_a_new_job_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        new().priority = 5  # type: ignore[misc]


backoffs = st.builds(
    Backoff,
    max_retries=st.integers(0, 1_000_000),
    kind=st.sampled_from(["exponential", "linear", "fixed", "list"]),
    base=st.integers(0, 2**52),
    factor=st.floats(1, 100),
    max_delay=st.integers(0, 2**52),
    delays=st.lists(st.integers(0, 2**52), max_size=4).map(tuple),
    jitter=st.booleans(),
)
optional_times = st.none() | st.integers(0, 2**52)
policies = st.builds(
    Policy,
    retry=backoffs,
    timeout=optional_times,
    keep=optional_times,
    version=st.integers(1, 1_000_000),
)


@given(policies)
def test_a_policy_survives_being_stored(policy: Policy) -> None:
    assert decode_policy(encode_policy(policy)) == policy


@given(policies)
def test_equal_policies_are_stored_as_equal_bytes(policy: Policy) -> None:
    again = Policy(policy.retry, policy.timeout, policy.keep, policy.version)
    assert encode_policy(again) == encode_policy(policy)


@given(policies)
def test_a_policy_of_version_1_is_stored_as_it_was_before_there_were_versions(
    policy: Policy,
) -> None:
    before = msgspec.msgpack.encode([policy.retry, policy.timeout, policy.keep])
    first = msgspec.structs.replace(policy, version=1)
    assert encode_policy(first) == before
    assert decode_policy(before) == first


def claimed(attempt: int, losses: int, max_retries: int) -> Claimed:
    policy = encode_policy(Policy(Backoff(max_retries)))
    return Claimed(7, -1, new_id(), "default", "send", b"{}", attempt, 9, losses, 1, 2, policy)


@pytest.mark.parametrize(
    ("attempt", "max_retries", "last"), [(1, 0, True), (1, 1, False), (2, 1, True), (4, 3, True)]
)
def test_the_last_attempt_is_the_one_no_retry_follows(
    attempt: int, max_retries: int, last: bool
) -> None:
    assert claimed(attempt, 0, max_retries).last_attempt is last


@pytest.mark.parametrize(
    ("attempt", "losses", "alone"),
    [(1, 0, False), (2, 1, False), (3, 2, True), (4, 0, False), (4, 1, True), (2, 2, True)],
)
def test_a_job_is_suspected_after_two_losses_or_one_before_its_last_attempt(
    attempt: int, losses: int, alone: bool
) -> None:
    assert claimed(attempt, losses, max_retries=3).alone is alone


def test_claimed_jobs_and_transitions_survive_the_way_between_processes() -> None:
    job = claimed(1, 0, 3)
    error = JobError(attempt=1, type="ValueError", message="ünï", traceback="…", at=5)
    change = Transition(7, -(2**63), State.RETRYING, delay=5, error=error, careful=True, losses=1)
    for value in (job, change):
        packed = msgspec.msgpack.encode(value)
        assert msgspec.msgpack.decode(packed, type=type(value)) == value
