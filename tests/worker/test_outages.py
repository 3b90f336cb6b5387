"""The store goes away and comes back; leases are lost; nothing is done twice without a reason."""

import signal
from functools import partial

import pytest

from mainspring.errors import StoreDamaged
from mainspring.events import LeasesLost, StoreBack, StoreLost
from mainspring.job import State
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


def test_an_outcome_that_could_not_be_written_in_time_is_dropped(
    house: House, faulty: FaultyStore
) -> None:
    """The job is somebody else's by then; here, again this worker's."""
    house.start(store=faulty, lease="0.4s")
    gate = house.gate()
    job = house.app.enqueue(workshop.gated.job(str(gate)))
    gate.await_arrival()
    faulty.go_away("heartbeat", "exchange", "reclaim", "upkeep")
    gate.let_go()
    losses = house.hear(LeasesLost)
    eventually(lambda: losses)
    faulty.come_back()
    gate.await_arrival()
    gate.let_go()
    assert job.result(timeout=15) == 2


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
    outside.start(lease="0.5s")
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
    with process(outside) as worker:
        asleep.await_arrival()
        worker.send_signal(signal.SIGSTOP)
        outside.start(lease="0.5s")
        awake.await_arrival()
        worker.send_signal(signal.SIGCONT)
        asleep.let_go()
        awake.let_go()
        assert job.result(timeout=15) == 2
        assert outside.app.check() == []
        assert worker.poll() is None
