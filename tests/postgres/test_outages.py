"""Servers that go away: the store comes back with them, and nothing is lost or done twice."""

import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mainspring.engines import open_store
from mainspring.errors import StoreFull, StoreUnavailable, UniqueBusy
from mainspring.ids import new_token
from mainspring.job import Select, State, Succeeded
from mainspring.lifecycle import decide
from mainspring.store import Claim, Grant, Presence, Store
from tests.contract.stage import assert_sound, ids, new
from tests.servers.postgres import Server

Session = psycopg.Connection[Any]

OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND application_name = 'mainspring'
  AND datname = current_database()
"""


def claim(store: Store, limit: int = 100) -> Any:
    grant = Grant(token=new_token(), worker="w", lease=60_000_000)
    return store.exchange([], Claim(grant=grant, limit=limit, slots=limit)).jobs


def test_terminated_back_ends_are_replaced_unnoticed(store: Store, session: Session) -> None:
    for n in range(1, 4):
        store.insert([new()])
        session.execute(OTHERS)
        store.insert([new()])
        assert store.counts()["default"][State.PENDING] == 2 * n


def test_back_ends_terminated_at_work_lose_and_double_nothing(
    store: Store, session: Session
) -> None:
    jobs = [new() for _ in range(400)]
    over = threading.Event()

    def insist(act: Any) -> Any:
        while True:
            try:
                return act()
            except StoreUnavailable:
                pass

    def produce() -> None:
        for at in range(0, 400, 2):
            insist(lambda at=at: store.insert(jobs[at : at + 2]))

    seen: list[bytes] = []

    def work() -> None:
        done: list[Any] = []
        while not over.is_set() or done:
            grant = Grant(token=new_token(), worker="w", lease=60_000_000)
            wish = Claim(grant=grant, limit=7, slots=7)
            answer = insist(lambda done=done, wish=wish: store.exchange(done, wish))
            assert answer.lost == ()
            seen.extend(ids(answer.jobs))
            done = [decide(job, Succeeded()) for job in answer.jobs]

    threads = [threading.Thread(target=produce), *(threading.Thread(target=work) for _ in "ab")]
    for thread in threads:
        thread.start()
    while threads[0].is_alive():
        session.execute(OTHERS)
        time.sleep(0.05)
    end = time.monotonic() + 20
    while insist(store.counts)["default"][State.COMPLETED] < 400 and time.monotonic() < end:
        time.sleep(0.02)
    over.set()
    for thread in threads:
        thread.join(20)
    assert sorted(seen) == sorted(ids(jobs))
    assert store.counts()["default"][State.COMPLETED] == 400


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_a_restarted_server_is_found_again(server: Server, how: signal.Signals) -> None:
    store = open_store(server.url)
    store.insert([new(), new()])
    held = claim(store, 1)
    server.end(how)
    with pytest.raises(StoreUnavailable):
        store.insert([new()])
    server.start()
    assert store.exchange([decide(held[0], Succeeded())]).lost == ()
    assert len(claim(store)) == 1
    assert_sound(store)
    store.close()


STANDS_STILL = """
import os, signal, sys
from mainspring.engines import open_store
from mainspring.engines.postgres import writer
from mainspring.engines.postgres.step import Step
from mainspring.job import NewJob, State, Transition
from mainspring.store import Claim, Grant

url, verb = sys.argv[1:]
shorter = writer.BEGIN.replace(b"session_timeout = '10s'", b"session_timeout = '1s'")
assert shorter != writer.BEGIN
store = open_store(url)
claim = Claim(grant=Grant(token=7, worker="still", lease=500_000), limit=1, slots=1)
jobs = store.exchange([], claim).jobs
ends = [Transition(job.number, job.token, State.COMPLETED) for job in jobs]
twin = NewJob(id=bytes(15) + b"1", task="t", payload=b"{}", unique="k")
writer.BEGIN, finish = shorter, Step.finish

def stand_still(step):
    Step.finish = finish
    finish(step)
    os.write(1, b"all is written but the commit\\n")
    os.kill(os.getpid(), signal.SIGSTOP)

Step.finish = stand_still
lost = verb == "finish" and store.exchange(ends).lost
duplicate = verb == "insert" and store.insert([twin])[0].duplicate_of
print("too late" if lost or duplicate else "done")
"""


def standing_still(url: str, verb: str) -> subprocess.Popen[bytes]:
    """A process that was stopped in the middle of a transaction."""
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", STANDS_STILL, url, verb], cwd=root, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"all is written")
    return process


def going_on(process: subprocess.Popen[bytes]) -> str:
    """What it says in the end."""
    process.send_signal(signal.SIGCONT)
    said, _ = process.communicate(timeout=30)
    return said.decode().strip()


def test_who_stands_still_in_the_middle_of_a_finish_keeps_the_job_from_nobody(
    store: Store, url: str
) -> None:
    job = new()
    store.insert([job])
    process = standing_still(url, "finish")
    others = [new() for _ in range(10)]
    store.insert(others)
    held = claim(store)
    assert ids(held) == ids(others)
    store.exchange([decide(each, Succeeded()) for each in held])
    grant = Grant(token=new_token(), worker="w", lease=60_000_000)
    end = time.monotonic() + 20
    while not (taken := store.reclaim(grant, 10)):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert ids(taken) == [job.id]
    assert store.exchange([decide(taken[0], Succeeded())]).lost == ()
    assert going_on(process) == "too late"
    assert store.counts()["default"][State.COMPLETED] == 11


def test_who_stands_still_in_the_middle_of_an_insert_keeps_the_key_from_nobody(
    store: Store, url: str
) -> None:
    process = standing_still(url, "insert")
    mine = new(unique="k")
    end = time.monotonic() + 20
    while True:
        try:
            (stored,) = store.insert([mine])
            break
        except UniqueBusy:
            assert time.monotonic() < end
    assert stored.duplicate_of is None
    assert going_on(process) == "too late"
    assert store.counts()["default"][State.PENDING] == 1


def test_a_signal_outlives_the_server(server: Server) -> None:
    store = open_store(server.url)
    heard = store.listen()
    server.end(signal.SIGQUIT)
    server.start()
    end = time.monotonic() + 20
    while not heard.wait(0.5):  # it rings when it listens again
        assert time.monotonic() < end
    while heard.wait(0.1):
        pass
    store.insert([new()])
    assert heard.wait(20)
    heard.close()
    store.close()


def test_a_listener_that_is_terminated_listens_again(store: Store, session: Session) -> None:
    heard = store.listen()
    while heard.wait(0.1):
        pass
    session.execute(OTHERS)
    assert heard.wait(20)
    store.insert([new()])
    assert heard.wait(20)
    heard.close()


def test_without_a_listener_a_signal_waits_and_nothing_else(url: str) -> None:
    store = open_store(f"{url}&listen=off")
    heard = store.listen()
    store.insert([new()])
    assert not heard.wait(0.05)
    assert any("listen" in warning for warning in store.health().warnings)
    heard.close()
    store.close()


def test_who_has_a_connection_works_on_while_all_others_are_refused(server: Server) -> None:
    store = open_store(server.url)
    store.insert([first := new()])
    crowd = [psycopg.connect(server.url) for _ in range(39)]  # and one for the store
    try:
        (held,) = claim(store)
        assert held.id == first.id
        assert store.exchange([decide(held, Succeeded())]).lost == ()
        with pytest.raises(StoreUnavailable, match="too many clients"):
            open_store(server.url)
        # A second thread needs a second connection.
        with store._parts.writer.lend(), pytest.raises(StoreUnavailable, match="too many"):  # type: ignore[attr-defined]
            claim(store)
    finally:
        for connection in crowd:
            connection.close()
    store.insert([new()])
    assert [job.attempt for job in claim(store)] == [1]
    assert_sound(store)
    store.close()


def test_a_verb_in_a_deadlock_with_somebody_else_is_done_in_the_end(
    store: Store, session: Session, schema: str
) -> None:
    store.insert([new(), new()])
    low, high = claim(store)
    lock = "UPDATE running SET losses = losses WHERE number = %s"
    session.execute(f"SET search_path TO {schema}")
    session.execute("BEGIN; SET LOCAL deadlock_timeout = '3s'")  # the other is the victim
    session.execute(lock, (high.number,))
    done = threading.Thread(
        target=store.cancel, args=(Select(states=(State.RUNNING,)),), kwargs={"reason": "stop"}
    )
    done.start()
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    end = time.monotonic() + 20
    while session.execute(waits).fetchall() == [(0,)]:
        assert time.monotonic() < end
    with suppress(psycopg.errors.DeadlockDetected):
        session.execute(lock, (low.number,))
    session.execute("ROLLBACK")
    done.join(20)
    presence = Presence(id="w", host="h", pid=1, started=1, state="running")
    pulse = store.heartbeat(presence, [low.token], 60_000_000)
    assert pulse.cancel == (low.number, high.number)


def test_a_serializable_default_changes_nothing(server: Server) -> None:
    with psycopg.connect(server.url, autocommit=True) as session:
        session.execute("ALTER DATABASE postgres SET default_transaction_isolation='serializable'")
    store = open_store(server.url)
    parents = [new() for _ in range(4)]
    store.insert([*parents, child := new().after(*parents)])
    held = claim(store)
    threads = [
        threading.Thread(target=store.exchange, args=([decide(job, Succeeded())],)) for job in held
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ids(claim(store)) == [child.id]
    assert_sound(store)
    store.close()


def test_what_the_server_says_is_told_in_our_words() -> None:
    from mainspring.engines.postgres.trouble import translated

    assert isinstance(translated(psycopg.errors.DiskFull("no"), "p"), StoreFull)
    assert isinstance(translated(psycopg.errors.OutOfMemory("no"), "p"), StoreFull)
    assert type(translated(psycopg.errors.AdminShutdown("x"), "p")) is StoreUnavailable
    assert type(translated(psycopg.OperationalError("x"), "p")) is StoreUnavailable
    assert translated(psycopg.errors.SyntaxError("x"), "p") is None
