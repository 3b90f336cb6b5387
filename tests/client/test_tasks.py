"""The client's tasks."""

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from mainspring import (
    AsyncClient,
    Client,
    InvalidArguments,
    InvalidState,
    Mainspring,
    ResultTimeout,
    State,
    UniqueTaken,
    UnknownJob,
)
from tests.client.conftest import Story
from tests.server.conftest import Gate


def test_a_task_is_added_and_waited_for(client: Client, worker: None) -> None:
    task = client.tasks.add("double", {"n": 21}, priority=5, tags=["a"], headers={"from": "web"})
    assert (task.type, task.status, task.priority, task.tags) == ("double", "pending", 5, ("a",))
    assert (task.payload, task.headers, task.max_attempts) == ({"n": 21}, {"from": "web"}, 4)
    done = client.tasks.wait(task.id, timeout=30)
    assert done.ended
    assert (done.status, done.result, done.result_as(int)) == (State.COMPLETED, 42, 42)
    assert done.completed_at is not None
    assert done.completed_at >= done.created_at
    assert client.tasks.get(task.id) == client.tasks.get(str(task.id)) == done
    with pytest.raises(InvalidArguments, match="expected `str`, got `int`"):
        done.result_as(str)


def test_options_mean_what_they_mean_in_the_library(client: Client, app: Mainspring) -> None:
    id = uuid4()
    first = client.tasks.add("echo")
    task = client.tasks.add(
        "echo",
        [1],
        id=id,
        queue="q",
        delay="1h",
        expires="2h",
        timeout=90,
        max_retries=7,
        retry_delay=2.5,
        retry_backoff="fixed",
        key="t1",
        unique="one",
        unique_for="1m",
        on_duplicate="error",
        depends_on=[first.id],
        label="Echo",
        keep_result="1d",
    )
    [record] = app.store.get([id.bytes])
    assert record is not None
    assert (task.id, record.queue, record.key, record.unique) == (id, "q", "t1", "one")
    assert (record.policy.timeout, record.policy.retry.base) == (90_000_000, 2_500_000)
    assert (record.policy.retry.max_retries, record.policy.keep) == (7, 86_400_000_000)
    assert (record.expires, record.parents) == (record.created + 7_200_000_000, (first.id.bytes,))
    with pytest.raises(UniqueTaken) as raised:
        client.tasks.add("echo", unique="one", on_duplicate="error")
    assert raised.value.holder == id.bytes


def test_a_failure_tells_what_went_wrong(client: Client, worker: None) -> None:
    task = client.tasks.wait(client.tasks.add("echo", "fail", max_retries=0).id)
    assert (task.status, task.reason) == (State.FAILED, "retries exhausted")
    assert task.error is not None
    assert (task.error.type, task.error.message) == ("ValueError", "as it was told")
    assert client.tasks.replay(task.id).status in (State.PENDING, State.RUNNING, State.FAILED)


def test_waiting_ends_with_the_time_or_the_job(client: Client, worker: None, gate: Gate) -> None:
    task = client.tasks.add("story")
    before = time.monotonic()
    with pytest.raises(ResultTimeout, match="after 0"):
        client.tasks.wait(task.id, timeout=0.3)
    assert time.monotonic() - before >= 0.3
    gate.open.set()
    assert client.tasks.wait(task.id).result == "told"


def test_a_task_is_cancelled_and_deleted(client: Client) -> None:
    task = client.tasks.add("echo", delay="1h")
    with pytest.raises(InvalidState, match="scheduled"):
        client.tasks.delete(task.id)
    assert client.tasks.cancel(task.id, reason="no need").status == State.CANCELLED
    with pytest.raises(InvalidState):
        client.tasks.cancel(task.id)
    client.tasks.delete(task.id)
    with pytest.raises(UnknownJob):
        client.tasks.get(task.id)


def test_what_does_not_fit_is_refused_in_words(client: Client) -> None:
    with pytest.raises(InvalidArguments, match="n: expected `int`, got `str`"):
        client.tasks.add("double", {"n": "x"})
    with pytest.raises(InvalidArguments, match="unknown option 'prio'"):
        client.tasks.add("double", {"n": 1}, prio=1)  # type: ignore[call-arg]
    with pytest.raises(InvalidArguments, match="got bytes"):
        client.tasks.add("echo", b"x")
    with pytest.raises(UnknownJob):
        client.tasks.get("no-id")


def test_the_async_client_does_the_same(
    told: Callable[[Story], Any], worker: None, gate: Gate
) -> None:
    async def story(client: AsyncClient) -> None:
        task = await client.tasks.add("double", {"n": 4})
        assert (await client.tasks.wait(task.id)).result == 8
        late = await client.tasks.add("story")
        with pytest.raises(ResultTimeout):
            await client.tasks.wait(late.id, timeout=0.1)
        other = await client.tasks.add("echo", delay="1h")
        assert (await client.tasks.cancel(other.id)).status == State.CANCELLED
        await client.tasks.delete(other.id)
        gate.open.set()

    told(story)
