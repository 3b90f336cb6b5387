"""Servers that go away: the store comes back with them, and nothing is lost or done twice."""

import signal
import threading
import time
from typing import Any

import psycopg
import pytest

from mainspring.engines import open_store
from mainspring.errors import StoreFull, StoreUnavailable
from mainspring.ids import new_token
from mainspring.job import State, Succeeded
from mainspring.lifecycle import decide
from mainspring.store import Claim, Grant, Store
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
    assert heard.wait(0.05) is False
    assert any("listen" in warning for warning in store.health().warnings)
    heard.close()
    store.close()


def test_too_many_connections_pass(server: Server) -> None:
    store = open_store(server.url)
    crowd = []
    try:
        while len(crowd) < 100:
            crowd.append(psycopg.connect(server.url.replace("tests@", "nobody@")))
    except psycopg.OperationalError:
        pass
    for connection in crowd:
        connection.close()
    store.insert([new()])
    assert len(claim(store)) == 1
    store.close()


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
