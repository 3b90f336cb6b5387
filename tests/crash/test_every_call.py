"""A process is killed at each of its writes and syncs; whatever it was told has happened."""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mainspring.engines import open_store
from mainspring.ids import new_token
from mainspring.job import JobError, Lost, NewJob, Select, State
from mainspring.lifecycle import decide
from mainspring.store import Claim, Grant

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

SCRIPT = """
import os, sys
from mainspring.engines import open_store
from mainspring.ids import new_token
from mainspring.job import NewJob, State, Transition
from mainspring.store import Claim, Grant

def say(word):
    os.write(1, word.encode() + b"\\n")

store = open_store(sys.argv[1])
store.open()
say("open")
store.insert([NewJob(id=bytes([n]) * 16, task="t", payload=b"{}", unique=f"u{n}") for n in (1, 2)])
say("inserted")
grant = Grant(token=7, worker="w", lease=1)
jobs = store.exchange([], Claim(grant=grant, limit=2, slots=2)).jobs
say("claimed")
store.exchange([Transition(job.number, job.token, State.COMPLETED) for job in jobs])
say("finished")
store.close()
say("closed")
"""

OPEN = """
import os, sys
from mainspring.engines import open_store

store = open_store(sys.argv[1])
store.open()
store.close()
os.write(1, b"closed\\n")
"""

CALLS = [("write", 1), ("fdatasync", 1), ("ftruncate", 1), ("unlink", 1), ("pwrite64", 6)]
"""Counted one by one: the kill comes at the n-th call of each kind, n = 1, 2, 3 …, in so many
parts, which can be tried at the same time."""
PARTS = [(call, first, parts) for call, parts in CALLS for first in range(1, parts + 1)]


@pytest.mark.parametrize(("call", "first", "step"), PARTS)
def test_a_kill_at_any_write_or_sync_loses_nothing_that_was_acknowledged(
    tmp_path: Path, call: str, first: int, step: int
) -> None:
    assert shutil.which("strace"), "this test needs strace (apt install strace)"
    template = tmp_path / "template.db"
    store = open_store(f"sqlite:///{template}")
    store.open()
    store.close()
    points = 0
    for number in itertools.count(first, step):
        url = f"sqlite:///{tmp_path}/{call}-{number}.db"
        shutil.copy(template, url.removeprefix("sqlite:///"))
        said = _killed_at(call, number, url)
        _judge(url, said, f"{call} number {number}")
        if "closed" in said:
            break
        points += 1
    assert points >= (4 if step > 1 else 1), "too few calls were reached to be evidence"


@pytest.mark.parametrize("call", ["fdatasync", "pwrite64", "unlink", "ftruncate"])
def test_a_kill_while_a_store_is_made_leaves_one_that_can_be_made(
    tmp_path: Path, call: str
) -> None:
    # Writes are many and alike: every seventh, beginning with the first.
    step = 7 if call == "pwrite64" else 1
    for number in itertools.count(1, step):
        url = f"sqlite:///{tmp_path}/{call}-{number}.db"
        said = _killed_at(call, number, url, OPEN)
        store = open_store(url)
        store.open()
        assert store.check() == [], f"killed at {call} number {number}"
        store.insert([NewJob(id=bytes(16), task="t", payload=b"{}")])
        store.close()
        if "closed" in said:
            break
    assert number > 1 or call in ("unlink", "ftruncate"), "it made no such call: no evidence"


def _killed_at(call: str, number: int, url: str, script: str = SCRIPT) -> set[str]:
    """What the script said before it was killed at its so-many-th call of this kind."""
    inject = f"inject={call}:signal=SIGKILL:when={number}"
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", inject]
    run = subprocess.run(
        [*command, sys.executable, "-c", script, url], capture_output=True, timeout=60, check=False
    )
    assert b"Traceback" not in run.stderr, run.stderr.decode()
    return set(run.stdout.decode().split())


def _judge(url: str, said: set[str], at: str) -> None:
    store = open_store(url)
    store.open()
    try:
        assert store.check() == [], f"killed at {at}, after {said}"
        jobs = store.find(Select())
        assert len(jobs) in ((2,) if "inserted" in said else (0, 2))
        if "finished" in said:
            assert {job.state for job in jobs} == {State.COMPLETED}
        grant = Grant(token=new_token(), worker="judge", lease=60_000_000)
        taken = store.reclaim(grant, 10)
        error = JobError(attempt=1, type="WorkerLost", message="killed")
        store.exchange([decide(job, Lost(error)) for job in taken])
        claim = Claim(
            grant=Grant(token=new_token(), worker="j", lease=60_000_000), limit=9, slots=9
        )
        store.exchange([], claim)
        assert store.check() == []
    finally:
        store.close()
