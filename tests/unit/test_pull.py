"""What messages pulled by hand promise."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring import (
    InvalidArguments,
    LeaseLost,
    Mainspring,
    Message,
    Queue,
    QueueFull,
    ResultTimeout,
    Retry,
    State,
    TaskError,
)
from mainspring.job import MESSAGE
from mainspring.message import parsed, receipt
from mainspring.store import Traffic


@dataclass
class Doc:
    id: int


@pytest.fixture
def app() -> Iterator[Mainspring]:
    with Mainspring("sqlite://:memory:") as app:
        yield app


@pytest.fixture
def docs(app: Mainspring) -> Queue[Doc]:
    return app.queue("docs", Doc)


def take(queue: Queue[Any], **how: Any) -> Message[Any]:
    message = queue.consume(wait=10, **how)
    assert message is not None
    return message


def state(app: Mainspring, message: Message[Any]) -> State:
    return app.get(message.id).state


# --- publish and consume -------------------------------------------------------------------------


def test_a_published_body_is_consumed_as_it_was(app: Mainspring, docs: Queue[Doc]) -> None:
    published = docs.publish(Doc(1), priority=5, headers={"source": "api"}, task="doc", key="k")
    assert published.position == 1
    message = take(docs, consumer="w1")
    assert message.body == Doc(1)
    assert (message.id, message.number) == (published.id, published.number)
    assert (message.task, message.headers, message.attempt) == ("doc", {"source": "api"}, 1)
    assert (message.consumer, message.state) == ("w1", State.RUNNING)
    assert timedelta(0) < message.deadline - datetime.now(UTC) <= timedelta(seconds=30)
    assert (app.get(published.id).priority, app.get(published.id).key) == (5, "k")
    assert published.position is None
    message.ack({"ok": True})
    assert app.get(published.id).result() == {"ok": True}
    assert repr(message) == f"<message #{message.number} doc completed>"


def test_a_message_of_no_kind_is_stored_under_the_name_that_workers_leave_alone(
    app: Mainspring, docs: Queue[Doc]
) -> None:
    assert app.get(docs.publish(Doc(1)).id).task == MESSAGE


def test_bodies_come_in_order_of_priority_and_time(docs: Queue[Doc]) -> None:
    docs.publish_many([Doc(1), Doc(2)])
    docs.publish(Doc(3), priority=1)
    found = docs.consume_many(10)
    assert [message.body.id for message in found] == [3, 1, 2]
    assert docs.consume_many(10) == []
    assert docs.consume() is None


def test_any_body_will_do_when_no_type_is_given(app: Mainspring) -> None:
    queue = app.queue("any")
    bodies = [None, 1, "x", [1, {"a": None}], b"\x00\xff"]
    assert len(queue.publish_many(bodies)) == 5
    assert [message.body for message in queue.consume_many(5)] == bodies


def test_a_body_of_the_wrong_type_is_refused_and_nothing_is_stored(docs: Queue[Doc]) -> None:
    wrong: list[Callable[[], object]] = [
        lambda: docs.publish("x"),  # type: ignore[arg-type]
        lambda: docs.publish_many([Doc(1), Doc("x")]),  # type: ignore[arg-type]
        lambda: docs.publish(Doc(1), dealy=3),  # type: ignore[call-arg]
        lambda: docs.publish(Doc(1), queue="other"),  # type: ignore[call-arg]
        lambda: docs.publish_many([Doc(1), Doc(2)], id=uuid4()),
        lambda: docs.publish(Doc(1), task=""),
    ]
    for publish in wrong:
        with pytest.raises(InvalidArguments):
            publish()
    assert docs.consume() is None


def test_a_queue_of_what_cannot_be_stored_is_refused(app: Mainspring) -> None:
    with pytest.raises(TaskError, match="queue 'x': "):
        app.queue("x", type(app))
    with pytest.raises(InvalidArguments, match="queue: expected"):
        app.queue("")


def test_the_kinds_to_take_can_be_named(app: Mainspring, docs: Queue[Doc]) -> None:
    app.enqueue("job of a task", {"id": 1}, queue="docs")
    docs.publish(Doc(2))
    docs.publish(Doc(3), task="other")
    assert take(docs, types=["message"]).body == Doc(2)
    assert docs.consume(types=["message"]) is None
    assert [each.body.id for each in docs.consume_many(9, types=["other", "job of a task"])] == [
        1,
        3,
    ]


@pytest.mark.parametrize("limit", [0, 1001, "5", True])
def test_limits_of_a_call_are_checked(docs: Queue[Doc], limit: Any) -> None:
    with pytest.raises(InvalidArguments, match="limit: expected 1 to 1,000 messages"):
        docs.consume_many(limit)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"lease": 0}, "lease: expected more than 0"),
        ({"lease": "soon"}, "lease: expected a duration"),
        ({"wait": -1}, "wait: expected"),
        ({"consumer": "a\n"}, "consumer: expected"),
        ({"types": "x"}, "types: expected a list"),
    ],
)
def test_options_of_a_call_are_checked(docs: Queue[Doc], how: Any, words: str) -> None:
    with pytest.raises(InvalidArguments, match=words):
        docs.consume(**how)


def test_a_body_that_cannot_be_read_is_rejected_and_the_next_one_given(
    app: Mainspring, docs: Queue[Doc]
) -> None:
    bad = [app.queue("docs").publish(body) for body in ("x", b"raw", {"id": "1"})]
    docs.publish(Doc(4))
    assert take(docs).body == Doc(4)
    for published in bad:
        job = app.get(published.id)
        assert (job.state, job.reason) == (State.FAILED, "rejected")
        assert job.error is not None
        assert "queue 'docs'" in job.error.message


def test_who_waits_is_woken_by_a_message(docs: Queue[Doc]) -> None:
    publisher = threading.Thread(target=docs.publish, args=(Doc(1),))
    publisher.start()
    assert take(docs).body == Doc(1)
    publisher.join()


def test_who_waits_is_woken_when_a_message_falls_due(docs: Queue[Doc]) -> None:
    docs.publish(Doc(1), delay=0.05)
    assert docs.consume() is None
    assert take(docs).body == Doc(1)


def test_a_wait_ends_without_a_message(docs: Queue[Doc]) -> None:
    assert docs.consume(wait=0.02) is None
    assert asyncio.run(docs.aconsume(wait="20ms")) is None


# --- settling ------------------------------------------------------------------------------------


def test_a_message_left_well_is_acknowledged(app: Mainspring, docs: Queue[Doc]) -> None:
    published = docs.publish(Doc(1))

    def work() -> int:
        with take(docs) as message:
            return len(message.receipt)

    assert work() > 0
    assert app.get(published.id).state is State.COMPLETED


def test_a_message_left_by_an_error_is_given_back_and_the_error_goes_on(
    app: Mainspring, docs: Queue[Doc]
) -> None:
    docs.publish(Doc(1))
    with pytest.raises(KeyError, match="boom"), take(docs) as message:
        raise KeyError("boom")
    job = app.get(message.id)
    assert (job.state, message.state) == (State.RETRYING, State.RETRYING)
    [error] = job.errors()
    assert (error.type, error.message, error.attempt) == ("KeyError", "'boom'", 1)
    assert 'raise KeyError("boom")' in error.traceback


def test_an_interrupted_message_costs_no_attempt(docs: Queue[Doc]) -> None:
    docs.publish(Doc(1))
    with pytest.raises(KeyboardInterrupt), take(docs):
        raise KeyboardInterrupt
    again = take(docs)
    assert again.attempt == 1


def test_a_message_settled_inside_with_is_not_settled_again(
    app: Mainspring, docs: Queue[Doc]
) -> None:
    docs.publish(Doc(1))
    with take(docs) as message:
        message.reject("no good")
    job = app.get(message.id)
    assert (job.state, job.reason) == (State.FAILED, "rejected")


def test_settling_twice_does_nothing(app: Mainspring, docs: Queue[Doc]) -> None:
    docs.publish(Doc(1))
    message = take(docs)
    message.ack()
    message.ack()
    assert message.nack("x") is State.COMPLETED
    message.reject()
    message.release()
    assert message.extend() == message.deadline
    assert state(app, message) is State.COMPLETED


def test_a_failed_message_comes_again_as_its_retries_say(app: Mainspring, docs: Queue[Doc]) -> None:
    docs.publish(Doc(1), max_retries=1)
    first = take(docs)
    assert first.nack("once", delay=0) is State.RETRYING
    second = take(docs)
    assert second.attempt == 2
    assert second.nack("twice") is State.FAILED
    job = app.get(second.id)
    assert (job.state, job.reason) == (State.FAILED, "retries exhausted")
    assert [error.message for error in job.errors()] == ["once", "twice"]
    assert docs.consume() is None


def test_a_released_message_comes_again_at_no_cost(app: Mainspring, docs: Queue[Doc]) -> None:
    docs.publish(Doc(1))
    docs.publish(Doc(2))
    take(docs).release()
    message = take(docs)
    assert (message.body, message.attempt) == (Doc(1), 1)
    message.release(delay="1h")
    assert state(app, message) is State.SCHEDULED
    assert take(docs).body == Doc(2)


def test_a_cancelled_message_ends_cancelled_unless_it_succeeds(
    app: Mainspring, docs: Queue[Doc]
) -> None:
    docs.publish_many([Doc(1), Doc(2)])
    one, two = docs.consume_many(2)
    app.cancel(one.id, two.id)
    assert one.nack("stopped") is State.CANCELLED
    two.ack()
    assert (state(app, one), state(app, two)) == (State.CANCELLED, State.COMPLETED)


# --- leases --------------------------------------------------------------------------------------


def test_a_message_not_settled_in_time_goes_to_another(app: Mainspring, docs: Queue[Doc]) -> None:
    docs.publish(Doc(1), max_retries=3)
    late = take(docs, lease=0.05, consumer="slow")
    again = take(docs, consumer="other")
    assert (again.id, again.attempt) == (late.id, 2)
    for settle in (late.ack, late.nack, late.reject, late.release, late.extend):
        with pytest.raises(LeaseLost):
            settle()
    again.ack()
    job = app.get(again.id)
    assert job.state is State.COMPLETED
    assert [error.type for error in job.errors()] == ["WorkerLost"]


def test_inside_with_the_lease_is_renewed(app: Mainspring, docs: Queue[Doc]) -> None:
    docs.publish(Doc(1))
    with take(docs, lease=1) as message:
        began = message.deadline
        job = app.get(message.id)
        with pytest.raises(ResultTimeout):
            job.result(timeout=1.5)
        assert message.deadline > began
        assert docs.consume() is None
    assert state(app, message) is State.COMPLETED


def test_a_lost_lease_is_told_at_the_end_of_with(app: Mainspring, docs: Queue[Doc]) -> None:
    docs.publish(Doc(1))
    with pytest.raises(LeaseLost), take(docs) as message:
        docs.nack(message.receipt, "taken away")
    assert state(app, message) is State.RETRYING


def test_an_error_inside_with_is_not_hidden_by_a_lost_lease(
    app: Mainspring, docs: Queue[Doc]
) -> None:
    docs.publish(Doc(1))
    message = take(docs)
    docs.ack(message.receipt, "done elsewhere")
    with pytest.raises(KeyError) as caught, message:
        raise KeyError("boom")
    assert "could not be given back" in caught.value.__notes__[0]
    assert state(app, message) is State.COMPLETED


def test_a_lease_can_be_extended_by_hand(docs: Queue[Doc]) -> None:
    docs.publish(Doc(1))
    message = take(docs, lease=1)
    until = message.extend("5m")
    assert until == message.deadline
    assert until - datetime.now(UTC) > timedelta(minutes=4)
    assert docs.consume(wait=1.2) is None
    message.ack()


def test_progress_is_stored_at_once(app: Mainspring, docs: Queue[Doc]) -> None:
    docs.publish(Doc(1))
    message = take(docs)
    message.progress(50, "half\udcff")
    job = app.get(message.id)
    assert (job.progress, job.note) == (50, "half\\udcff")
    with pytest.raises(InvalidArguments, match="progress: expected 0 to 100"):
        message.progress(101)


# --- receipts ------------------------------------------------------------------------------------


@given(st.text(), st.integers(1, 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_a_receipt_is_printable_and_says_number_and_token_at_its_queue(
    queue: str, number: int, token: int
) -> None:
    text = receipt(queue, number, token)
    assert text.isprintable()
    assert text.isascii()
    assert " " not in text
    assert parsed(queue, text) == (number, token)
    assert parsed(f"{queue}s", text) != (number, token)


@pytest.mark.parametrize("text", ["", "x", "1", "1-", "1-xyz", "-" + "0" * 16, "1-" + "f" * 17, 3])
def test_what_is_no_receipt_is_refused(docs: Queue[Doc], text: Any) -> None:
    with pytest.raises(InvalidArguments, match="expected the receipt of a message"):
        docs.ack(text)
    with pytest.raises(InvalidArguments, match="expected the receipt of a message"):
        docs.nack(text)


def test_any_process_can_settle_by_the_receipt(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    with Mainspring(url) as one, Mainspring(url) as two:
        mine, theirs = one.queue("q"), two.queue("q")
        mine.publish_many([1, 2, 3])
        first, second, third = (message.receipt for message in mine.consume_many(3))
        theirs.ack(first, {"by": "two"})
        theirs.ack(first, {"by": "two"})
        assert theirs.nack(second, "not now", delay="1h") is State.RETRYING
        asyncio.run(theirs.aack(third))
        jobs = one.find()[::-1]
        assert [job.state for job in jobs] == ["completed", "retrying", "completed"]
        assert jobs[0].result() == {"by": "two"}
        assert [error.message for error in jobs[1].errors()] == ["not now"]
        with pytest.raises(LeaseLost):
            theirs.nack(second)
        with pytest.raises(LeaseLost):
            theirs.ack(second)


# --- streams and coroutines ----------------------------------------------------------------------


def test_a_queue_can_be_iterated_over_and_what_is_ahead_goes_back(
    app: Mainspring, docs: Queue[Doc]
) -> None:
    docs.publish_many([Doc(n) for n in range(5)])
    seen = []
    for message in docs:
        with message:
            seen.append(message.body.id)
        if len(seen) == 2:
            break
    stream = docs.messages(prefetch=3, lease=60)
    with next(stream) as message:
        seen.append(message.body.id)
    stream.close()  # type: ignore[attr-defined]
    assert seen == [0, 1, 2]
    assert [message.body.id for message in docs.consume_many(5)] == [3, 4]


def test_coroutines_can_do_all_of_it(app: Mainspring, docs: Queue[Doc]) -> None:
    async def main() -> None:
        await docs.apublish(Doc(1))
        await docs.apublish_many([Doc(2), Doc(3)])
        async for message in docs:
            async with message:
                await message.aprogress(10)
                await message.aextend(60)
            break
        with pytest.raises(KeyError):
            async with await one(docs):
                raise KeyError("x")
        third = await one(docs)
        assert third.body == Doc(3)
        await third.arelease()
        await (await one(docs)).areject("no")

    async def one(queue: Queue[Doc]) -> Message[Doc]:
        message = await queue.aconsume(wait=10)
        assert message is not None
        return message

    asyncio.run(main())
    counts = app.counts()["docs"]
    assert (counts["completed"], counts["retrying"], counts["failed"]) == (1, 1, 1)


def test_a_cancelled_coroutine_takes_no_message_along(docs: Queue[Doc]) -> None:
    async def main() -> None:
        for _ in range(20):
            consuming = asyncio.ensure_future(docs.aconsume(wait=30))
            await asyncio.sleep(0)
            docs.publish(Doc(1))
            consuming.cancel()
            with pytest.raises(asyncio.CancelledError):
                await consuming
        found = 0
        while found < 20:
            message = await docs.aconsume(wait=10)
            assert message is not None
            assert message.attempt == 1
            await message.aack()
            found += 1

    asyncio.run(main())


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("I will not say")


def test_an_error_without_words_is_a_failed_delivery_all_the_same(app: Mainspring) -> None:
    queue = app.queue("docs")
    job = queue.publish({"id": 1})
    message = queue.consume()
    assert message is not None
    with pytest.raises(Mute), message:
        raise Mute
    assert app.get(job.id).state is State.RETRYING


# --- what the queue says -------------------------------------------------------------------------


def test_settings_of_the_queue_hold_for_messages_that_bring_none(app: Mainspring) -> None:
    queue = app.queue("docs")
    app.configure("docs", max_retries=2, retry_delays=[10, "1m", timedelta(hours=1)])
    plain, own = queue.publish(1), queue.publish(2, retry=Retry(max_retries=7))
    fewer = queue.publish(3, max_retries=0)
    job = app.enqueue("other", 4, queue="docs")
    policies = [app.get(each.id).record.policy.retry for each in (plain, own, fewer)]
    assert [policy.max_retries for policy in policies] == [2, 7, 0]
    assert [policies[0].delay(n) for n in (1, 2, 3, 4)] == [
        seconds * 1_000_000 for seconds in (10, 60, 3600, 3600)
    ]
    assert policies[1] == Retry(max_retries=7).stored
    assert policies[2].delays == policies[0].delays
    assert job.record.policy.retry == Retry().stored


def test_a_message_is_held_for_as_long_as_the_queue_says(app: Mainspring) -> None:
    queue = app.queue("docs")
    queue.publish(1)
    queue.publish(2)
    app.configure("docs", ack_deadline="5m")
    held, shorter = take(queue), take(queue, lease=10)
    assert timedelta(minutes=4) < held.deadline - datetime.now(UTC) < timedelta(minutes=6)
    assert shorter.deadline - datetime.now(UTC) < timedelta(seconds=11)


def test_a_change_by_another_program_is_known_within_a_second(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    with Mainspring(url) as app, Mainspring(url) as other:
        queue = app.queue("docs")
        queue.publish(1)
        other.configure("docs", max_retries=9)
        end = time.monotonic() + 20
        while app.get(queue.publish(1).id).record.policy.retry.max_retries != 9:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_full_queue_refuses_messages_and_jobs_alike(app: Mainspring) -> None:
    queue = app.queue("docs")
    app.configure("docs", max_depth=2)
    queue.publish_many([1, 2])
    with pytest.raises(QueueFull, match="2 jobs may wait"):
        queue.publish(3)
    with pytest.raises(QueueFull):
        app.enqueue("other", 4, queue="docs")
    take(queue).ack()
    queue.publish(3)


def test_of_many_who_publish_at_once_only_those_to_the_full_queue_are_refused(
    app: Mainspring,
) -> None:
    app.configure("full", max_depth=1)

    async def main() -> list[Any]:
        names = ["full", "free"] * 50
        return await asyncio.gather(
            *[app.queue(name).apublish(1) for name in names], return_exceptions=True
        )

    told = asyncio.run(main())
    assert sum(isinstance(each, QueueFull) for each in told[::2]) == 49
    assert not any(isinstance(each, Exception) for each in told[1::2])
    assert app.counts()["free"]["pending"] == 50


def test_settings_that_do_not_fit_are_refused(app: Mainspring) -> None:
    wrong: list[dict[str, Any]] = [
        {"max_retries": -1},
        {"max_retries": True},
        {"retry_delays": "10s"},
        {"retry_delays": [-1]},
        {"retry_delays": ["31d"]},
        {"ack_deadline": 0},
        {"max_depth": -1},
        {"max_depth": 1.5},
    ]
    for settings in wrong:
        with pytest.raises(InvalidArguments, match=next(iter(settings))):
            app.configure("docs", **settings)
    assert app.queues() == []


def test_statistics_tell_what_waits_and_what_went_through(app: Mainspring) -> None:
    queue = app.queue("docs")
    assert queue.stats() == Traffic()
    queue.publish_many([1, 2, 3])
    take(queue, consumer="w1").ack()
    take(queue, consumer="w2").reject()
    held = take(queue, consumer="w3")
    told = queue.stats()
    assert (told.depth, told.running, told.consumers, told.dead_letters) == (0, 1, 1, 1)
    assert (told.published, told.consumed, told.acked, told.dead_lettered) == (3, 3, 1, 1)
    assert told.waited > 0
    held.ack()


def test_a_receipt_is_one_of_its_queue_alone(app: Mainspring) -> None:
    queue, other = app.queue("docs"), app.queue("other")
    queue.publish(1)
    receipt = take(queue).receipt
    for verb in (other.ack, other.nack, other.reject, other.release):
        with pytest.raises(LeaseLost):
            verb(receipt)
    with pytest.raises(LeaseLost):
        other.extend(receipt, 1)
    assert queue.stats().running == 1
    queue.ack(receipt)
    queue.ack(receipt)
    with pytest.raises(LeaseLost):
        other.ack(receipt)


def test_a_receipt_is_enough_to_reject_release_and_extend(app: Mainspring) -> None:
    queue = app.queue("docs")
    queue.publish(1)
    first = take(queue)
    assert queue.release(first.receipt) is State.PENDING
    second = take(queue, lease=5)
    assert second.attempt == 1
    assert queue.extend(second.receipt, "1h") > datetime.now(UTC) + timedelta(minutes=59)
    assert app.workers() == []
    assert queue.release(second.receipt, delay="1ms") is State.SCHEDULED
    third = take(queue)
    assert queue.reject(third.receipt, "no use") is State.FAILED
    for verb in (queue.release, queue.reject, lambda receipt: queue.extend(receipt, 1)):
        with pytest.raises(LeaseLost):
            verb(third.receipt)
