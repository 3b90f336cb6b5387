"""Eight processes work on one file at once: nobody starves, nothing is lost, counts stay exact."""

import subprocess
import sys
from pathlib import Path

import pytest

from mainspring.engines import open_store
from mainspring.job import State

PROCESSES, JOBS = 8, 400

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]

PART = """
import sys
from mainspring.engines import open_store
from mainspring.ids import new_ids, new_token
from mainspring.job import NewJob, State, Transition
from mainspring.store import Claim, Grant

url, jobs = sys.argv[1], int(sys.argv[2])
store = open_store(url)
store.open()
for id in new_ids(jobs):
    store.insert([NewJob(id=id, task="t", payload=b"{}")])
done, settle = 0, []
while True:
    grant = Grant(token=new_token(), worker="storm", lease=60_000_000)
    answer = store.exchange(settle, Claim(grant=grant, limit=7, slots=7))
    assert not answer.lost
    settle = [Transition(j.number, j.token, State.COMPLETED) for j in answer.jobs]
    done += len(settle)
    if not settle:
        break
store.close()
print(done)
"""


def test_eight_processes_share_one_file_without_an_error_or_a_loss(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/storm.db"
    parts = [
        subprocess.Popen(
            [sys.executable, "-c", PART, url, str(JOBS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(PROCESSES)
    ]
    told = [part.communicate(timeout=100) for part in parts]
    assert [err.decode() for _, err in told if err] == []
    assert sum(int(out) for out, _ in told) == PROCESSES * JOBS
    store = open_store(url)
    store.open()
    assert store.counts()["default"][State.COMPLETED] == PROCESSES * JOBS
    assert store.check() == []
    store.close()
