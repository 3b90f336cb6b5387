"""Jobs of one kind do not pay for those of another, nor for what other code on the loop does."""

from mainspring.job import State
from tests.worker import workshop
from tests.worker.conftest import House


def test_long_functions_on_all_threads_keep_no_coroutine_waiting(house: House) -> None:
    house.start(threads=2)
    gates = [house.gate(), house.gate()]
    held = [house.app.enqueue(workshop.gated.job(str(gate))) for gate in gates]
    for gate in gates:
        gate.await_arrival()
    waiting = house.app.enqueue(workshop.add.job(1))
    assert house.app.enqueue(workshop.aadd.job(1)).result(timeout=15) == 2
    assert house.state(waiting) is State.PENDING
    for gate in gates:
        gate.let_go()
    assert [job.result(timeout=15) for job in [*held, waiting]] == [1, 1, 2]


def test_a_reason_that_is_no_text_ends_its_own_job_and_no_other(house: House) -> None:
    house.start()
    job = house.app.enqueue(workshop.cancel_with_surrogate.job())
    after = house.app.enqueue(workshop.add.job(1))
    [ended] = house.ended(job)
    assert ended.state is State.CANCELLED
    assert ended.reason == "no such file: caf\\udce9.txt"
    assert after.result(timeout=15) == 2


def test_a_timer_that_a_coroutine_left_behind_does_not_stop_the_others(house: House) -> None:
    house.start()
    for _ in range(3):
        house.app.enqueue(workshop.leave_timer.job(0.02)).result(timeout=15)
        house.app.enqueue(workshop.asleep.job(0.1)).result(timeout=15)
    jobs = house.app.enqueue_many(workshop.aadd.job(n) for n in range(20))
    assert [job.result(timeout=15) for job in jobs] == list(range(1, 21))
