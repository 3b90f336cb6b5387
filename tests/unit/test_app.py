"""What an app promises: where jobs go, what is refused, what a handle tells, how one waits."""

import asyncio
import inspect
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import mainspring
from mainspring import (
    AsyncTask,
    ConfigError,
    Context,
    IdConflict,
    InvalidArguments,
    InvalidState,
    Job,
    JobCancelled,
    JobFailed,
    Mainspring,
    Message,
    NewJob,
    NotBound,
    PayloadTooLarge,
    Queue,
    ResultTimeout,
    State,
    Subscription,
    TaskError,
    Tasks,
    Topics,
    TransactionError,
    UniqueTaken,
    UnknownDependency,
    UnknownJob,
)
from mainspring.context import RUNNING
from mainspring.engines import schemes
from mainspring.events import Enqueued
from mainspring.ids import new_token
from mainspring.locate import locate
from mainspring.operations import Operations
from mainspring.store import Claim, Grant, Health, Presence

MEMORY = "sqlite://:memory:"


@dataclass
class Doc:
    id: int


tasks = Tasks()


@tasks.task
def add(a: int, b: int = 1) -> int:
    return a + b


@tasks.task
async def fetch(url: str) -> Doc:
    return Doc(len(url))


@tasks.task(queue="mail", priority=3, aliases=["old.send"], unique_by=("to",), tags=["mail"])
def send(to: str) -> None: ...


tasks.handler("raw", lambda payload: payload)


@pytest.fixture
def app() -> Iterator[Mainspring]:
    with Mainspring(MEMORY, tasks) as app:
        yield app


def take(app: Mainspring, queue: str = "default") -> Message[Any]:
    """The next job, as a worker would have it."""
    message = app.queue(queue).consume(wait=5)
    assert message is not None
    return message


# --- enqueue -------------------------------------------------------------------------------------


def test_an_enqueued_call_is_stored_and_told_as_it_was_made(app: Mainspring) -> None:
    job = add.using(priority=5, label="Add", headers={"a": "b"}, key="k").enqueue(1)
    assert isinstance(job, Job)
    stored = app.get(job.id)
    for each in (job, stored, app.get(str(job.id)), app.get(job)):
        assert (each.id, each.number, each.task, each.queue) == (job.id, 1, "add", "default")
        assert (each.state, each.reason, each.priority) == (State.PENDING, None, 5)
        assert each.payload == {"a": 1, "b": 1}
        assert (each.label, each.headers, each.key) == ("Add", {"a": "b"}, "k")
        assert (each.attempt, each.claims, each.progress, each.error) == (0, 0, None, None)
        assert (each.started, each.finished) == (None, None)
        assert abs(each.created - datetime.now(UTC)) < timedelta(minutes=1)
        assert not each.duplicate
    assert repr(job) == "<job #1 add pending>"
    assert job == stored
    assert len({job, stored}) == 1


def test_a_fresh_handle_says_what_the_store_will_say(app: Mainspring) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    parent = add.enqueue(1)
    made = [
        parent,
        add.using(delay="1h").enqueue(1),
        add.using(run_at=soon).enqueue(1),
        add.using(run_at=datetime(2020, 1, 1, tzinfo=UTC)).enqueue(1),
        add.using(depends_on=[parent], expires="1d", tags=["x"]).enqueue(1),
        send.enqueue("a"),
    ]
    for job in made:
        assert job.record == app.get(job.id).record


def test_jobs_of_names_that_are_declared_here_follow_their_declaration(app: Mainspring) -> None:
    job = app.enqueue("old.send", {"to": "a"}, delay=60)
    assert (job.task, job.queue, job.priority, job.state) == ("send", "mail", 3, "scheduled")
    assert job.unique == send.job("a").unique
    assert app.enqueue("add", {"a": 1}).payload == {"a": 1, "b": 1}
    with pytest.raises(InvalidArguments, match="add: a: expected `int`, got `str`"):
        app.enqueue("add", {"a": "1"})
    with pytest.raises(InvalidArguments, match="expected an object of named arguments, got list"):
        app.enqueue("add", [1])
    assert app.enqueue("raw", [1]).payload == [1]


def test_jobs_of_names_nobody_knows_here_are_stored_as_they_come(app: Mainspring) -> None:
    id = uuid4()
    job = app.enqueue("elsewhere", {"x": [1, None]}, id=id, queue="q")
    assert (job.id, job.payload, job.queue, job.task) == (id, {"x": [1, None]}, "q", "elsewhere")
    assert app.enqueue("elsewhere", b"\x00\xff").payload == b"\x00\xff"
    assert app.enqueue("elsewhere").payload is None


def test_a_name_that_is_nearly_one_declared_here_is_stored_with_a_warning(app: Mainspring) -> None:
    with pytest.warns(UserWarning, match=r"no task 'sned' is declared .* mean 'send'\?") as caught:
        job = app.enqueue("sned", {"to": "x"})
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="did you mean 'old.send'"):
        asyncio.run(_enqueue(app, "old-send"))
    assert (job.task, app.get(job).queue) == ("sned", "default")
    with Mainspring(MEMORY) as other:
        other.enqueue("sned")


async def _enqueue(app: Mainspring, name: str) -> None:
    await app.aenqueue(name)


@pytest.mark.parametrize(
    ("args", "options", "words"),
    [
        ((add,), {}, "expected a job, made by task.job"),
        ((3,), {}, "expected a job, made by task.job"),
        (("",), {}, "task: expected 1 to 255"),
        (("x", object()), {}, "x: an object of type object cannot be stored"),
        (("x", float("nan")), {}, "x: nan cannot be stored"),
        (("x", "\udcff"), {}, "lone surrogates"),
        (("x", None), {"dealy": 1}, "unknown option 'dealy'"),
        (("add", {"a": 1}), {"dealy": 1}, "unknown option 'dealy'"),
        ((add.job(1),), {"delay": 1}, "options of task.job(...) go into task.using(...)"),
        ((add.job(1), {"a": 2}), {}, "options of task.job(...) go into task.using(...)"),
    ],
)
def test_what_cannot_be_enqueued_is_refused_and_nothing_is_stored(
    app: Mainspring, args: tuple[Any, ...], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidArguments) as caught:
        app.enqueue(*args, **options)
    assert words in str(caught.value)
    assert not app.find()


def test_a_payload_beyond_the_limit_is_refused_and_nothing_is_stored() -> None:
    with Mainspring(MEMORY, max_payload=100) as app:
        app.enqueue("x", "a" * 98)
        many: list[NewJob[None]] = [
            NewJob(id=uuid4().bytes, task="x", payload=b"1" * n) for n in (1, 101)
        ]
        wrong: list[Callable[[], object]] = [
            lambda: app.enqueue("x", "a" * 99),
            lambda: app.enqueue("x", b"a" * 100),
            lambda: app.enqueue_many(many),
            lambda: app.queue("q").publish("a" * 99),
            lambda: asyncio.run(app.aenqueue("x", "a" * 99)),
        ]
        for enqueue in wrong:
            with pytest.raises(PayloadTooLarge, match=r"x|message: expected .* at most 100 bytes"):
                enqueue()
        assert len(app.find()) == 1


@pytest.mark.parametrize("limit", [0, -1, "1MB", True, None])
def test_the_limit_is_a_number_of_bytes(limit: Any) -> None:
    with pytest.raises(InvalidArguments, match="max_payload: expected bytes"):
        Mainspring(MEMORY, max_payload=limit)


def test_a_megabyte_is_the_limit_unless_said_otherwise(app: Mainspring) -> None:
    app.enqueue("x", "a" * 999_998)
    with pytest.raises(PayloadTooLarge):
        app.enqueue("x", "a" * 999_999)


def test_many_jobs_are_stored_together_or_not_at_all(app: Mainspring) -> None:
    jobs = app.enqueue_many(add.job(n) for n in range(100))
    assert [job.payload["a"] for job in jobs] == list(range(100))
    assert app.counts()["default"]["pending"] == 100

    def broken() -> Iterator[NewJob[int]]:
        yield add.job(1)
        yield add.job("x")  # type: ignore[arg-type]

    mistakes: list[tuple[Any, type[Exception]]] = [
        (broken(), InvalidArguments),
        ([add.job(1), add], InvalidArguments),
        ([add.job(1), add.job(2).after(add.job(3))], UnknownDependency),
    ]
    for iterable, error in mistakes:
        with pytest.raises(error):
            app.enqueue_many(iterable)
    assert app.counts()["default"]["pending"] == 100
    nothing: list[NewJob[int]] = []
    assert app.enqueue_many(nothing) == []


def test_a_repeated_enqueue_of_one_id_gives_the_same_job(app: Mainspring) -> None:
    new = add.job(1)
    first = app.enqueue(new)
    take(app).ack(2)
    again = app.enqueue(new)
    assert (again.id, again.number, again.state) == (first.id, first.number, State.COMPLETED)
    with pytest.raises(IdConflict):
        add.using(id=first.id).enqueue(5)


def test_a_taken_unique_key_gives_its_holder_or_an_error_as_the_job_says(app: Mainspring) -> None:
    first = send.enqueue("a")
    second = send.using(priority=9).enqueue("a")
    assert (second.id, second.number, second.duplicate) == (first.id, first.number, True)
    assert second.priority == 3
    assert not send.enqueue("b").duplicate
    with pytest.raises(UniqueTaken) as caught:
        send.using(on_duplicate="error").enqueue("a")
    assert caught.value.holder == first.id.bytes
    third = send.using(on_duplicate="replace").enqueue("a")
    assert third.id != first.id
    many: list[Job[None]] = app.enqueue_many([send.job("a"), send.job("c")])
    assert [job.duplicate for job in many] == [True, False]
    assert many[0].id == third.id


def test_an_enqueue_in_the_callers_transaction_lives_and_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with Mainspring(f"sqlite:///{path}", tasks) as app:
        app.counts()
        connection = sqlite3.connect(path, isolation_level=None)
        for verdict, stored in (("ROLLBACK", 0), ("COMMIT", 3)):
            connection.execute("BEGIN IMMEDIATE")
            one = add.using(tx=connection).enqueue(1)
            two = app.enqueue("add", {"a": 2}, tx=connection)
            [three] = app.enqueue_many([add.job(3)], tx=connection)
            for job in (one, two, three):
                assert job.state is State.PENDING
                with pytest.raises(TransactionError, match="before the transaction"):
                    job.result(timeout=5)
                with pytest.raises(TransactionError, match="before the transaction"):
                    asyncio.run(job.aresult(timeout=5))
            connection.execute(verdict)
            assert len(app.find()) == stored
        connection.execute("BEGIN IMMEDIATE")
        asyncio.run(in_transaction(app, connection))
        connection.execute("COMMIT")
        connection.close()
        assert len(app.find()) == 5


async def in_transaction(app: Mainspring, connection: sqlite3.Connection) -> None:
    await add.using(tx=connection).aenqueue(4)
    await app.aenqueue_many([add.job(5)], tx=connection)


def test_listeners_hear_of_each_stored_job(app: Mainspring) -> None:
    heard: list[Enqueued] = []
    stop = app.on(Enqueued, heard.append)
    first = send.enqueue("a")
    again = send.enqueue("a")
    asyncio.run(add.aenqueue(1))
    app.enqueue_many([add.job(2), add.job(3)])
    stop()
    add.enqueue(4)
    assert [event.inserted.number for event in heard] == [1, again.number, 2, 3, 4]
    assert heard[1].inserted.duplicate_of == first.id.bytes
    assert heard[0].job.task == "send"


# --- asynchronous --------------------------------------------------------------------------------


def test_concurrent_coroutines_each_get_their_own_job(app: Mainspring) -> None:
    async def main() -> None:
        jobs = await asyncio.gather(*(add.aenqueue(n) for n in range(500)))
        assert [job.payload["a"] for job in jobs] == list(range(500))
        assert len({job.id for job in jobs}) == 500
        many = await app.aenqueue_many(add.job(n) for n in range(3))
        assert [job.payload["a"] for job in many] == [0, 1, 2]
        named = await app.aenqueue("add", {"a": 1}, delay=60)
        assert named.state is State.SCHEDULED
        assert (await app.aget(named.id)).payload == {"a": 1, "b": 1}
        assert (await app.aenqueue(send.job("a"))).id == (await send.aenqueue("a")).id

    asyncio.run(main())
    assert app.counts()["default"]["pending"] == 503


def test_one_spoiled_wish_does_not_spoil_those_beside_it(app: Mainspring) -> None:
    taken = send.enqueue("a")

    async def main() -> list[Any]:
        wishes = [
            add.aenqueue(1),
            send.using(on_duplicate="error").aenqueue("a"),
            add.using(id=taken.id).aenqueue(2),
            send.aenqueue("a"),
            add.using(depends_on=[uuid4()]).aenqueue(3),
            add.aenqueue(4),
        ]
        return list(await asyncio.gather(*wishes, return_exceptions=True))

    one, unique, conflict, duplicate, unknown, four = asyncio.run(main())
    assert isinstance(unique, UniqueTaken)
    assert isinstance(conflict, IdConflict)
    assert isinstance(unknown, UnknownDependency)
    assert duplicate.id == taken.id
    assert app.get(one.id).payload["a"] == 1
    assert app.get(four.id).payload["a"] == 4
    assert len(app.find()) == 3


def test_several_event_loops_can_enqueue_at_once(app: Mainspring) -> None:
    async def main() -> None:
        await asyncio.gather(*(add.aenqueue(n) for n in range(50)))

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert app.counts()["default"]["pending"] == 200


def test_a_cancelled_enqueue_leaves_the_app_in_order(app: Mainspring) -> None:
    async def main() -> None:
        waiting = asyncio.ensure_future(add.aenqueue(1))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await add.aenqueue(2)).payload["a"] == 2

    asyncio.run(main())


# --- which app -----------------------------------------------------------------------------------


def test_a_task_goes_to_the_one_open_app_of_its_registry() -> None:
    root, inner = Tasks(), Tasks("inner")
    root.include(inner)
    task = inner.task(work)
    with pytest.raises(NotBound, match="no open app"):
        task.enqueue()
    with Mainspring(MEMORY, root) as one:
        assert one.get(task.enqueue().id).task == "inner.work"
        with Mainspring(MEMORY, inner) as two:
            with pytest.raises(NotBound, match="2 open apps"):
                task.enqueue()
            with two.here() as here:
                assert here is two
                id = task.enqueue().id
            assert two.get(id).id == id
            assert two.enqueue(task.job()).number == 2
        assert task.enqueue().number == 2
        assert len(one.find()) == 2
    with pytest.raises(NotBound, match="no open app"):
        task.enqueue()


def work() -> None: ...


def test_what_is_called_here_reaches_into_coroutines() -> None:
    registry = Tasks()
    task = registry.task(work)

    async def main() -> None:
        async with Mainspring(MEMORY, registry) as one, Mainspring(MEMORY, registry) as two:
            with two.here():
                await asyncio.create_task(task.aenqueue())
            assert len(await two.afind()) == 1
            assert len(await one.afind()) == 0

    asyncio.run(main())


def test_only_registries_can_be_bound() -> None:
    with pytest.raises(TaskError, match=r"expected Tasks\(\), got "):
        Mainspring(MEMORY, add)  # type: ignore[arg-type]


# --- results -------------------------------------------------------------------------------------


def test_a_result_comes_back_as_the_type_the_function_declares(app: Mainspring) -> None:
    job = fetch.enqueue("abc")
    take(app).ack(Doc(3))
    assert job.result(timeout=10) == Doc(3)
    assert job.state is State.COMPLETED
    assert app.get(job.id).result() == Doc(3)
    assert app.get(job.id, fetch).result() == Doc(3)
    with Mainspring(MEMORY) as stranger:
        stranger.enqueue("elsewhere", {})
        done = stranger.enqueue("elsewhere", {})
        for _ in range(2):
            take(stranger).ack({"id": 1})
        assert done.result() == {"id": 1}
        assert stranger.get(done.id, fetch).result() == Doc(1)


def test_no_result_is_none(app: Mainspring) -> None:
    job = send.enqueue("a")
    take(app, "mail").ack()
    assert job.result(timeout=10) is None


def test_waiters_are_woken_when_the_job_ends(app: Mainspring) -> None:
    jobs = [add.enqueue(n) for n in range(20)]
    results: dict[int, int] = {}

    def wait(n: int) -> None:
        results[n] = jobs[n].result(timeout=30)

    threads = [threading.Thread(target=wait, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for message in app.queue("default").consume_many(20, wait=5):
        message.ack(message.body["a"] * 10)
    for thread in threads:
        thread.join()
    assert results == {n: n * 10 for n in range(20)}


def test_coroutines_are_woken_when_the_job_ends(app: Mainspring) -> None:
    async def main() -> None:
        jobs = [await add.aenqueue(n) for n in range(50)]
        waiting = asyncio.gather(*(job.aresult(timeout=30) for job in jobs))
        await asyncio.sleep(0)
        for message in await app.queue("default").aconsume_many(50):
            await message.aack(message.body["a"] + 1)
        assert await waiting == list(range(1, 51))

    asyncio.run(main())


def test_waiters_of_another_process_are_woken_too(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    code = f"""
import mainspring
with mainspring.Mainspring({url!r}) as app:
    app.queue("default").consume(wait=30).ack([1, 2])
"""
    with Mainspring(url) as app:
        app.counts()
        other = subprocess.Popen([sys.executable, "-c", code])
        job = app.enqueue("x")
        assert job.result(timeout=30) == [1, 2]
        assert other.wait(30) == 0


def test_how_a_job_ended_is_told_to_its_waiter(app: Mainspring) -> None:
    failed, cancelled, gone = add.enqueue(1), add.enqueue(2), add.enqueue(3)
    take(app).reject("too bad")
    assert cancelled.cancel("not needed")
    app.delete(gone)
    with pytest.raises(JobFailed, match=r"job #1 \(add\) failed \(rejected\): .*too bad") as caught:
        failed.result(timeout=10)
    assert caught.value.error.message == "too bad"  # type: ignore[attr-defined]
    with pytest.raises(JobCancelled, match=r"job #2 \(add\) was cancelled: not needed"):
        cancelled.result(timeout=10)
    with pytest.raises(UnknownJob, match=str(gone.id)):
        gone.result(timeout=10)
    assert (failed.state, cancelled.state) == (State.FAILED, State.CANCELLED)

    async def main() -> None:
        for job, error in ((failed, JobFailed), (cancelled, JobCancelled), (gone, UnknownJob)):
            with pytest.raises(error):
                await job.aresult(timeout=10)

    asyncio.run(main())


def test_a_wait_can_end_before_the_job_does(app: Mainspring) -> None:
    job = add.enqueue(1)
    told = r"job #1 \(add\) did not end within 0\.05 s: it is pending, and no worker is running"
    with pytest.raises(ResultTimeout, match=told):
        job.result(timeout=0.05)
    with pytest.raises(TimeoutError, match=told):
        asyncio.run(job.aresult(timeout="50ms"))
    presence = Presence(id="w1", host="h", pid=1, started=1, state="running")
    app.store.heartbeat(presence, [], 15_000_000)
    message = take(app)
    with pytest.raises(ResultTimeout, match=r"0\.05 s: it is running$"):
        job.result(timeout=0.05)
    message.ack(5)
    assert job.result(timeout=10) == 5


def test_a_job_that_was_replayed_has_no_result_until_it_ends_again(app: Mainspring) -> None:
    job = add.enqueue(1)
    take(app).reject("too bad")
    with pytest.raises(JobFailed):
        job.result(timeout=10)
    app.replay(job.id)
    with pytest.raises(ResultTimeout, match="it is pending"):
        job.result(timeout=0.01)
    take(app).ack(3)
    assert job.result(timeout=10) == 3
    app.replay(job.id)
    take(app).ack(4)
    assert asyncio.run(job.aresult(timeout=10)) == 4


def test_an_end_that_was_seen_is_remembered_when_the_job_is_no_longer_kept(
    app: Mainspring,
) -> None:
    job = add.enqueue(1)
    take(app).ack(3)
    assert job.result(timeout=10) == 3
    app.delete(job)
    assert job.result() == 3
    assert asyncio.run(job.aresult()) == 3


def test_a_result_is_not_waited_for_where_that_would_block_an_event_loop(app: Mainspring) -> None:
    job = add.enqueue(1)

    async def main() -> None:
        with pytest.raises(InvalidState, match=r"use `await job\.aresult\(\)`"):
            job.result(timeout=5)
        await asyncio.to_thread(take(app).ack, 3)
        assert await job.aresult(timeout=10) == 3
        assert job.result() == 3

    asyncio.run(main())


def test_a_job_that_waits_for_another_is_warned(app: Mainspring) -> None:
    waiting, other = add.enqueue(1), add.enqueue(2)
    outer, inner = app.queue("default").consume_many(2)
    inner.ack(3)
    grant = Grant(token=new_token(), worker="w1", lease=60_000_000)
    outer.release()
    [job] = app.store.exchange([], Claim(grant=grant, limit=1, slots=1)).jobs
    assert job.id == waiting.id.bytes
    token = RUNNING.set(Context(job, worker="w1", deadline=None, channel=NO_CHANNEL))
    try:
        with pytest.warns(RuntimeWarning, match="a job waits for another job"):
            assert other.result(timeout=10) == 3
    finally:
        RUNNING.reset(token)


NO_CHANNEL: Any = None


def test_closing_the_app_ends_all_waits() -> None:
    async def main() -> None:
        app = Mainspring(MEMORY, tasks)
        job = await app.aenqueue(add.job(1))
        waiting = asyncio.ensure_future(job.aresult(timeout=30))
        await asyncio.sleep(0)
        await app.aclose()
        with pytest.raises(InvalidState, match="the app was closed"):
            await waiting

    asyncio.run(main())


# --- handles -------------------------------------------------------------------------------------


def test_a_handle_is_a_snapshot_until_it_is_refreshed(app: Mainspring) -> None:
    job = add.enqueue(1)
    message = take(app)
    message.progress(40, "half")
    assert job.state is State.PENDING
    assert job.refresh() is job
    assert (job.state, job.attempt, job.claims, job.progress) == (State.RUNNING, 1, 1, 40)
    assert job.note == "half"
    assert job.started is not None
    message.nack(KeyError("x"), delay="1h")
    asyncio.run(job.arefresh())
    assert (job.state, job.attempt) == (State.RETRYING, 1)
    assert job.due is not None
    assert timedelta(minutes=59) < job.due - datetime.now(UTC) < timedelta(minutes=61)
    assert job.error is not None
    assert (job.error.type, job.error.message) == ("KeyError", "'x'")
    assert [error.type for error in job.errors()] == ["KeyError"]
    assert job.logs() == []
    app.delete(job)
    with pytest.raises(UnknownJob):
        job.refresh()
    with pytest.raises(UnknownJob):
        app.get(job.id)


def test_a_job_can_be_cancelled_replayed_and_deleted_by_its_handle(app: Mainspring) -> None:
    job = add.enqueue(1)
    with pytest.raises(InvalidState, match="job #1: "):
        job.replay()
    assert job.position() == 1
    assert job.cancel("no")
    assert not job.cancel()
    assert (job.refresh().state, job.reason) == (State.CANCELLED, "no")
    job.replay()
    assert job.refresh().state is State.PENDING
    running = take(app)
    with pytest.raises(InvalidState, match="job #1: "):
        job.delete()
    assert job.cancel()
    assert job.refresh().record.cancel_asked
    assert running.nack("stopped") is State.CANCELLED
    job.delete()
    wrong: list[Callable[[], object]] = [job.cancel, job.replay, job.delete, job.refresh]
    for verb in wrong:
        with pytest.raises(UnknownJob):
            verb()


def test_ids_as_text_name_jobs_to_wait_for(app: Mainspring) -> None:
    first = add.enqueue(1)
    second = app.enqueue(add.job(2).after(str(first.id)))
    third = add.using(depends_on=str(first.id)).enqueue(3)
    fourth = add.using(depends_on=[str(second.id), third]).enqueue(4)
    for job, parents in ((second, [first]), (third, [first]), (fourth, [second, third])):
        assert app.get(job).record.parents == tuple(parent.id.bytes for parent in parents)
        assert app.get(job).state is State.BLOCKED


@pytest.mark.parametrize("id", ["", "x", "42", 42, None, b"x" * 16])
def test_what_is_no_id_is_refused(app: Mainspring, id: Any) -> None:
    with pytest.raises(InvalidArguments, match=r"id .*\(a UUID\), got"):
        app.get(id)
    with pytest.raises(InvalidArguments, match=r"id .*\(a UUID\), got"):
        app.cancel(id)
    with pytest.raises(InvalidArguments, match=r"id .*\(a UUID\), got"):
        add.job(1).after(id)


# --- operating -----------------------------------------------------------------------------------


def test_jobs_are_found_by_what_they_are(app: Mainspring) -> None:
    mail = [send.using(key="k").enqueue(name) for name in "abc"]
    plain = [add.using(tags=["x"]).enqueue(n) for n in range(2)]
    mail[0].cancel()
    everything = [*mail, *plain]
    assert app.find() == everything[::-1]
    assert app.find(queues="mail") == app.find(tasks=["send"]) == app.find(keys="k") == mail[::-1]
    assert app.find(tags="mail") == mail[::-1]
    assert app.find(tags=["x"]) == app.find(queues=("default",)) == plain[::-1]
    assert app.find(states=State.CANCELLED) == app.find(states="cancelled") == mail[:1]
    assert app.find(states=["pending", "cancelled"], tasks="send") == mail[::-1]
    assert app.find(after=datetime.now(UTC) + timedelta(hours=1)) == []
    assert app.find(before=datetime.now(UTC) + timedelta(hours=1)) == everything[::-1]
    assert app.find(limit=2) == everything[:-3:-1]
    assert app.find(limit=2, older_than=everything[3]) == everything[2:0:-1]
    assert app.find(older_than=everything[1].number) == everything[:1]


@pytest.mark.parametrize(
    ("filter", "words"),
    [
        ({"state": "failed"}, "unknown filter 'state'; expected one of states"),
        ({"states": "broken"}, "states: expected some of scheduled"),
        ({"states": ["broken"]}, "got 'broken'"),
        ({"queues": [3]}, "queues: expected"),
        ({"before": datetime(2026, 1, 1)}, "before: expected an aware datetime"),
        ({"after": "yesterday"}, "after: expected an aware datetime"),
        ({"limit": 0}, "limit: expected a number from 1"),
        ({"limit": "5"}, "limit: expected a number from 1"),
    ],
)
def test_a_wrong_filter_is_refused_naming_the_field(
    app: Mainspring, filter: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidArguments) as caught:
        app.find(**filter)
    assert words in str(caught.value)


def test_verbs_over_many_jobs_tell_what_they_did_and_refused(app: Mainspring) -> None:
    jobs = [add.enqueue(n) for n in range(4)]
    take(app).ack()
    done = app.cancel(*jobs[:2], reason="no")
    assert done.ids == (jobs[1].id,)
    assert list(done.refused) == [jobs[0].id]
    assert set(app.cancel(queues="default").ids) >= {jobs[2].id, jobs[3].id}
    assert set(app.replay(states="cancelled").ids) == {job.id for job in jobs[1:]}
    assert set(app.delete(str(jobs[0].id), jobs[1].id).ids) == {jobs[0].id, jobs[1].id}
    assert len(app.find()) == 2


def test_a_verb_over_everything_must_be_meant(app: Mainspring) -> None:
    add.enqueue(1)
    verbs: list[Callable[[], object]] = [app.cancel, app.replay, app.delete]
    for verb in verbs:
        with pytest.raises(InvalidArguments, match="expected jobs, or which to take"):
            verb()
    assert app.find(states="pending")


def test_a_purge_spares_what_runs_and_other_queues(app: Mainspring) -> None:
    running = add.enqueue(0)
    held = take(app)
    dead = add.enqueue(1)
    take(app).reject()
    waiting, other = add.enqueue(2), send.enqueue("a")
    assert app.purge("default", states=["failed"]).ids == (dead.id,)
    assert app.purge("default").ids == (waiting.id,)
    assert app.find() == [other, running]
    held.ack()


def test_a_paused_queue_waits_until_it_is_resumed(app: Mainspring) -> None:
    add.enqueue(1)
    assert app.pause("default").paused
    assert app.queue("default").consume() is None
    assert not app.resume("default").paused
    assert take(app).body == {"a": 1, "b": 1}


def test_a_queue_is_configured_in_durations(app: Mainspring) -> None:
    info = app.configure("q", aging="2m", keep_failed=timedelta(days=30), keep_completed=60)
    assert (info.aging, info.keep_failed, info.keep_completed) == (
        120_000_000,
        30 * 86_400_000_000,
        60_000_000,
    )
    assert info.keep_cancelled == 86_400_000_000
    assert [each.name for each in app.queues()] == ["q"]
    with pytest.raises(InvalidArguments, match="aging: expected a duration"):
        app.configure("q", aging="soon")
    with pytest.raises(InvalidArguments, match="queue: expected"):
        app.configure("")


def test_counts_are_by_queue_and_state(app: Mainspring) -> None:
    assert app.counts() == {}
    add.enqueue(1)
    add.using(delay=60).enqueue(1)
    send.enqueue("a")
    counts = app.counts()
    assert set(counts) == {"default", "mail"}
    assert set(counts["mail"]) == set(State)
    assert counts["default"] == dict.fromkeys(State, 0) | {"pending": 1, "scheduled": 1}


def test_statistics_tell_what_happened_lately(app: Mainspring) -> None:
    add.enqueue(1)
    take(app).ack()
    app.store.upkeep()
    for since in ("1h", 3600, datetime.now(UTC) - timedelta(hours=1)):
        minutes = app.statistics(since)
        assert sum(minute.completed for minute in minutes) in (0, 1)
    assert app.statistics(datetime.now(UTC) + timedelta(hours=1)) == []


def test_the_store_can_be_looked_at(app: Mainspring) -> None:
    assert isinstance(app.health(), Health)
    assert app.workers() == []
    assert app.check() == []


def test_a_check_tells_of_declarations_that_cannot_work() -> None:
    registry = Tasks()

    @registry.task
    def broken(x: "NoSuchThing") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with Mainspring(MEMORY, registry) as app:
        [sentence] = app.check()
    assert "task 'broken': parameter 'x': cannot evaluate" in sentence


# --- waiting until nothing is left ---------------------------------------------------------------


def test_an_empty_store_is_idle(app: Mainspring) -> None:
    assert app.wait_until_idle(timeout=5)
    assert asyncio.run(app.await_until_idle(timeout=5))


@pytest.mark.parametrize("kind", ["pending", "running", "retrying", "scheduled", "blocked"])
def test_a_store_with_unfinished_jobs_is_not_idle(app: Mainspring, kind: str) -> None:
    add.enqueue(1)
    if kind in ("running", "retrying"):
        message = take(app)
        if kind == "retrying":
            message.nack()
    elif kind == "scheduled":
        app.find()[0].cancel()
        add.using(delay=60).enqueue(1)
    elif kind == "blocked":
        take(app)
        add.using(depends_on=app.find()).enqueue(2)
    assert app.counts()["default"][State(kind)] == 1
    assert not app.wait_until_idle(timeout=0.01)
    assert not asyncio.run(app.await_until_idle(timeout=0.01))


def test_who_waits_for_idleness_is_woken_by_the_last_end(app: Mainspring) -> None:
    add.enqueue(1)
    message = take(app)
    thread = threading.Thread(target=message.ack)
    thread.start()
    assert app.wait_until_idle(timeout=30)
    thread.join()

    async def main() -> None:
        await add.aenqueue(2)
        message = await app.queue("default").aconsume(wait=10)
        assert message is not None
        _, idle = await asyncio.gather(message.aack(), app.await_until_idle(timeout=30))
        assert idle

    asyncio.run(main())


# --- life ----------------------------------------------------------------------------------------


def test_nothing_is_opened_before_the_first_use(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    app = Mainspring(f"sqlite:///{path}", tasks)
    add.job(1)
    app.queue("q")
    assert not path.exists()
    app.close()
    assert not path.exists()


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("mysql://x", "sqlite:///jobs.db"),
        ("", "sqlite:///jobs.db"),
        ("sqlite://", "sqlite:///jobs.db"),
        ("sqlite:///", "sqlite:///jobs.db"),
        ("sqlite://crawl.db", "sqlite:///crawl.db"),
        ("sqlite:crawl.db", "sqlite:///crawl.db"),
        ("crawl.db", "sqlite:///crawl.db"),
        ("/data/crawl.db", "sqlite:////data/crawl.db"),
        (Path("crawl.db"), "sqlite:///crawl.db"),
        (None, "sqlite:///jobs.db"),
        (tasks, "sqlite:///jobs.db"),
    ],
)
def test_what_is_no_url_of_a_store_is_refused_at_once_showing_a_right_one(
    url: Any, right: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Mainspring(url)
    told = f"expected one of {schemes()}, such as {right!r}, got {url!r}"
    assert str(caught.value) == f"store URL: {told}"
    Mainspring(right).close()


def test_an_app_that_was_only_made_has_loaded_no_engine() -> None:
    code = (
        "import sys, mainspring; mainspring.Mainspring();"
        "print([name for name in sys.modules if 'sqlite' in name])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_a_closed_app_is_of_no_use_and_can_be_closed_again(tmp_path: Path) -> None:
    app = Mainspring(f"sqlite:///{tmp_path}/jobs.db", tasks)
    app.enqueue("x")
    app.close()
    app.close()
    with pytest.raises(InvalidState, match="the app was closed"):
        app.enqueue("x")
    with pytest.raises(InvalidState, match="the app was closed"):
        asyncio.run(app.aenqueue("x"))


def test_closing_stores_what_coroutines_were_promised(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"

    async def main() -> None:
        async with Mainspring(url) as app:
            await app.aenqueue("first")
            waiting = asyncio.gather(*(app.aenqueue("x", n) for n in range(100)))
            await asyncio.sleep(0)
        await waiting

    asyncio.run(main())
    with Mainspring(url) as app:
        assert app.counts()["default"]["pending"] == 101


def test_the_threads_of_a_closed_app_are_gone() -> None:
    def mine() -> list[str]:
        return [each.name for each in threading.enumerate() if each.name.startswith("closing")]

    async def use(app: Mainspring) -> None:
        job = await app.aenqueue(add.job(1))
        with await asyncio.to_thread(take, app) as message:
            message.ack(1)
        assert await job.aresult(timeout=10) == 1

    with Mainspring(MEMORY, tasks, name="closing") as app:
        asyncio.run(use(app))
        assert len(mine()) == 3
    assert not mine()


def test_a_forked_process_has_a_store_of_its_own(tmp_path: Path) -> None:
    with Mainspring(f"sqlite:///{tmp_path}/jobs.db", tasks) as app:
        add.enqueue(1)
        with pytest.raises(ResultTimeout):
            app.find()[0].result(timeout=0.01)
        asyncio.run(add.aenqueue(2))
        child = os.fork()
        if child == 0:
            code = 1
            try:
                add.enqueue(3)
                asyncio.run(add.aenqueue(4))
                take(app).ack(10)
                code = 0 if app.find(states="completed")[0].result(timeout=10) == 10 else 2
                app.close()
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        asyncio.run(add.aenqueue(5))
        assert len(app.find()) == 5
        assert app.check() == []


# --- where other processes find it ---------------------------------------------------------------


def test_an_app_is_found_by_the_module_it_is_a_global_of(
    app: Mainspring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "the_app", app)
    assert locate(app) == f"{__name__}:the_app"


def test_an_app_that_is_no_global_cannot_be_found(app: Mainspring) -> None:
    with pytest.raises(ConfigError, match="must be a global variable of a module"):
        locate(app)


@pytest.mark.parametrize("as_module", [True, False])
def test_an_app_of_a_script_is_found_by_its_file_or_module(tmp_path: Path, as_module: bool) -> None:
    script = tmp_path / "my_script.py"
    script.write_text(
        "from mainspring import Mainspring\n"
        "from mainspring.locate import locate\n"
        "app = Mainspring('sqlite://:memory:')\n"
        "if __name__ == '__main__': print(locate(app))\n"
    )
    run = ["-m", "my_script"] if as_module else [str(script)]
    package = str(Path(mainspring.__file__).parent.parent)
    found = subprocess.run(
        [sys.executable, *run],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{package}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert found == ("my_script:app" if as_module else f"{script}:app")


def test_an_app_typed_in_cannot_be_found_by_others() -> None:
    code = (
        "from mainspring import Mainspring\n"
        "from mainspring.locate import locate\n"
        "app = Mainspring('sqlite://:memory:')\n"
        "locate(app)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "what runs here is not a file" in run.stderr


# --- twins ---------------------------------------------------------------------------------------


FACES = [Mainspring, Operations, Job, Queue, Message, AsyncTask, Topics, Subscription]


@pytest.mark.parametrize("face", FACES)
def test_every_async_method_has_a_sync_namesake_with_the_same_parameters(face: type) -> None:
    public = {name for name in dir(face) if not name.startswith("_")}
    twins = {name for name in public if name[1:] in public and name[0] == "a"}
    coroutines = {
        name
        for name in public
        if inspect.iscoroutinefunction(getattr(face, name))
        or inspect.isasyncgenfunction(getattr(face, name))
    }
    assert coroutines == twins
    assert twins
    for name in twins:
        theirs = inspect.signature(getattr(face, name)).parameters
        mine = inspect.signature(getattr(face, name[1:])).parameters
        assert list(theirs.values()) == list(mine.values()), name


def test_every_public_name_is_there_and_has_words_about_it() -> None:
    for name in mainspring.__all__:
        assert getattr(mainspring, name).__doc__, name
    assert mainspring.__all__ == sorted(mainspring.__all__)
