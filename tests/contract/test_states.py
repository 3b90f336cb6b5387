"""The table of states, walked with a store: every state meets every event."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from mainspring.durations import HOUR
from mainspring.ids import new_token
from mainspring.job import (
    Claimed,
    Failed,
    HandedBack,
    Lost,
    NewJob,
    Outcome,
    Select,
    Snoozed,
    State,
    Succeeded,
    TaskUnknown,
    encode_policy,
)
from mainspring.lifecycle import GONE, TABLE, Event
from tests.contract.stage import OOPS, Stage

Act = Callable[[Stage, NewJob[Any]], object]


def stranger(stage: Stage, job: NewJob[Any]) -> Claimed:
    """The job as somebody has it who never claimed it."""
    record = stage.record(job)
    policy = encode_policy(record.policy)
    kept = (record.id, record.queue, record.task, record.payload)
    return Claimed(record.number, new_token(), *kept, 1, 1, 0, 1, 1, policy)


def ends(outcome: Outcome) -> Act:
    def act(stage: Stage, job: NewJob[Any]) -> None:
        stage.end(stage.leases.get(job.id) or stranger(stage, job), outcome)

    return act


def time_passes(duration: int) -> Act:
    def act(stage: Stage, job: NewJob[Any]) -> None:
        stage.time.wall += duration
        stage.tidy()

    return act


def the_lease_ends(stage: Stage, job: NewJob[Any]) -> None:
    stage.time.lease += HOUR
    for taken in stage.reclaim():
        stage.end(taken, Lost(OOPS))


def by_hand(verb: str) -> Act:
    return lambda stage, job: getattr(stage.store, verb)(Select(ids=(job.id,)), now=stage.now)


ACTS: dict[Event, Act] = {
    "due": time_passes(HOUR // 2),
    "expired": time_passes(3 * HOUR),
    "claim": lambda stage, job: stage.claim(queues=(job.queue,)),
    "success": ends(Succeeded(b"1")),
    "failure": ends(Failed(OOPS)),
    "permanent failure": ends(Failed(OOPS, permanent=True)),
    "snooze": ends(Snoozed(HOUR)),
    "hand back": ends(HandedBack()),
    "unknown task": ends(TaskUnknown()),
    "lease ended": the_lease_ends,
    "cancel": by_hand("cancel"),
    "delete": by_hand("delete"),
    "replay": by_hand("replay"),
}
"""Released and dependency failed come only to who waits for others: test_dependencies.py."""


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, ACTS)))
def test_an_event_leads_where_the_table_says_or_changes_nothing(
    stage: Stage, state: State, event: Event
) -> None:
    job = stage.bring(state, expires=2 * HOUR)
    before = stage.record(job)
    assert before.state is state
    ACTS[event](stage, job)
    if (state, event) in TABLE:
        assert (GONE if stage.gone(job) else stage.state(job)) in TABLE[state, event]
    else:
        assert stage.record(job) == before
