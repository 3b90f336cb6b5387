"""The store goes away and comes back; leases are lost; nothing is done twice without a reason."""

import os
import signal
import sqlite3
import subprocess
import threading
from functools import partial
from typing import Any

import msgspec
import pytest

from mainspring.engines.sqlite import clock
from mainspring.errors import StoreDamaged, StoreGone
from mainspring.events import LeasesLost, StoreBack, StoreLost
from mainspring.handle import Job
from mainspring.ids import new_token
from mainspring.job import JobError, Lost, Now, State
from mainspring.lifecycle import decide
from mainspring.store import Exchanged, Grant
from tests.worker import workshop
from tests.worker.conftest import House, eventually
from tests.worker.faulty import FaultyStore
from tests.worker.test_stopping import process


@pytest.fixture
def faulty(house: House) -> FaultyStore:
    return FaultyStore(house.app.store)


def test_outcomes_are_kept_while_the_store_is_away(house: House, faulty: FaultyStore) -> None:
    lost, back = house.hear(StoreLost), house.hear(StoreBack)
    house.start(store=faulty)
    gate = house.gate()
    job = house.app.enqueue(workshop.gated.job(str(gate)))
    gate.await_arrival()
    faulty.go_away("exchange")
    gate.let_go()
    eventually(lambda: faulty.failed["exchange"] > 2)
    assert house.state(job) is State.RUNNING
    faulty.come_back()
    assert job.result(timeout=15) == 1
    eventually(lambda: back)
    assert (len(lost), len(back)) == (1, 1)
    assert "on purpose" in lost[0].error


def test_work_goes_on_by_itself_when_the_store_is_back(inside: House) -> None:
    faulty = FaultyStore(inside.app.store)
    inside.start(store=faulty)
    faulty.go_away("exchange", "heartbeat", "upkeep", "reclaim")
    job = inside.app.enqueue(workshop.add.job(1))
    eventually(lambda: faulty.failed["exchange"])
    faulty.come_back()
    assert job.result(timeout=15) == 2


def test_what_a_claim_brings_too_late_is_handed_back_before_it_begins(house: House) -> None:
    """As after a network that was cut in two: the lease may be over, and somebody else at work."""
    late = threading.Event()

    class Slow(FaultyStore):
        def exchange(self, transitions: Any, claim: Any = None) -> Exchanged:
            answer: Exchanged = self._store.exchange(transitions, claim)
            if answer.jobs and not late.is_set():
                late.wait(0.6)
                late.set()
            return answer

    job = house.app.enqueue(workshop.add.job(1))
    house.start(store=Slow(house.app.store), lease=1.0)
    assert job.result(timeout=15) == 2
    assert (job.refresh().claims, job.attempt) == (2, 1)


def test_an_exchange_whose_answer_was_lost_is_repeated_without_harm(
    house: House, faulty: FaultyStore
) -> None:
    """What it had claimed is found again, what it had settled is not called lost."""
    losses = house.hear(LeasesLost)
    jobs = house.app.enqueue_many(workshop.fail_until.job(1) for _ in range(300))
    faulty.commit_and_fail("exchange", times=3)
    house.start(store=faulty)
    assert {job.attempt for job in house.ended(*jobs)} == {1}
    faulty.commit_and_fail("exchange", times=2)
    more = house.app.enqueue_many(workshop.add.job(n) for n in range(20))
    assert {(job.attempt, job.state) for job in house.ended(*more)} == {(1, State.COMPLETED)}
    assert faulty.failed["exchange"] == 5
    assert losses == []
    assert house.app.check() == []


def test_a_failed_heartbeat_is_repeated_before_the_lease_ends(inside: House) -> None:
    faulty = FaultyStore(inside.app.store)
    losses = inside.hear(LeasesLost)
    inside.start(store=faulty, lease="0.5s")
    gate = inside.gate()
    job = inside.app.enqueue(workshop.gated.job(str(gate)))
    gate.await_arrival()
    for times in range(1, 4):
        faulty.fail("heartbeat")
        eventually(partial(faulty.has_failed, "heartbeat", times))
    gate.let_go()
    assert job.result(timeout=15) == 1
    assert losses == []


def test_a_job_whose_lease_cannot_be_renewed_is_stopped_before_it_ends(
    house: House, faulty: FaultyStore
) -> None:
    losses = house.hear(LeasesLost)
    house.start(store=faulty, lease="0.5s")
    gate = house.gate()
    note = house.folder / "note"
    job = house.app.enqueue(workshop.forever.job(str(gate), str(note)))
    gate.await_arrival()
    faulty.go_away("heartbeat", "exchange", "reclaim")
    eventually(note.exists)
    eventually(lambda: losses)
    assert losses[0].numbers == (job.number,)
    faulty.come_back()
    [job] = house.ended(job)
    assert (job.state, job.reason) == (State.FAILED, "worker lost")


def test_an_outcome_that_was_late_counts_if_nobody_took_the_job(
    house: House, faulty: FaultyStore
) -> None:
    losses = house.hear(LeasesLost)
    house.start(store=faulty, lease="1s")
    job = _ended_while_away(house, faulty)
    faulty.come_back()
    assert job.result(timeout=15) == 1
    assert losses == []
    assert house.app.enqueue(workshop.add.job(1)).result(timeout=15) == 2
    assert house.app.check() == []


def test_an_outcome_that_was_late_changes_nothing_if_the_job_was_taken(
    house: House, faulty: FaultyStore
) -> None:
    losses = house.hear(LeasesLost)
    house.start(store=faulty, lease="1s")
    job = _ended_while_away(house, faulty)
    _take_over(house, patience=300_000_000)
    faulty.come_back()
    eventually(lambda: losses)
    assert house.state(job) is State.RETRYING
    assert house.app.enqueue(workshop.add.job(1)).result(timeout=15) == 2
    assert [event.numbers for event in losses] == [(job.number,)]


def _ended_while_away(house: House, faulty: FaultyStore) -> Job[int]:
    """A job that has ended, but its lease, too, before that could be written."""
    gate = house.gate()
    job = house.app.enqueue(workshop.gated.job(str(gate)))
    gate.await_arrival()
    faulty.go_away("heartbeat", "exchange", "reclaim", "upkeep")
    gate.let_go()
    eventually(lambda: faulty.failed["exchange"])
    threading.Event().wait(1.3)  # nothing tells that a lease has ended
    assert house.state(job) is State.RUNNING
    return job


def _take_over(house: House, patience: int) -> None:
    """Settle as lost what is held, as somebody does who finds that its leases have ended."""
    store, now = house.app.store, clock.now()
    later = Now(now.wall, now.lease + 3_600_000_000)
    grant = Grant(token=new_token(), worker="successor", lease=60_000_000)
    jobs = store.reclaim(grant, 10, now=later)
    error = JobError(attempt=1, type="WorkerLost", message="taken over")
    losses = [decide(job, Lost(error)) for job in jobs]
    store.exchange([msgspec.structs.replace(each, delay=patience) for each in losses])


def test_jobs_whose_claim_was_never_answered_go_back_and_are_not_counted(
    house: House, faulty: FaultyStore
) -> None:
    """They were never begun, however long the store was away."""
    losses = house.hear(LeasesLost)
    house.start(store=faulty, lease="0.4s")
    faulty.go_away("heartbeat", "reclaim", "upkeep")
    faulty.commit_and_fail("exchange", times=100)
    jobs = house.app.enqueue_many(workshop.fail_until.job(1) for _ in range(5))
    eventually(lambda: house.app.counts()["default"][State.RUNNING] == 5)
    faulty.go_away("exchange")
    threading.Event().wait(0.6)  # nothing tells that a lease has ended
    faulty.heal()
    assert {job.attempt for job in house.ended(*jobs)} == {1}
    assert losses == []


def test_a_job_that_the_store_says_is_held_but_nobody_has_is_settled_as_lost(
    house: House,
) -> None:
    """Whatever went wrong between the store, the worker and its children."""
    store = Forgetful(house.app.store)
    house.start(store=store, lease="1s")
    gate = house.gate()
    store.forget_next = True
    job, running = house.app.enqueue_many(
        [workshop.fail_until.job(1), workshop.gated.job(str(gate))]
    )
    gate.await_arrival()
    [job] = house.ended(job)
    assert (job.state, job.attempt) == (State.COMPLETED, 2)
    [error] = house.app.store.history(job.id.bytes)
    assert (error.type, error.reason) == ("WorkerLost", "worker lost")
    gate.let_go()
    assert running.result(timeout=15) == 1
    assert house.app.check() == []


class Forgetful(FaultyStore):
    """Once, it keeps the first of the jobs of a claim to itself. The others keep its lease up."""

    forget_next = False

    def exchange(self, transitions: Any, claim: Any = None) -> Exchanged:
        answer: Exchanged = self._call("exchange", self._store.exchange, (transitions, claim), {})
        if not (self.forget_next and answer.jobs):
            return answer
        self.forget_next = False
        return msgspec.structs.replace(answer, jobs=answer.jobs[1:])


def test_a_store_that_only_heartbeats_miss_is_told_lost_and_back_once(inside: House) -> None:
    """All places are taken by long jobs: there is nothing to claim and nothing to write."""
    lost, back = inside.hear(StoreLost), inside.hear(StoreBack)
    faulty = FaultyStore(inside.app.store)
    gate = inside.gate()
    job = inside.app.enqueue(workshop.gated.job(str(gate)))
    inside.start(store=faulty, lease="3s")
    gate.await_arrival()
    faulty.go_away("heartbeat")
    eventually(lambda: lost)
    eventually(partial(faulty.has_failed, "heartbeat", 3))
    faulty.come_back()
    eventually(lambda: back)
    assert (len(lost), len(back)) == (1, 1)
    assert "heartbeat fails on purpose" in lost[0].error
    gate.let_go()
    assert job.result(timeout=15) == 1


def test_a_heartbeat_that_finds_the_store_damaged_ends_the_worker(inside: House) -> None:
    faulty = FaultyStore(inside.app.store)
    worker = inside.start(store=faulty, lease="0.3s")
    faulty.go_away("heartbeat", error=StoreDamaged("on purpose"))
    with pytest.raises(StoreDamaged, match="on purpose"):
        worker.join()


def test_a_store_that_is_damaged_ends_the_worker(inside: House) -> None:
    faulty = FaultyStore(inside.app.store)
    worker = inside.start(store=faulty)
    faulty.go_away("exchange", error=StoreDamaged("on purpose"))
    inside.app.enqueue(workshop.add.job(1))
    with pytest.raises(StoreDamaged, match="on purpose"):
        worker.join()


def test_a_worker_stops_while_the_store_is_away(outside: House) -> None:
    faulty = FaultyStore(outside.app.store)
    worker = outside.start(store=faulty)
    gate = outside.gate()
    job = outside.app.enqueue(workshop.gated.job(str(gate)))
    gate.await_arrival()
    faulty.go_away("exchange", "heartbeat", "upkeep", "reclaim")
    gate.let_go()
    worker.stop(0.1)
    assert outside.state(job) is State.RUNNING


def test_the_jobs_of_a_worker_that_was_killed_run_elsewhere(outside: House) -> None:
    gate = outside.gate()
    job = outside.app.enqueue(workshop.gated.job(str(gate)))
    with process(outside) as worker:
        gate.await_arrival()
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    outside.start()
    gate.await_arrival()
    gate.let_go()
    assert job.result(timeout=15) == 2
    [error] = outside.app.store.history(job.id.bytes)
    assert error.type == "WorkerLost"


def test_a_worker_that_slept_through_its_lease_drops_what_is_no_longer_its_own(
    outside: House,
) -> None:
    """A suspended laptop, a stopped process: the successor's result stands."""
    asleep, awake = outside.gate(), outside.gate()
    job = outside.app.enqueue(workshop.gated_by_attempt.job([str(asleep), str(awake)]))
    with process(outside, lease="1h") as worker:
        asleep.await_arrival()
        _put_to_sleep(worker, outside)
        _take_over(outside, patience=0)
        outside.start()
        awake.await_arrival()
        worker.send_signal(signal.SIGCONT)
        asleep.let_go()
        awake.let_go()
        assert job.result(timeout=15) == 2
        assert outside.app.check() == []
        assert worker.poll() is None


def _put_to_sleep(worker: subprocess.Popen[bytes], house: House) -> None:
    """Suspend the process, but not in the middle of a write: nobody else could write then."""
    while True:
        worker.send_signal(signal.SIGSTOP)
        os.waitpid(worker.pid, os.WUNTRACED)
        connection = sqlite3.connect(f"{house.folder}/jobs.db", timeout=0, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError:
            worker.send_signal(signal.SIGCONT)
        finally:
            connection.close()


def test_a_worker_ends_with_an_error_when_its_file_is_removed(house: House) -> None:
    """Another one there would not be its own: whoever watches over it starts it anew."""
    worker = house.start(lease="0.6s")
    assert house.app.enqueue(workshop.add.job(1, 1)).result(timeout=15) == 2
    for path in house.folder.glob("jobs.db*"):
        path.unlink()
    with pytest.raises(StoreGone, match="removed or replaced"):
        worker.join()
