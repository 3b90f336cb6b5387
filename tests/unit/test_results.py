"""What is kept of a job's result, and what a waiter is told."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mainspring import (
    InvalidArguments,
    InvalidState,
    Job,
    JobFailed,
    Mainspring,
    ResultTooLarge,
    State,
    Tasks,
    current,
    results,
)

LIMIT = 1000

tasks = Tasks()


@tasks.task
def text(length: int) -> str:
    return "x" * length


@tasks.task
async def atext(length: int) -> str:
    return "x" * length


@tasks.task
def raw(length: int) -> bytes:
    return bytes(length)


@tasks.batch(size=2)
def texts(lengths: list[int]) -> list[str | Exception]:
    return ["x" * length for length in lengths]


@tasks.task
def kept_by_transaction(length: int) -> object:
    with current().transaction(result="x" * length):
        return None


@pytest.fixture
def app() -> Iterator[Mainspring]:
    with Mainspring("sqlite://:memory:", tasks, max_result=LIMIT) as app:
        yield app


@pytest.mark.parametrize("task", [text, atext, texts, kept_by_transaction])
def test_a_result_as_large_as_the_limit_is_kept(app: Mainspring, task: Any) -> None:
    with app.worker(in_process=True):
        assert task.enqueue(LIMIT - 2).result(timeout=10) == "x" * (LIMIT - 2)


@pytest.mark.parametrize("task", [text, atext, raw, texts, kept_by_transaction])
def test_a_job_with_a_result_beyond_the_limit_fails_for_good_and_says_why(
    app: Mainspring, task: Any
) -> None:
    with app.worker(in_process=True):
        job = task.enqueue(LIMIT)
        words = f"result of {task.name}: expected at most 1,000 bytes, got 1,00[12]; .*max_result"
        with pytest.raises(JobFailed, match=words):
            job.result(timeout=10)
    job.refresh()
    assert (job.state, job.reason, job.attempt) == (State.FAILED, "permanent", 1)
    assert job.record.result is None


def test_a_message_acknowledged_with_too_much_is_still_held(app: Mainspring) -> None:
    queue = app.queue("texts")
    queue.publish("a")
    message = queue.consume(wait=5)
    assert message is not None
    acks: list[Callable[[object], None]] = [
        message.ack,
        lambda result: queue.ack(message.receipt, result),
    ]
    for ack in acks:
        with pytest.raises(ResultTooLarge, match=r"at most 1,000 bytes, got 1,002"):
            ack("x" * LIMIT)
    message.ack("x")
    assert app.find()[0].result() == "x"


def test_ten_megabytes_are_the_limit_unless_said_otherwise() -> None:
    with Mainspring("sqlite://:memory:", tasks) as app, app.worker(in_process=True):
        assert len(text.enqueue(9_999_998).result(timeout=20)) == 9_999_998
        with pytest.raises(JobFailed, match="at most 10,000,000 bytes, got 10,000,001"):
            text.enqueue(9_999_999).result(timeout=20)


@pytest.mark.parametrize("limit", [0, -1, "1MB", True, None])
def test_the_limit_is_a_number_of_bytes(limit: Any) -> None:
    with pytest.raises(InvalidArguments, match="max_result: expected bytes"):
        Mainspring("sqlite://:memory:", max_result=limit)


WAITS: dict[str, Callable[[Job[Any]], object]] = {
    "result": lambda job: job.result(timeout=10),
    "aresult": lambda job: asyncio.run(job.aresult(timeout=10)),
    "refresh": lambda job: job.refresh(),
    "cancel": lambda job: job.cancel(),
}


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("how", WAITS)
def test_a_closed_app_says_so_when_a_job_of_it_is_asked(
    app: Mainspring, how: str, ended: bool
) -> None:
    job = text.enqueue(1)
    if ended:
        with app.worker(in_process=True):
            job.result(timeout=10)
    app.close()
    with pytest.raises(InvalidState, match=r"^the app was closed"):
        WAITS[how](job)


def test_who_waits_or_begins_to_while_the_app_is_closed_is_told(app: Mainspring) -> None:
    job = text.enqueue(1)
    told: list[Exception] = []

    def wait(how: Callable[[Job[Any]], object]) -> None:
        try:
            how(job)
        except Exception as error:
            told.append(error)

    threads = [threading.Thread(target=wait, args=(WAITS[how],)) for how in ("result", "aresult")]
    for thread in threads:
        thread.start()
    app.close()
    for thread in threads:
        thread.join(10)
    assert [str(error) for error in told] == ["the app was closed"] * 2


def test_of_very_many_who_wait_each_is_told_of_its_job(
    app: Mainspring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not all jobs are read at each look then; nor would a deleted one be waited for for ever."""
    monkeypatch.setattr(results, "MANY", 2)
    monkeypatch.setattr(results, "PAGE", 3)
    jobs = app.enqueue_many(text.job(1) for _ in range(8))
    gone, *others = jobs

    async def story() -> list[Any]:
        waits = [asyncio.ensure_future(app.waiter.await_(job.id.bytes, 30)) for job in jobs]
        await asyncio.sleep(0)  # by then they wait
        await asyncio.to_thread(app.delete, gone.id)
        with app.worker(in_process=True):
            return await asyncio.gather(*waits)

    deleted, *ended = asyncio.run(story())
    assert deleted is None
    assert [(job.id, job.state) for job in ended] == [
        (job.id.bytes, State.COMPLETED) for job in others
    ]
