"""Tasks that run in a process of their own: they can be stopped, killed, and take nobody along."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from mainspring.errors import TaskError
from mainspring.events import AttemptFailed, ChildDied
from mainspring.job import State
from mainspring.registry import Tasks
from tests.worker import forge
from tests.worker.conftest import House, eventually


@pytest.fixture
def smithy(make_house: Callable[..., House]) -> House:
    house = make_house(False)
    house.options["app"] = "tests.worker.forge:app"
    return house


def logs(house: House, job: object) -> list[str]:
    return [line.text for line in house.app.store.logs(job.id.bytes)]  # type: ignore[attr-defined]


def test_they_run_beside_shared_ones_in_processes_that_stay(smithy: House) -> None:
    smithy.start(process_slots=1)
    ask = smithy.app.enqueue
    own = {ask(forge.pid.job()).result(timeout=15) for _ in range(5)}
    shared = ask(forge.shared_pid.job()).result(timeout=15)
    assert len(own) == 1
    assert own.isdisjoint({shared, os.getpid()})
    assert ask(forge.apid.job()).result(timeout=15) in own


def test_each_runs_one_job_at_a_time(smithy: House) -> None:
    smithy.start(process_slots=2)
    gates = [smithy.gate() for _ in range(3)]
    first, second, third = smithy.app.enqueue_many(
        forge.talk_and_wait.job(str(gate)) for gate in gates
    )
    gates[0].await_arrival()
    gates[1].await_arrival()
    assert smithy.state(third) in (State.PENDING, State.RUNNING)
    assert not os.path.exists(f"{gates[2]}.told")
    for gate in gates[:2]:
        gate.let_go()
    gates[2].await_arrival()
    gates[2].let_go()
    ended = smithy.ended(first, second, third)
    assert {job.state for job in ended} == {State.COMPLETED}


def test_a_child_inherits_no_file_of_the_store(smithy: House) -> None:
    smithy.start(process_slots=1)
    job = smithy.app.enqueue(forge.inherited.job(str(smithy.folder)))
    assert job.result(timeout=15) == []


def test_thousands_of_short_ones_are_fed_in_batches(smithy: House) -> None:
    jobs = smithy.app.enqueue_many(forge.add.job(n, n) for n in range(2000))
    worker = smithy.start(process_slots=2)
    assert smithy.app.wait_until_idle(timeout=30)
    assert {job.refresh().state for job in jobs[::100]} == {State.COMPLETED}
    assert worker.processed == 2000


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("segfault", "signal 11 (SIGSEGV)"),
        ("exit", "exit code 3"),
        ("abort", "signal 6 (SIGABRT)"),
        ("kill", "signal 9 (SIGKILL)"),
        ("stack", "signal 11 (SIGSEGV)"),
    ],
)
def test_a_crash_is_that_attempts_error_and_poison_ends_as_a_dead_letter(
    smithy: House, how: str, words: str
) -> None:
    smithy.start(process_slots=1, lease="1h")
    poison, *innocent = smithy.app.enqueue_many(
        [forge.die.job(how), *(forge.add.job(n, n) for n in range(50))]
    )
    [poison] = smithy.ended(poison, seconds=30)
    assert (poison.state, poison.reason, poison.attempt) == (State.FAILED, "worker lost", 3)
    for error in smithy.app.store.history(poison.id.bytes):
        assert error.message.startswith(f"its process died: {words}; it had taken ")
        assert error.message.endswith(" MB of memory at most")
    ended = smithy.ended(*innocent)
    assert {(job.state, job.attempt) for job in ended} == {(State.COMPLETED, 1)}
    assert logs(smithy, poison)[0] == f"dies by {how}"


def test_what_a_crashed_interpreter_says_last_is_in_the_log(smithy: House) -> None:
    smithy.start(process_slots=1)
    [job] = smithy.ended(smithy.app.enqueue(forge.die.job("segfault")))
    told = logs(smithy, job)
    assert "Fatal Python error: Segmentation fault" in told
    assert any("in die" in line for line in told)


def test_output_of_every_kind_becomes_lines_of_the_log(smithy: House) -> None:
    smithy.start(process_slots=1)
    [job] = smithy.ended(smithy.app.enqueue(forge.talk.job(2)))
    assert logs(smithy, job) == [
        "line 0",
        "line 1",
        "an error",
        "a program",
        "raw \\xff bytes, no end of line",
    ]


def test_output_is_told_while_the_job_runs(smithy: House) -> None:
    smithy.start(process_slots=1)
    gate = smithy.gate()
    job = smithy.app.enqueue(forge.talk_and_wait.job(str(gate)))
    gate.await_arrival()
    eventually(lambda: logs(smithy, job) == ["before the gate"])
    gate.let_go()
    smithy.ended(job)
    assert logs(smithy, job) == ["before the gate"]


def test_output_without_end_is_cut(smithy: House) -> None:
    smithy.start(process_slots=1)
    job = smithy.app.enqueue(forge.flood.job(50))
    assert job.result(timeout=30) == 50
    told = logs(smithy, job)
    assert sum(map(len, told)) < 70_000
    assert told[-1] == "[more than 64 kB of output: the rest is left out]"


@pytest.mark.parametrize("how", ["computing", "sleeping"])
def test_beyond_its_time_limit_a_function_is_interrupted(smithy: House, how: str) -> None:
    smithy.start(process_slots=1)
    before = smithy.app.enqueue(forge.pid.job()).result(timeout=15)
    [job] = smithy.ended(smithy.app.enqueue(forge.outlast.job(how)))
    assert (job.state, job.reason) == (State.FAILED, "timed out")
    [error] = smithy.app.store.history(job.id.bytes)
    assert error.message == "did not end within its time limit of 0.3 s"
    assert smithy.app.enqueue(forge.pid.job()).result(timeout=15) == before


def test_what_a_function_returns_when_it_is_interrupted_counts(smithy: House) -> None:
    smithy.start(process_slots=1)
    job = smithy.app.enqueue(forge.outlast.job("yielding"))
    assert job.result(timeout=15) == "time limit"


@pytest.mark.parametrize("how", ["deaf", "in C"])
def test_one_that_does_not_listen_is_killed(smithy: House, how: str) -> None:
    failed = smithy.hear(AttemptFailed)
    died = smithy.hear(ChildDied)
    smithy.start(process_slots=1, lease="1h")
    job, neighbour = smithy.app.enqueue_many([forge.outlast.job(how), forge.add.job(1, 2)])
    [job] = smithy.ended(job)
    assert (job.state, job.reason) == (State.FAILED, "timed out")
    [error] = smithy.app.store.history(job.id.bytes)
    assert error.type == "TimeLimit"
    assert error.message.endswith("nor when it was told to: killed")
    assert neighbour.result(timeout=15) == 3
    assert len(failed) == 1
    assert not died


def test_programs_that_a_killed_job_has_started_are_killed_too(smithy: House) -> None:
    smithy.start(process_slots=1)
    pid = smithy.folder / "pid"
    smithy.ended(smithy.app.enqueue(forge.run_program.job(str(pid))))
    eventually(lambda: not Path(f"/proc/{pid.read_text()}").exists())


def test_beyond_its_memory_limit_a_process_is_killed(smithy: House) -> None:
    smithy.start(process_slots=1, lease="1h")
    [job] = smithy.ended(smithy.app.enqueue(forge.grow.job()))
    [error] = smithy.app.store.history(job.id.bytes)
    assert error.type == "MemoryLimit"
    assert error.message.startswith("killed beyond its memory limit, with ")
    assert smithy.app.enqueue(forge.add.job(1, 2)).result(timeout=15) == 3


@pytest.mark.parametrize("deaf", [False, True])
def test_a_cancelled_one_is_interrupted_then_killed(smithy: House, deaf: bool) -> None:
    smithy.start(process_slots=1, lease="1s")
    gate = smithy.gate()
    job = smithy.app.enqueue(forge.wait.job(str(gate), deaf))
    gate.await_arrival()
    gate.let_go()
    job.cancel()
    [job] = smithy.ended(job)
    assert job.state is State.CANCELLED
    assert Path(f"{gate}.told").read_text() == "cancelled"
    assert smithy.app.enqueue(forge.add.job(1, 2)).result(timeout=15) == 3


def test_a_stop_hands_back_what_does_not_end_in_time(smithy: House) -> None:
    worker = smithy.start(process_slots=1)
    gate = smithy.gate()
    job = smithy.app.enqueue(forge.wait_once.job(str(gate)))
    gate.await_arrival()
    gate.let_go()
    worker.stop(timeout=0.1)
    assert smithy.state(job) is State.PENDING
    smithy.start(process_slots=1)
    assert job.result(timeout=15) == 1


def test_a_stray_signal_is_left_to_the_parent(smithy: House) -> None:
    smithy.start(process_slots=1)
    child = smithy.app.enqueue(forge.pid.job()).result(timeout=15)
    gate = smithy.gate()
    job = smithy.app.enqueue(forge.talk_and_wait.job(str(gate)))
    gate.await_arrival()
    os.kill(child, signal.SIGTERM)
    os.kill(child, signal.SIGINT)
    gate.let_go()
    assert smithy.ended(job)[0].state is State.COMPLETED


def test_a_child_is_relieved_by_its_heir_after_so_many_jobs(smithy: House) -> None:
    smithy.start(process_slots=1, max_jobs=5)

    def pids() -> set[int]:
        asked = smithy.app.enqueue_many(forge.pid.job() for _ in range(5))
        seen.update(job.result(timeout=15) for job in asked)
        return seen if len(seen) > 2 else set()

    seen: set[int] = set()
    eventually(pids)


def test_in_process_they_run_on_threads(make_house: Callable[..., House]) -> None:
    house = make_house(True)
    app = house.app
    tasks = Tasks()
    tasks.task(runs_in="process", name="whose")(os.getpid)
    house.start(program=type(app)(house.url, tasks))
    assert app.enqueue("whose", {}).result(timeout=15) == os.getpid()


def test_a_batch_has_no_process_of_its_own() -> None:
    with pytest.raises(TaskError):
        Tasks().batch(runs_in="process")(lambda items: None)


@pytest.mark.parametrize("what", ["no stdout", "odd stdout", "closed stdout", "fork"])
def test_a_job_cannot_spoil_its_process_for_the_next(smithy: House, what: str) -> None:
    smithy.start(process_slots=1)
    first, second = smithy.app.enqueue_many([forge.spoil.job(what), forge.pid.job()])
    assert first.result(timeout=15) == second.result(timeout=15)
    assert first.refresh().attempt == 1


def test_a_job_that_takes_over_signals_leaves_the_next_one_its_time_limit(smithy: House) -> None:
    smithy.start(process_slots=1)
    smithy.app.enqueue(forge.spoil.job("signals")).result(timeout=15)
    [job] = smithy.ended(smithy.app.enqueue(forge.outlast.job("sleeping")))
    assert (job.state, job.reason) == (State.FAILED, "timed out")


def test_what_is_printed_between_two_jobs_is_of_neither(smithy: House) -> None:
    smithy.start(process_slots=1)
    path = smithy.folder / "later"
    first = smithy.app.enqueue(forge.print_later.job(str(path)))
    smithy.ended(first)
    Path(f"{path}.ended").touch()
    eventually(Path(f"{path}.printed").exists)
    second = smithy.app.enqueue(forge.say.job("mine"))
    smithy.ended(second)
    assert (logs(smithy, first), logs(smithy, second)) == ([], ["mine"])


def test_output_without_line_ends_is_cut_not_lost(smithy: House) -> None:
    smithy.start(process_slots=1)
    gate = smithy.gate()
    job = smithy.app.enqueue(forge.flood_a_line.job(2_000_000, str(gate)))
    gate.await_arrival()
    told = eventually(lambda: logs(smithy, job))
    gate.let_go()
    smithy.ended(job)
    assert told[0].startswith("xxx")
    assert told[-1] == "[more than 64 kB of output: the rest is left out]"


def test_a_job_that_has_ended_does_not_run_again_when_the_next_one_crashes(smithy: House) -> None:
    smithy.start(process_slots=1, lease="1h")
    marks = smithy.folder / "marks"
    pairs = [(forge.work.job(str(marks)), forge.crash_once.job()) for _ in range(15)]
    jobs = smithy.app.enqueue_many(job for pair in pairs for job in pair)
    ended = smithy.ended(*jobs, seconds=50)
    assert {job.state for job in ended} == {State.COMPLETED}
    assert marks.read_text() == "x" * 15


def test_the_memory_of_programs_that_a_job_starts_counts(smithy: House) -> None:
    smithy.start(process_slots=1, lease="1h")
    [job] = smithy.ended(smithy.app.enqueue(forge.start_hungry_program.job()))
    [error] = smithy.app.store.history(job.id.bytes)
    assert error.type == "MemoryLimit"
