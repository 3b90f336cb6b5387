"""What a running job knows of itself and may say."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from mainspring import (
    Context,
    InvalidArguments,
    InvalidState,
    LeaseLost,
    Mainspring,
    Retry,
    TransactionError,
    current,
)
from mainspring.context import RUNNING
from mainspring.durations import SECOND
from mainspring.ids import new_token
from mainspring.job import Claimed, Policy, Record, State, encode_policy
from mainspring.store import Claim, Grant, Note, Store


class Channel:
    """Collects what is told, and has a real store."""

    lease = 15 * SECOND

    def __init__(self, store: Store) -> None:
        self.notes: list[Note] = []
        self._store = store

    def note(self, note: Note, /) -> None:
        self.notes.append(note)

    def store(self) -> Store:
        return self._store


@pytest.fixture
def app() -> Iterator[Mainspring]:
    with Mainspring("sqlite://:memory:") as app:
        yield app


def claim(app: Mainspring) -> Claimed:
    grant = Grant(token=new_token(), worker="w1", lease=15 * SECOND)
    [job] = app.store.exchange([], Claim(grant=grant, limit=1, slots=1)).jobs
    return job


def context(job: Claimed, channel: Channel, **more: Any) -> Context:
    return Context(job, worker="w1", deadline=more.get("deadline"), channel=channel)


@contextmanager
def running(context: Context) -> Iterator[None]:
    token = RUNNING.set(context)
    try:
        yield
    finally:
        RUNNING.reset(token)


def test_a_context_tells_what_its_job_is(app: Mainspring) -> None:
    stored = app.enqueue("mail", {}, queue="q", headers={"trace": "x"}, max_retries=0)
    here = context(claim(app), Channel(app.store))
    assert (here.id, here.number) == (stored.id, stored.number)
    assert (here.task, here.queue, here.worker) == ("mail", "q", "w1")
    assert (here.attempt, here.claims, here.last_attempt) == (1, 1, True)
    assert here.headers == {"trace": "x"}
    assert (here.cancelled, here.settled) == (False, False)
    here.cancel()
    assert here.cancelled


def test_the_deadline_is_aware_and_counts_down(app: Mainspring) -> None:
    app.enqueue("mail")
    job, channel = claim(app), Channel(app.store)
    endless = context(job, channel)
    assert endless.deadline is None
    assert endless.remaining is None
    limited = context(job, channel, deadline=time.monotonic() + 60)
    assert limited.remaining is not None
    assert 0 < limited.remaining <= 60
    assert limited.deadline is not None
    assert timedelta(0) < limited.deadline - datetime.now(UTC) <= timedelta(seconds=60)
    late = context(job, channel, deadline=time.monotonic() - 1)
    assert late.remaining is not None
    assert late.remaining < 0


def test_progress_and_logs_go_out_under_the_lease(app: Mainspring) -> None:
    app.enqueue("mail")
    job, channel = claim(app), Channel(app.store)
    here = context(job, channel)
    here.progress(25, note="rendering")
    here.progress(100.0)
    here.log("wrote", file="a\udcff", size=3)
    first, second, line = channel.notes
    assert (first.number, first.token) == (job.number, job.token)
    assert (first.percent, first.text) == (25.0, "rendering")
    assert (second.percent, second.text) == (100.0, "")
    assert (line.percent, line.text) == (None, "wrote file='a\\udcff' size=3")
    assert abs(line.at - time.time_ns() // 1000) < 60 * SECOND
    here.log("x" * 100_000)
    assert len(channel.notes[-1].text) < 10_000
    assert msgspec.json.encode(channel.notes)


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan"), "5", True, None])
def test_progress_is_from_0_to_100(app: Mainspring, percent: Any) -> None:
    app.enqueue("mail")
    with pytest.raises(InvalidArguments, match="progress: expected 0 to 100, got"):
        context(claim(app), Channel(app.store)).progress(percent)


def test_outside_a_job_the_context_does_nothing() -> None:
    here = current()
    here.progress(50, "x")
    here.log("x", y=1)
    assert (here.id, here.number, here.attempt, here.task) == (UUID(int=0), 0, 0, "")
    assert not here.cancelled
    assert not here.last_attempt
    assert here.headers == {}
    with pytest.raises(InvalidState, match="no job is running here"), here.transaction():
        pass
    with pytest.raises(InvalidState, match="no job is running here"):
        _ = here.parents


def test_current_reaches_coroutines_and_to_thread_but_no_other_thread(app: Mainspring) -> None:
    app.enqueue("mail")
    here = context(claim(app), Channel(app.store))
    seen: list[Context] = []

    async def inside() -> None:
        seen.append(current())
        await asyncio.to_thread(lambda: seen.append(current()))

    with running(here):
        asyncio.run(inside())
        other = threading.Thread(target=lambda: seen.append(current()))
        other.start()
        other.join()
    assert seen == [here, here, current()]
    assert current() is not here


def test_a_job_sees_the_jobs_it_waited_for_and_what_they_resulted_in(app: Mainspring) -> None:
    parents = [app.enqueue("part", {"n": n}) for n in range(3)]
    child = app.enqueue("whole", depends_on=parents)
    queue = app.queue("default")
    for result in ({"a": 1}, b"\xff", None):
        message = queue.consume()
        assert message is not None
        message.ack(result)
    job = claim(app)
    assert UUID(bytes=job.id) == child.id
    here = context(job, Channel(app.store))
    assert here.parents == [parent.id for parent in parents]
    assert here.parent_results() == [{"a": 1}, b"\xff", None]


# --- completing inside the user's own transaction ------------------------------------------------


@pytest.fixture
def on_file(tmp_path: Any) -> Iterator[Mainspring]:
    with Mainspring(f"sqlite:///{tmp_path}/jobs.db") as app:
        yield app


def record(app: Mainspring, job: Claimed) -> Record:
    [found] = app.store.get([job.id])
    assert found is not None
    return found


def test_effect_and_completion_happen_together(on_file: Mainspring) -> None:
    on_file.enqueue("mail")
    job = claim(on_file)
    here = context(job, Channel(on_file.store))
    with here.transaction(result={"sent": 1}) as connection:
        connection.execute("CREATE TABLE effect (x)")
        connection.execute("INSERT INTO effect VALUES (1)")
        assert not here.settled
    assert here.settled
    found = record(on_file, job)
    assert (found.state, found.result) == (State.COMPLETED, b'{"sent":1}')
    with pytest.raises(TransactionError, match="completed its job already"), here.transaction():
        pass


def test_an_exception_undoes_both(on_file: Mainspring) -> None:
    on_file.enqueue("mail")
    job = claim(on_file)
    here = context(job, Channel(on_file.store))

    def fails() -> None:
        with here.transaction() as connection:
            connection.execute("CREATE TABLE effect (x)")
            raise KeyError("no")

    with pytest.raises(KeyError):
        fails()
    assert not here.settled
    assert record(on_file, job).state is State.RUNNING
    with here.transaction() as connection:
        connection.execute("CREATE TABLE effect (x)")


def test_a_lost_lease_undoes_the_effect(on_file: Mainspring) -> None:
    on_file.enqueue("mail")
    job = claim(on_file)
    stale = msgspec.structs.replace(job, token=new_token())
    here = context(stale, Channel(on_file.store))
    with pytest.raises(LeaseLost), here.transaction() as connection:
        connection.execute("CREATE TABLE effect (x)")
    assert not here.settled
    assert record(on_file, job).state is State.RUNNING


def test_a_result_that_cannot_be_stored_is_refused_before_the_transaction_begins(
    on_file: Mainspring,
) -> None:
    on_file.enqueue("mail")
    here = context(claim(on_file), Channel(on_file.store))
    with pytest.raises(InvalidArguments, match="result of mail"), here.transaction(object()):
        pytest.fail("must not begin")
    assert not here.settled


def test_the_last_attempt_is_known_from_the_policy_that_travels_with_the_job() -> None:
    policy = encode_policy(Policy(retry=Retry(max_retries=1).stored))
    for attempt, last in ((1, False), (2, True)):
        job = Claimed(1, 1, bytes(16), "q", "t", b"{}", attempt, attempt, 0, 0, 0, policy)
        here = Context(job, worker="w", deadline=None, channel=None)  # type: ignore[arg-type]
        assert here.last_attempt is last
