"""What running jobs tell: progress, logs, events, effects in a transaction, the worker's state."""

import sqlite3

from mainspring.events import Finished, Progressed, Started
from mainspring.job import State
from tests.worker import workshop
from tests.worker.conftest import House, eventually


def test_progress_and_log_of_a_short_job_are_kept(house: House) -> None:
    progressed = house.hear(Progressed)
    house.start()
    [job] = house.ended(house.app.enqueue(workshop.tell.job(3)))
    lines = [line.text for line in house.app.store.logs(job.id.bytes)]
    assert lines == ["step 0 of=3", "step 1 of=3", "step 2 of=3"]
    assert (job.progress, job.note) == (100, "step 2")
    assert progressed[-1].job.number == job.number
    assert (progressed[-1].percent, progressed[-1].note) == (100, "step 2")


def test_progress_of_a_job_that_still_runs_is_seen(house: House) -> None:
    house.start()
    gate = house.gate()
    job = house.app.enqueue(workshop.tell_and_wait.job(str(gate)))
    gate.await_arrival()
    now = eventually(lambda: (r := job.refresh()).progress and r)
    assert (now.progress, now.note, now.state) == (50, "half", State.RUNNING)
    gate.let_go()
    assert job.result(timeout=15) is None


def test_starts_and_ends_are_told_where_the_job_runs(inside: House) -> None:
    started, finished = inside.hear(Started), inside.hear(Finished)
    worker = inside.start()
    [job] = inside.ended(inside.app.enqueue(workshop.fail_until.job(2)))
    assert [(e.job.number, e.job.attempt, e.worker) for e in started] == [
        (job.number, 1, worker.name),
        (job.number, 2, worker.name),
    ]
    assert [e.transition.to for e in finished] == [State.RETRYING, State.COMPLETED]


def test_a_listener_that_fails_breaks_no_job(inside: House) -> None:
    inside.app.on(Started, lambda event: 1 / 0)
    inside.app.on(Finished, lambda event: 1 / 0)
    inside.start()
    assert inside.app.enqueue(workshop.add.job(1)).result(timeout=15) == 2


def test_middleware_is_around_functions_and_coroutines(house: House) -> None:
    house.start()
    for task in (workshop.look, workshop.alook):
        told = house.app.enqueue(task.job()).result(timeout=15)
        assert told == f"outer(wrapped.{task.name.split('.')[1]}) inner"


def test_a_middleware_may_swallow_an_error(inside: House) -> None:
    inside.start()
    swallowed, other = inside.app.enqueue_many(
        workshop.stumble.job(kind) for kind in ("lookup", "value")
    )
    assert swallowed.result(timeout=15) is None
    assert inside.ended(other)[0].state is State.FAILED


def test_an_effect_and_the_end_of_its_job_are_one(house: House) -> None:
    house.start()
    job = house.app.enqueue(workshop.transact.job())
    assert job.result(timeout=15) == "together"
    assert _effects(house) == [1]
    assert house.app.check() == []


def test_an_effect_is_undone_when_its_transaction_fails(inside: House) -> None:
    inside.start()
    job = inside.app.enqueue(workshop.transact.job("inside"))
    assert job.result(timeout=15) == "together"
    assert _effects(inside) == [2]


def test_an_error_after_the_transaction_changes_nothing(house: House) -> None:
    house.start()
    job = house.app.enqueue(workshop.transact.job("after"))
    assert job.result(timeout=15) == "together"
    assert house.app.enqueue(workshop.add.job(1)).result(timeout=15) == 2
    assert (job.refresh().state, job.attempt) == (State.COMPLETED, 1)


def test_a_worker_tells_how_it_stands(house: House) -> None:
    house.start(name="one", threads=3, tasks=5, lease="0.6s", queues=["default"])
    gate = house.gate()
    job = house.app.enqueue(workshop.gated.job(str(gate)))
    gate.await_arrival()
    now = eventually(lambda: next((each for each in house.app.workers() if each.busy), None))
    assert (now.id, now.state, now.queues) == ("one", "running", ("default",))
    assert now.current == f"gated #{job.number}"
    assert now.children == (0 if house.in_process else 1)
    assert now.slots >= 8
    assert {"add", "plus", "aadd", "square"} <= set(now.tasks)
    gate.let_go()
    house.ended(job, house.app.enqueue(workshop.raise_this.job("KeyError")))
    now = eventually(lambda: next((w for w in house.app.workers() if w.processed >= 2), None))
    assert (now.processed, now.failed, now.busy) == (2, 1, 0)


def _effects(house: House) -> list[int]:
    connection = sqlite3.connect(f"{house.folder}/jobs.db")
    try:
        return [attempt for (attempt,) in connection.execute("SELECT attempt FROM effect")]
    finally:
        connection.close()
