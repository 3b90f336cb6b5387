"""Queues: there from their first use, and their settings."""

from mainspring.durations import DAY, HOUR, MINUTE
from mainspring.job import Failed, State
from mainspring.store import QueueInfo, Settings
from tests.contract.stage import OOPS, Stage, retries


def test_a_queue_exists_from_its_first_use_with_the_usual_settings(stage: Stage) -> None:
    assert stage.store.queues() == []
    stage.put(queue="b")
    stage.put(queue="a")
    assert stage.store.queues() == [QueueInfo(name="a"), QueueInfo(name="b")]
    assert stage.store.queues()[0].keep_failed == 14 * DAY


def test_configuring_changes_what_is_named_and_returns_all(stage: Stage) -> None:
    stage.store.configure("new", Settings(aging=MINUTE, keep_completed=HOUR))
    info = stage.store.configure("new", Settings(paused=True, keep_failed=DAY))
    assert info == QueueInfo(
        name="new", paused=True, aging=MINUTE, keep_completed=HOUR, keep_failed=DAY
    )
    assert stage.store.queues() == [info]
    assert stage.store.configure("new", Settings()) == info


def test_a_queue_may_be_paused_before_it_has_jobs(stage: Stage) -> None:
    stage.store.configure("later", Settings(paused=True))
    stage.put(queue="later")
    assert stage.claim() == []


def test_retries_of_a_paused_queue_wait_and_running_jobs_go_on(stage: Stage) -> None:
    job = stage.put(policy=retries(1))
    held = stage.take()
    stage.store.configure("default", Settings(paused=True))
    assert stage.end(held, Failed(OOPS)).lost == ()
    stage.passes("5s")
    stage.tidy()
    assert stage.claim() == []
    assert stage.state(job) is State.PENDING
    stage.store.configure("default", Settings(paused=False))
    assert stage.take().id == job.id
