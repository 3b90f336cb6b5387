"""Stopping: finish what runs, hand back the rest, count nothing that was not done."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mainspring.errors import InvalidState
from mainspring.events import WorkerStarted, WorkerStopped
from mainspring.job import State
from mainspring.worker.worker import Worker
from tests.worker import workshop
from tests.worker.conftest import House, eventually

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def stopping(worker: Worker, house: House) -> Iterator[None]:
    """While a thread waits for the worker to stop."""
    thread = threading.Thread(target=worker.stop)
    thread.start()
    eventually(lambda: [each.state for each in house.app.workers()] == ["stopping"])
    yield
    thread.join()


def test_a_stop_finishes_what_runs_and_gives_back_the_rest(house: House) -> None:
    stopped = house.hear(WorkerStopped)
    house.app.enqueue_many(workshop.add.job(n) for n in range(100))
    worker = house.start(threads=1)
    assert house.app.wait_until_idle(timeout=15)
    gate = house.gate()
    first, *rest = house.app.enqueue_many(
        [workshop.gated.job(str(gate)), *(workshop.add.job(n) for n in range(30))]
    )
    gate.await_arrival()
    with stopping(worker, house):
        gate.let_go()
    assert first.refresh().state is State.COMPLETED
    assert {(job.refresh().state, job.refresh().attempt) for job in rest} == {(State.PENDING, 0)}
    assert [event.handed_back for event in stopped] == [worker.handed_back]
    assert house.app.workers() == []


def test_what_runs_beyond_the_grace_time_is_given_back_uncounted(house: House) -> None:
    worker = house.start()
    gate = house.gate()
    job = house.app.enqueue(workshop.gated.job(str(gate)))
    gate.await_arrival()
    worker.stop(0.05)
    assert (job.refresh().state, job.attempt) == (State.PENDING, 0)
    assert worker.handed_back == 1


def test_a_coroutine_is_cancelled_before_it_is_given_back(house: House, tmp_path: Path) -> None:
    worker = house.start()
    gate = house.gate()
    job = house.app.enqueue(workshop.forever.job(str(gate), str(tmp_path / "note")))
    gate.await_arrival()
    worker.stop(0.05)
    assert (tmp_path / "note").read_text() == "cleaned up"
    assert (job.refresh().state, job.attempt) == (State.PENDING, 0)


def test_a_second_stop_does_not_wait_for_the_grace_time(house: House) -> None:
    worker = house.start(grace="1h")
    gate = house.gate()
    job = house.app.enqueue(workshop.gated.job(str(gate)))
    gate.await_arrival()
    with stopping(worker, house):
        worker.stop()
    assert (job.refresh().state, job.attempt) == (State.PENDING, 0)


def test_a_child_that_does_not_end_by_itself_is_ended_before_the_grace_time(
    outside: House,
) -> None:
    """Threads that tasks leave behind keep an interpreter from ending."""
    worker = outside.start(grace="1h")
    outside.ended(outside.app.enqueue(workshop.leave_thread.job()))
    stop = threading.Thread(target=worker.stop)
    stop.start()
    stop.join(15)
    assert not stop.is_alive()


def test_a_stopped_worker_can_be_started_again_but_not_twice(house: House) -> None:
    worker = house.start()
    with pytest.raises(InvalidState, match="is running already"):
        worker.start()
    worker.stop()
    worker.stop()
    worker.start()
    assert house.app.enqueue(workshop.add.job(1)).result(timeout=15) == 2


def test_a_worker_tells_when_it_starts_and_stops(inside: House) -> None:
    started, stopped = inside.hear(WorkerStarted), inside.hear(WorkerStopped)
    with inside.worker(name="one") as worker:
        assert [event.worker for event in started] == ["one"]
    assert stopped == [WorkerStopped("one", 0)]
    assert worker.handed_back == 0


def test_a_worker_lives_in_async_code_too(inside: House) -> None:
    async def live() -> None:
        async with inside.worker():
            job = await inside.app.aenqueue(workshop.aadd.job(1))
            assert await job.aresult(timeout=15) == 2
        worker = inside.worker()
        running = asyncio.create_task(worker.arun())
        job = await inside.app.aenqueue(workshop.aadd.job(2))
        assert await job.aresult(timeout=15) == 3
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(live())
    assert inside.app.workers() == []


def test_the_interpreter_s_switch_interval_is_put_back(inside: House) -> None:
    before = sys.getswitchinterval()
    with inside.worker():
        assert sys.getswitchinterval() < before
    assert sys.getswitchinterval() == before


# --- whole processes -----------------------------------------------------------------------------

RUN = """
from mainspring.worker.worker import Worker
Worker(url={url!r}, app="tests.worker.workshop:app", grace="1h", lease={lease!r}).run()
"""


@contextmanager
def process(house: House, lease: str = "1s") -> Iterator[subprocess.Popen[bytes]]:
    """A worker as one runs it from a shell."""
    code = RUN.format(url=house.url, lease=lease)
    started = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def test_a_signal_stops_a_worker_that_finishes_first(outside: House) -> None:
    gate = outside.gate()
    job = outside.app.enqueue(workshop.gated.job(str(gate)))
    with process(outside) as worker:
        gate.await_arrival()
        worker.send_signal(signal.SIGTERM)
        eventually(lambda: [each.state for each in outside.app.workers()] == ["stopping"])
        gate.let_go()
        assert worker.wait(10) == 0
    assert job.refresh().state is State.COMPLETED


def test_a_second_signal_hands_back_at_once(outside: House) -> None:
    gate = outside.gate()
    job = outside.app.enqueue(workshop.gated.job(str(gate)))
    with process(outside) as worker:
        gate.await_arrival()
        worker.send_signal(signal.SIGINT)
        eventually(lambda: [each.state for each in outside.app.workers()] == ["stopping"])
        worker.send_signal(signal.SIGINT)
        assert worker.wait(10) == 0
    assert (job.refresh().state, job.attempt) == (State.PENDING, 0)


def test_children_die_with_their_parent(outside: House) -> None:
    with process(outside) as worker:
        child = outside.app.enqueue(workshop.pid.job()).result(timeout=15)
        gate = outside.gate()
        outside.app.enqueue(workshop.hold_the_gil.job(20))
        outside.app.enqueue(workshop.gated.job(str(gate)))
        assert child != worker.pid
        worker.kill()
        worker.wait()
        eventually(lambda: not _lives(child), seconds=5)


def test_a_signal_does_not_reach_what_a_task_has_started(outside: House) -> None:
    """A child leaves signals to its parent, but programs its tasks start behave as ever."""
    outside.start()
    assert outside.app.enqueue(workshop.handlers.job()).result(timeout=15) == "default default"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
