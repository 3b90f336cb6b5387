"""What was acknowledged has reached the disk, so that it outlives a power failure, and a disk that
refuses once has lost nothing when it takes again."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mainspring.engines import open_store
from mainspring.job import Select

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]

SCRIPT = """
import os, sys
from mainspring.cells import Add, Put
from mainspring.engines import open_store
from mainspring.errors import StoreUnavailable
from mainspring.job import NewJob, Policy, Select, State, Transition
from mainspring.posts import NewPost
from mainspring.retry import Backoff
from mainspring.store import Claim, Grant

def say(word):
    os.write(1, word.encode() + b"\\n")

def surely(call):
    while True:
        try:
            return call()
        except StoreUnavailable:
            say("refused")

store = open_store(sys.argv[1])
store.open()
for n in range(1, 6):
    job = NewJob(id=bytes([n]) * 16, task="t", payload=b"{}", unique=f"u{n}")
    surely(lambda: store.insert([job]))
    say("inserted")
again = NewJob(id=bytes([9]) * 16, task="t", payload=b"{}", unique="u1")
surely(lambda: store.insert([again]))
say("duplicate")
claim = Claim(grant=Grant(token=7, worker="w", lease=60_000_000), limit=3, slots=3)
jobs = surely(lambda: store.exchange([], claim)).jobs
say("claimed")
surely(lambda: store.exchange([Transition(j.number, j.token, State.COMPLETED) for j in jobs]))
say("finished")
surely(lambda: store.cancel(Select(ids=(bytes([5]) * 16,))))
say("cancelled")
last = NewJob(id=bytes([7]) * 16, task="t", payload=b"{}", queue="q", policy=Policy(Backoff(0)))
surely(lambda: store.insert([last]))
say("inserted")
grant = Grant(token=8, worker="w", lease=60_000_000)
surely(lambda: store.exchange([], Claim(grant=grant, limit=1, slots=1, queues=("q",))))
say("careful")
surely(lambda: store.kv_set([Put("k", b"1")]))
say("kept")
surely(lambda: store.kv_add([Add("k", 1)]))
say("added")
surely(lambda: store.kv_touch(["k"], 60_000_000))
say("touched")
surely(lambda: store.kv_delete(["k"]))
say("removed")
surely(lambda: store.post([NewPost("t", b"1")]))
say("posted")
os._exit(0)
"""


def test_what_is_acknowledged_has_been_synced_before(tmp_path: Path) -> None:
    trace = _traced(tmp_path, "trace=pwrite64,fdatasync,fsync,write")
    unsynced, said = False, []
    for line in trace:
        if "-wal>" in line and "pwrite64(" in line:
            unsynced = True
        elif "-wal>" in line and "sync(" in line:
            unsynced = False
        elif word := re.search(r'write\(1<.*"(\w+)\\n"', line):
            said.append(word[1])
            # When the power fails, whoever held a claim is gone as well; but a last attempt, which
            # may be what made it fail, is counted before it begins.
            assert not unsynced or word[1] == "claimed", f"{word[1]} was said before it was synced"
    assert said == [
        *["inserted"] * 5,
        "duplicate",
        "claimed",
        "finished",
        "cancelled",
        "inserted",
        "careful",
        "kept",
        "added",
        "touched",
        "removed",
        "posted",
    ]


def test_who_hears_of_a_duplicate_can_rely_on_the_first_of_them(tmp_path: Path) -> None:
    """The first one may be on its way to the disk when the second is answered."""
    trace = _traced(tmp_path, "trace=fdatasync,write")
    words = [line for line in trace if "write(1<" in line or "-wal>" in line]
    at = next(n for n, line in enumerate(words) if '"duplicate' in line)
    assert "fdatasync(" in words[at - 1]


@pytest.mark.parametrize("number", range(1, 9))
def test_a_disk_that_refuses_to_sync_once_loses_nothing(tmp_path: Path, number: int) -> None:
    trace = _traced(
        tmp_path, "trace=fdatasync,write", "-e", f"inject=fdatasync:error=EIO:when={number}"
    )
    assert any('"finished' in line for line in trace)
    assert any('"cancelled' in line for line in trace)
    store = open_store(f"sqlite:///{tmp_path}/jobs.db")
    store.open()
    assert store.check() == []
    assert len(store.find(Select())) == 6
    store.close()


def _traced(folder: Path, *options: str) -> list[str]:
    """What the script did, a call a line."""
    url = f"sqlite:///{folder}/jobs.db"
    store = open_store(url)
    store.open()
    store.close()
    log = folder / "trace"
    command = ["strace", "-f", "-y", "-qq", "-o", str(log), "-e", *options]
    run = subprocess.run(
        [*command, sys.executable, "-c", SCRIPT, url], capture_output=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr.decode()
    return log.read_text().splitlines()
