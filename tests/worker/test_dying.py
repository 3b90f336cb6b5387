"""Children die: begun jobs count, others do not, and a killer takes nobody along."""

import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mainspring.errors import ConfigError
from mainspring.events import ChildDied
from mainspring.ids import new_token
from mainspring.job import Claimed, JobError, Lost, NewJob, State
from mainspring.lifecycle import decide
from mainspring.store import Claim, Exchanged, Grant, Store
from mainspring.worker.worker import Worker
from tests.worker import workshop
from tests.worker.conftest import House, eventually
from tests.worker.faulty import FaultyStore


def test_a_killed_child_is_replaced_and_its_begun_job_counted(outside: House) -> None:
    died = outside.hear(ChildDied)
    outside.start(lease="1h")
    gate = outside.gate()
    job = outside.app.enqueue(workshop.gated.job(str(gate)))
    child = outside.app.enqueue(workshop.pid.job()).result(timeout=15)
    gate.await_arrival()
    os.kill(child, signal.SIGKILL)
    gate.await_arrival()
    gate.let_go()
    assert job.result(timeout=15) == 2
    [error] = outside.app.store.history(job.id.bytes)
    assert (error.type, error.reason) == ("WorkerLost", "worker lost")
    assert error.message.startswith("its process died: signal 9 (SIGKILL); it had taken ")
    assert [(event.pid, event.lost) for event in died] == [(child, (job.number,))]


def test_a_death_is_noticed_though_a_fork_of_the_child_lives_on(outside: House) -> None:
    """What a task forked off holds the line to the parent open."""
    outside.start(lease="1h")
    gate, fork = outside.gate(), outside.gate()
    job = outside.app.enqueue(workshop.fork_and_die.job(str(gate), str(fork)))
    gate.await_arrival()
    gate.let_go()
    assert job.result(timeout=15) == 2
    fork.let_go()


def test_a_fork_that_comes_back_from_its_task_ends_and_runs_nothing(house: House) -> None:
    marks = house.folder / "marks"
    forking, *others = house.app.enqueue_many(
        [
            workshop.fork_and_return.job(),
            *(workshop.mark.job(str(marks)) for _ in range(10)),
        ]
    )
    house.start(threads=1)
    assert forking.result(timeout=15) == 0
    house.ended(*others)
    assert marks.read_text() == "x" * 10


@pytest.mark.parametrize(
    "job",
    [
        workshop.afork_and_return.job(suspend=False),
        workshop.afork_and_return.job(suspend=True),
        workshop.fork_batch.job(1),
    ],
    ids=["coroutine that returns", "coroutine that suspends", "batch"],
)
def test_a_fork_ends_wherever_it_comes_back(house: House, job: NewJob[int]) -> None:
    house.start()
    assert house.app.enqueue(job).result(timeout=15) == 0
    assert house.app.enqueue(workshop.aadd.job(1)).result(timeout=15) == 2


def test_a_process_that_a_task_forked_off_can_be_terminated(outside: House) -> None:
    """That the child leaves signals to its parent is not handed down."""
    outside.start()
    assert outside.app.enqueue(workshop.terminate.job()).result(timeout=15) == -signal.SIGTERM


def test_jobs_that_had_not_begun_are_not_counted(outside: House) -> None:
    """They waited in the process that died, and run in its successor at their first attempt."""
    outside.app.enqueue_many(workshop.add.job(n) for n in range(300))
    outside.start(threads=1, lease="1h")
    assert outside.app.wait_until_idle(timeout=15)
    gate = outside.gate()
    killer, *rest = outside.app.enqueue_many(
        [workshop.die_once.job(str(gate)), *(workshop.add.job(n) for n in range(200))]
    )
    gate.await_arrival()
    gate.let_go()
    assert killer.result(timeout=15) == 2
    assert {job.attempt for job in outside.ended(*rest)} == {1}


def test_what_a_dead_child_had_not_begun_goes_before_what_a_claim_under_way_brings(
    outside: House,
) -> None:
    """The claim is answered when the successor is ready, which could begin those jobs at once."""
    died = outside.hear(ChildDied)
    begun, asked, answered = (threading.Event() for _ in range(3))

    class Slow(FaultyStore):
        def exchange(self, transitions: Any, claim: Any = None) -> Exchanged:
            answer: Exchanged = self._store.exchange(transitions, claim)
            if answer.jobs and begun.is_set() and not asked.is_set():
                asked.set()
                answered.wait(15)
            return answer

    outside.app.enqueue_many(workshop.add.job(n) for n in range(300))
    worker = outside.start(threads=1, lease="1h", store=Slow(outside.app.store))
    assert outside.app.wait_until_idle(timeout=15)
    child = outside.app.enqueue(workshop.pid.job()).result(timeout=15)
    gate, names = outside.gate(), outside.folder / "names"
    first = outside.app.enqueue_many(
        [workshop.gated.job(str(gate)), *(workshop.sign.job(str(names), "a") for _ in range(5))]
    )
    gate.await_arrival()
    begun.set()
    second = outside.app.enqueue_many(workshop.sign.job(str(names), "b") for _ in range(5))
    assert asked.wait(15)
    os.kill(child, signal.SIGKILL)
    eventually(lambda: died and worker.ready)
    answered.set()
    gate.await_arrival()
    gate.let_go()
    outside.ended(*first, *second)
    assert names.read_text() == "aaaaabbbbb"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("kill", "signal 9 (SIGKILL)"),
        ("exit", "exit code 3"),
        ("segfault", "signal 11 (SIGSEGV)"),
    ],
)
def test_a_killer_ends_as_a_dead_letter_and_no_neighbour_does(
    outside: House, how: str, words: str
) -> None:
    outside.start(lease="1h", threads=4)
    killer, *innocent = outside.app.enqueue_many(
        [workshop.die.job(how), *(workshop.fail_until.job(1) for _ in range(50))]
    )
    [killer] = outside.ended(killer, seconds=25)
    assert (killer.state, killer.reason, killer.attempt) == (State.FAILED, "worker lost", 4)
    history = outside.app.store.history(killer.id.bytes)
    assert [error.message.partition(";")[0] for error in history] == [
        f"its process died: {words}"
    ] * 4
    assert {job.state for job in outside.ended(*innocent)} == {State.COMPLETED}


def test_a_suspect_runs_alone_in_a_process_of_its_own(outside: House) -> None:
    """After two losses in a row nobody else's work is in the process that dies."""
    died = outside.hear(ChildDied)
    outside.start(lease="1h")
    neighbour = outside.app.enqueue(workshop.pid.job()).result(timeout=15)
    outside.ended(outside.app.enqueue(workshop.die.job("kill")), seconds=25)
    assert len(died) == 4
    survivor = outside.app.enqueue(workshop.pid.job()).result(timeout=15)
    pids = [event.pid for event in died]
    assert neighbour == pids[0]
    assert pids[1] not in pids[2:]
    assert survivor not in pids


def test_in_process_a_suspect_runs_when_nothing_else_does(inside: House) -> None:
    suspect = inside.app.enqueue(workshop.alone.job())
    _lose(inside, times=2)
    inside.app.enqueue_many(workshop.nap.job(0.001) for _ in range(100))
    inside.start(threads=4)
    assert suspect.result(timeout=15) == 3
    assert inside.app.wait_until_idle(timeout=15)


def _lose(house: House, times: int) -> None:
    """Let the only job be claimed and lost so many times, as if its workers had died."""
    store = house.app.store
    for _ in range(times):
        grant = Grant(token=new_token(), worker="gone", lease=1_000_000)
        claim = Claim(grant=grant, limit=1, slots=1, alone=1)
        [job] = eventually(partial(_claimed, store, claim))
        error = JobError(attempt=job.attempt, type="WorkerLost", message="gone")
        store.exchange([decide(job, Lost(error))])


def _claimed(store: Store, claim: Claim) -> list[Claimed]:
    return store.exchange([], claim).jobs


# --- children that cannot start ------------------------------------------------------------------


def test_an_app_that_cannot_be_imported_ends_the_worker_with_a_clear_error(
    outside: House, capfd: pytest.CaptureFixture[str]
) -> None:
    worker = Worker(outside.app.store, app="tests.worker.nowhere:app", processes=2)
    with pytest.raises(ConfigError, match=r"cannot load 'tests\.worker\.nowhere:app'.*nowhere"):
        worker.start()
    assert "Traceback" not in capfd.readouterr().err


def test_an_error_in_the_code_of_an_app_is_shown_with_its_traceback_once(
    outside: House, capfd: pytest.CaptureFixture[str]
) -> None:
    (outside.folder / "broken.py").write_text("1 / 0")
    worker = Worker(outside.app.store, app=f"{outside.folder}/broken.py:app", processes=2)
    with pytest.raises(ConfigError, match="ZeroDivisionError"):
        worker.start()
    assert capfd.readouterr().err.count("Traceback") == 1


@pytest.mark.parametrize(
    ("app", "words"),
    [
        ("tests.worker.workshop", 'expected "module:attribute"'),
        ("tests.worker.workshop:nothing", "has no 'nothing'"),
        ("tests.worker.workshop:tasks", "expected a Mainspring"),
        ("nowhere.py:app", "expected a Python file"),
    ],
)
def test_a_place_that_is_no_app_is_refused_in_words(outside: House, app: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        outside.worker(app=app).start()


def test_an_app_that_kills_its_process_at_import_ends_the_worker(
    outside: House, tmp_path: Path
) -> None:
    script = tmp_path / "suicide.py"
    script.write_text("import os\nos._exit(7)\n")
    worker = Worker(outside.app.store, app=f"{script}:app")
    with pytest.raises(ConfigError, match="exit code 7"):
        worker.start()


def test_an_app_may_be_a_script_that_starts_the_worker_itself(
    outside: House, tmp_path: Path
) -> None:
    script = tmp_path / "own.py"
    script.write_text(
        "from mainspring.app import Mainspring\n"
        "from mainspring.registry import Tasks\n"
        "tasks = Tasks()\n"
        "@tasks.task\n"
        "def where() -> str:\n"
        "    return __name__\n"
        f"app = Mainspring({outside.url!r}, tasks)\n"
        'if __name__ == "__main__":\n'
        "    with app.worker():\n"
        "        print(app.enqueue(where.job()).result(timeout=15))\n"
    )
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": root},
        timeout=30,
    )
    assert done.stdout.strip() == "__mp_main__", done.stderr


def test_a_script_without_its_guard_is_told_so(outside: House, tmp_path: Path) -> None:
    script = tmp_path / "bare.py"
    script.write_text(
        "from mainspring.app import Mainspring\n"
        f"app = Mainspring({outside.url!r})\n"
        "app.worker().run()\n"
    )
    with pytest.raises(ConfigError, match="__main__"):
        Worker(outside.app.store, app=f"{script}:app").start()


def test_a_worker_without_store_and_url_uses_the_app_s(outside: House) -> None:
    job = outside.app.enqueue(workshop.add.job(1))
    with Worker(app="tests.worker.workshop:app"):
        assert job.result(timeout=15) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"processes": 0}, "processes: expected 1 to 256"),
        ({"threads": True}, "threads: expected"),
        ({"tasks": "many"}, "tasks: expected"),
        ({"lease": "0.1s"}, "lease: expected"),
        ({"queues": "mail"}, "queues: expected a list"),
        ({"read_ahead": -1}, "read_ahead: expected"),
        ({"app": None}, "app: expected"),
        ({"in_process": True}, "in_process: expected the app itself"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Worker(**({"app": "a:b"} | options))  # type: ignore[arg-type]
