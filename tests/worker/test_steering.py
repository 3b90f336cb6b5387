"""What operators want of a worker reaches it with a heartbeat, and it does that."""

import os
import threading
import time
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from mainspring.app import Mainspring
from mainspring.events import WorkerStopped
from mainspring.job import State
from mainspring.presence import Presence, Wanted
from mainspring.store import Pulse, Store
from tests.worker import forge, workshop
from tests.worker.conftest import House, eventually


class Told:
    """A store, and what workers have told it of themselves."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.presences: list[Presence] = []

    def heartbeat(self, presence: Presence, *args: Any, **kwargs: Any) -> Pulse:
        """As the store does."""
        self.presences.append(presence)
        return self._store.heartbeat(presence, *args, **kwargs)

    def tells_tasks(self) -> list[bool]:
        """Whether the worker told its tasks, and each change of that."""
        return [tells for tells, _ in groupby(bool(each.tasks) for each in self.presences)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def presence(house: House) -> Presence:
    [found] = house.app.workers()
    return found


def test_a_paused_worker_claims_nothing_until_it_is_resumed(house: House) -> None:
    worker = house.start(lease="0.6s")
    assert house.app.enqueue(workshop.add.job(1, 1)).result(timeout=15) == 2
    house.app.pause_workers(worker.name)
    eventually(lambda: presence(house).state == "paused")
    job = house.app.enqueue(workshop.add.job(2, 2))
    time.sleep(0.3)  # nothing tells that nothing happens
    assert house.state(job) is State.PENDING
    house.app.resume_workers(worker.name)
    assert job.result(timeout=15) == 4


def test_a_pause_gives_back_what_has_not_begun(outside: House) -> None:
    worker = outside.start(lease="0.6s", threads=1)
    gate = outside.gate()
    first = outside.app.enqueue(workshop.gated.job(str(gate)))
    gate.await_arrival()
    rest = outside.app.enqueue_many(workshop.add.job(n, n) for n in range(5))
    outside.app.pause_workers(worker.name)
    eventually(lambda: outside.app.counts()["default"][State.PENDING] == 5)
    gate.let_go()
    assert first.result(timeout=15) == 1
    eventually(lambda: presence(outside).state == "paused")
    outside.app.resume_workers(worker.name)
    assert {job.attempt for job in outside.ended(*rest)} == {1}


def test_a_drained_worker_finishes_and_ends(house: House) -> None:
    stopped = house.hear(WorkerStopped)
    worker = house.start(lease="0.6s")
    gate = house.gate()
    job = house.app.enqueue(workshop.gated.job(str(gate)))
    gate.await_arrival()
    house.app.drain_workers(worker.name)
    eventually(lambda: presence(house).state == "stopping")
    gate.let_go()
    eventually(lambda: stopped)
    assert house.state(job) is State.COMPLETED
    assert house.app.workers() == []


def test_a_worker_is_scaled_up_and_down(outside: House) -> None:
    worker = outside.start(lease="0.6s", threads=1)
    outside.app.scale_workers(worker.name, least=3)
    eventually(lambda: presence(outside).children == 3)
    assert {member.state for member in presence(outside).members} <= {"starting", "ready"}
    outside.app.scale_workers(worker.name, least=1)
    eventually(lambda: presence(outside).children == 1)
    assert outside.app.enqueue(workshop.add.job(2, 2)).result(timeout=15) == 4


def test_it_has_more_children_while_much_waits(outside: House) -> None:
    outside.start(lease="0.6s", threads=1, max_processes=3)
    jobs = outside.app.enqueue_many(workshop.compute.job(0.2) for _ in range(60))
    eventually(lambda: presence(outside).children == 3, seconds=30)
    assert len(presence(outside).members) == 3
    for job in jobs:
        job.cancel()


def test_a_reload_runs_new_code_and_interrupts_no_job(
    outside: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    monkeypatch.syspath_prepend(str(code))
    changing = code / "changing.py"
    text = """
from mainspring import Mainspring, Tasks

tasks = Tasks()

@tasks.task
def release() -> str:
    return "{0}"

@tasks.task
def hold(gate: str) -> str:
    with open(gate + ".here", "w"):
        pass
    with open(gate + ".go") as pipe:
        pipe.read()
    return "{0}"

app = Mainspring("{1}", tasks)
"""
    changing.write_text(text.format("old", outside.url))
    worker = outside.start(app="changing:app", lease="0.6s")
    gate = outside.gate()
    held = outside.app.enqueue("hold", {"gate": str(gate)})
    gate.await_arrival()
    assert outside.app.enqueue("release", {}).result(timeout=15) == "old"
    changing.write_text("this is no Python")
    worker.reload()
    time.sleep(0.1)
    assert outside.app.enqueue("release", {}).result(timeout=15) == "old"
    changing.write_text(text.format("new one", outside.url))
    outside.app.reload_workers(worker.name)

    def is_new() -> bool:
        return outside.app.enqueue("release", {}).result(timeout=15) == "new one"

    eventually(is_new)
    gate.let_go()
    assert held.result(timeout=15) == "old"
    assert held.refresh().attempt == 1


def test_what_runs_long_is_told_with_the_place_where_it_is(house: House) -> None:
    house.start(lease="0.6s")
    gate = house.gate()
    job = house.app.enqueue(workshop.gated.job(str(gate)))
    gate.await_arrival()
    slowest = eventually(lambda: presence(house).slowest)
    gate.let_go()
    assert (slowest.task, slowest.number) == ("gated", job.number)
    assert slowest.seconds >= 5
    assert ", in gated" in slowest.traceback
    assert "mainspring/worker" not in slowest.traceback


def test_a_coroutine_that_hangs_is_told_too(outside: House) -> None:
    outside.start(lease="0.6s")
    job = outside.app.enqueue(workshop.asleep.job(60))
    slowest = eventually(lambda: presence(outside).slowest)
    assert ", in asleep" in slowest.traceback
    job.cancel()


def test_presence_tells_of_children_and_of_load(outside: House) -> None:
    outside.options["app"] = "tests.worker.forge:app"
    outside.start(lease="0.6s", threads=2, process_slots=1)
    app: Mainspring = outside.app
    own = app.enqueue(forge.pid.job()).result(timeout=15)
    told = eventually(lambda: (p := presence(outside)).last and p)
    assert told.last == "pid #1"
    kinds = {member.kind: member for member in told.members}
    assert set(kinds) == {"shared", "process"}
    assert kinds["process"].pid == own != os.getpid()
    assert kinds["process"].memory > 1_000_000
    assert (kinds["process"].slots, kinds["shared"].slots) == (1, 2)
    gate = outside.gate()
    app.enqueue(forge.talk_and_wait.job(str(gate)))
    gate.await_arrival()
    eventually(lambda: presence(outside).utilisation > 0.2)
    gate.let_go()


def test_a_new_child_makes_the_worker_tell_its_tasks_as_if_for_the_first_time(
    outside: House,
) -> None:
    """That makes jobs due that the old code could not run."""
    store = Told(outside.app.store)
    worker = outside.start(lease="0.6s", store=store)
    eventually(lambda: store.tells_tasks() == [False, True])
    worker.reload()
    eventually(lambda: store.tells_tasks() == [False, True, False, True])


CHANGING = """
from mainspring import Mainspring, Tasks

tasks = Tasks()

@tasks.task
def release() -> str:
    return "{0}"

app = Mainspring("{1}", tasks)
"""


@pytest.fixture
def changing(outside: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The code of an app that changes."""
    (tmp_path / "code").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    outside.options["app"] = "changing:app"
    file = tmp_path / "code" / "changing.py"
    file.write_text(CHANGING.format("old", outside.url))
    return file


def test_code_that_hangs_when_it_is_loaded_keeps_no_later_code_out(
    outside: House, changing: Path
) -> None:
    worker = outside.start(lease="0.6s")
    loading = outside.folder / "loading"
    changing.write_text(f"import time\nopen({str(loading)!r}, 'w')\ntime.sleep(600)\n")
    worker.reload()
    eventually(loading.exists)
    changing.write_text(CHANGING.format("new one", outside.url))
    worker.reload()
    eventually(lambda: outside.app.enqueue("release", {}).result(timeout=15) == "new one")


def test_a_reload_asked_for_by_a_clock_that_is_ahead_happens_once(
    outside: House, changing: Path
) -> None:
    worker = outside.start(lease="0.6s")
    [before] = eventually(lambda: [m.pid for m in presence(outside).members])
    ahead = time.time_ns() // 1000 + 3_600_000_000
    outside.app.store.instruct([worker.name], Wanted(reload=ahead))
    eventually(lambda: worker.reloads)
    eventually(lambda: not worker.reloading)
    time.sleep(1)  # nothing tells that nothing happens
    assert worker.reloads == 1
    assert before not in [member.pid for member in presence(outside).members]


def test_a_worker_can_be_stopped_amid_a_reload_and_while_it_is_paused(outside: House) -> None:
    worker = outside.start(lease="0.6s", processes=2)
    outside.app.pause_workers(eventually(outside.app.workers)[0].id)
    eventually(lambda: worker.phase == "paused")
    worker.reload()
    eventually(lambda: worker.reloading)
    worker.stop()
    assert (worker.phase, worker.reloading) == ("stopped", False)
    eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith("child-")])


def test_fewer_processes_are_those_that_take_jobs_already(outside: House, changing: Path) -> None:
    worker = outside.start(lease="0.6s")
    eventually(outside.app.workers)
    changing.write_text("import time\ntime.sleep(600)\n")
    outside.app.scale_workers(worker.name, least=3)
    eventually(lambda: presence(outside).children == 3)
    outside.app.scale_workers(worker.name, least=1)
    eventually(lambda: presence(outside).children == 1)
    assert outside.app.enqueue("release", {}).result(timeout=15) == "old"
