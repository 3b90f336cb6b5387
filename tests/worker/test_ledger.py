"""One outcome that cannot be written does not hold up the others."""

import threading
import time

from mainspring.engines import open_store
from mainspring.ids import new_ids, new_token
from mainspring.job import NewJob, Select, State, Transition
from mainspring.store import Claim, Exchanged, Grant
from mainspring.worker.ledger import Ledger, Round


class Desk:
    """Waits for the round."""

    def __init__(self) -> None:
        self.done = threading.Event()

    def written(self, round: Round, answer: Exchanged) -> None:
        self.done.set()

    def away(self, error: str) -> None: ...

    def back(self) -> None: ...

    def broken(self, error: BaseException) -> None: ...


def test_an_outcome_that_cannot_be_written_fails_its_own_job_and_no_other() -> None:
    store = open_store("sqlite://:memory:")
    store.insert([NewJob(id=id, task="t", payload=b"{}") for id in new_ids(3)])
    grant = Grant(token=new_token(), worker="w", lease=60_000_000)
    jobs = store.exchange([], Claim(grant=grant, limit=3, slots=3)).jobs
    ends = [Transition(job.number, job.token, State.COMPLETED) for job in jobs]
    ends[1] = Transition(jobs[1].number, jobs[1].token, State.CANCELLED, reason="\ud800")
    desk = Desk()
    ledger = Ledger(store, desk, holds=lambda token: True, tell=lambda notes: None)
    ledger.submit(Round(ends, [], None, time.monotonic()))
    assert desk.done.wait(20)
    ledger.close()
    found = store.find(Select())
    assert [job.state for job in found] == [State.COMPLETED, State.FAILED, State.COMPLETED]
    assert found[1].error is not None
    assert "could not be written" in found[1].error.message
    assert store.check() == []
    store.close()
