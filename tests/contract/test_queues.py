"""Queues: there from their first use, and their settings."""

from mainspring.durations import DAY, HOUR, MINUTE
from mainspring.job import MESSAGE, Failed, State
from mainspring.store import QueueInfo, Settings
from tests.contract.stage import OOPS, Stage, ids, new, retries


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


def test_a_queue_with_messages_by_hand_is_left_to_those_who_name_it(stage: Stage) -> None:
    stage.put(queue="post")
    message = stage.put(queue="post", task=MESSAGE)
    job = stage.put(queue="work")
    assert ids(stage.claim()) == [job.id]
    assert stage.claim() == []
    assert [info.by_hand for info in stage.store.queues()] == [True, False]
    assert stage.count(State.PENDING, "post") == 2
    assert ids(stage.claim(queues=("post",)))[1:] == [message.id]


def test_a_queue_that_was_used_for_jobs_before_is_by_hand_from_its_first_message_on(
    stage: Stage,
) -> None:
    first, second = stage.put(), stage.put(delay=HOUR)
    assert ids(stage.claim()) == [first.id]
    stage.insert(new(task=MESSAGE), new(task=MESSAGE))
    stage.passes("2h")
    assert stage.look(10).next_due is None
    assert len(stage.claim(queues=("default",))) == 3
    assert stage.store.configure("default", Settings()).by_hand
    assert stage.state(second) is State.RUNNING


def test_a_repeated_message_marks_nothing_new(stage: Stage) -> None:
    message = stage.put(task=MESSAGE)
    (again,) = stage.insert(message)
    assert again.repeated
    assert stage.store.queues() == [QueueInfo(name="default", by_hand=True)]


def test_a_queue_that_had_messages_can_be_given_to_all_workers_again(stage: Stage) -> None:
    stage.put(task=MESSAGE)
    assert stage.claim() == []
    assert not stage.store.configure("default", Settings(by_hand=False)).by_hand
    assert len(stage.claim()) == 1
    assert stage.store.configure("other", Settings(by_hand=True)).by_hand
    stage.put(queue="other")
    assert stage.claim() == []
    assert len(stage.claim(queues=("other",))) == 1
