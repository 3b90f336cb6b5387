"""What servers do to a store: end, start again, forget, run full, be busy, follow another."""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import redis

from mainspring.cells import Add, Put
from mainspring.durations import HOUR, SECOND
from mainspring.engines import open_store
from mainspring.errors import ConfigError, MainspringError, StoreFull, StoreUnavailable
from mainspring.job import Failed, Select, State, Succeeded
from mainspring.lifecycle import decide
from mainspring.store import Store
from tests.contract.stage import OOPS, Stage, Time, everything, ids, new
from tests.redis.conftest import Start, client_of
from tests.servers.redis import Server

PATIENCE = 20.0
"""Seconds after which something that should have come by itself has failed."""


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


# --- ends and starts -----------------------------------------------------------------------------


@pytest.mark.parametrize("fsync", ["always", "everysec"])
def test_everything_is_there_after_the_server_was_killed(start: Start, fsync: str) -> None:
    server = start("--appendonly", "yes", "--appendfsync", fsync)
    stage = Stage(open_store(server.url), Time())
    jobs = [stage.bring(state) for state in State]
    stage.put(queue="held", unique="k", tags=("t",))
    held = stage.take(queues=("held",))
    before = [stage.record(job) for job in jobs]
    server.kill()
    with pytest.raises(StoreUnavailable):
        stage.put()
    server.start()
    assert [stage.record(job) for job in jobs] == before
    assert stage.store.held([held.token]) == [held]
    assert stage.end(held, Succeeded()).lost == ()
    assert stage.store.check() == []
    stage.store.close()


def test_a_store_goes_on_when_its_connections_were_cut(server: Server) -> None:
    store = open_store(server.url)
    for _ in range(3):
        client_of(server).client_kill_filter(_type="normal", skipme=True)
        store.insert([new()])
    assert store.counts()["default"][State.PENDING] == 3
    store.close()


def test_a_signal_hears_again_after_its_connection_was_cut(server: Server) -> None:
    store = open_store(server.url)
    signal = store.listen()
    while signal.wait(0.05):
        pass
    client_of(server).client_kill_filter(_type="pubsub", skipme=True)
    assert signal.wait(PATIENCE)  # told to look, since something may have been missed
    while signal.wait(0.2):
        pass
    store.insert([new()])
    assert signal.wait(PATIENCE)
    signal.close()
    store.close()


def test_nobody_who_listens_is_left_behind(server: Server) -> None:
    store = open_store(server.url)
    signals = [store.listen() for _ in range(3)]
    for signal in signals:
        signal.close()
    until(lambda: client_of(server).pubsub_numsub("{mainspring}:wake:work")[0][1] == 0)
    again = store.listen()
    while again.wait(0.05):
        pass
    store.insert([new()])
    assert again.wait(PATIENCE)
    store.close()


# --- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_server_that_throws_keys_away_is_refused(start: Start, policy: str) -> None:
    server = start("--maxmemory-policy", policy)
    with pytest.raises(ConfigError, match="noeviction"):
        open_store(server.url)
    client_of(server).config_set("maxmemory-policy", "noeviction")
    store = open_store(server.url)
    client_of(server).config_set("maxmemory-policy", policy)
    assert any(policy in warning for warning in store.health().warnings)
    store.close()


def test_a_full_server_takes_and_begins_nothing_loses_nothing_and_heals(server: Server) -> None:
    stage = Stage(open_store(server.url), Time())
    first = stage.put_many(5)
    one, two, three = stage.claim(3)
    admin = client_of(server)
    admin.config_set("maxmemory", 1)
    for refused in (stage.put, stage.claim):
        with pytest.raises(StoreFull):
            refused()
    assert ids(reversed(everything(stage.store))) == ids(first)
    assert any("memory" in warning for warning in stage.store.health().warnings)
    # What runs goes on: leases are renewed, ends are written, what may go is removed.
    assert stage.heartbeat(one.token).lost == ()
    changes = [decide(one, Succeeded(b"1")), decide(two, Failed(OOPS))]
    answer = stage.store.exchange(changes, stage.wish(), now=stage.now)
    assert (answer.jobs, answer.lost) == ([], ())
    assert stage.states(*first[:3]) == [State.COMPLETED, State.RETRYING, State.RUNNING]
    assert stage.store.delete(Select(ids=(one.id,)), now=stage.now).ids == (one.id,)
    assert stage.store.check() == []
    admin.config_set("maxmemory", 0)
    stage.complete([three])
    stage.put()
    assert len(stage.claim()) == 3
    assert stage.store.check() == []
    stage.store.close()


def test_a_full_server_takes_no_entries_and_lets_them_be_read_kept_and_removed(
    server: Server,
) -> None:
    stage = Stage(open_store(server.url), Time())
    store, now = stage.store, stage.now
    store.kv_set([Put("a", b"1"), Put("b", b"2", ttl=SECOND), Put("c", b"3")], now=now)
    admin = client_of(server)
    admin.config_set("maxmemory", 1)
    for refused in (
        lambda: store.kv_set([Put("d", b"1")], now=now),
        lambda: store.kv_add([Add("a", 1)], now=now),
    ):
        with pytest.raises(StoreFull):
            refused()
    assert store.kv_touch(["b"], HOUR, now=now) == [True]
    assert store.kv_delete(["c"], now=now) == 1
    stage.passes("1s")
    told = [(cell.key, cell.value) for cell in store.kv_scan(now=stage.now)]
    assert told == [("a", b"1"), ("b", b"2")]
    assert store.check() == []
    admin.config_set("maxmemory", 0)
    assert store.kv_add([Add("a", 1)], now=stage.now) == [2]
    store.close()


def test_a_waiting_job_of_a_hundred_bytes_takes_at_most_five_hundred(server: Server) -> None:
    store, admin, amount = open_store(server.url), client_of(server), 100_000
    before = admin.info("memory")["used_memory"]
    for _ in range(amount // 1000):
        store.insert([new(task="mail.send", payload=bytes(100)) for _ in range(1000)])
    assert (admin.info("memory")["used_memory"] - before) / amount <= 500
    store.close()


# --- servers that cannot serve -------------------------------------------------------------------


def test_a_busy_server_is_unavailable_and_comes_back(server: Server) -> None:
    store, admin = open_store(server.url), client_of(server)
    store.insert([new()])
    admin.config_set("busy-reply-threshold", 1)

    def block() -> None:
        with pytest.raises(redis.ResponseError):
            client_of(server).eval("while true do end", 0)

    blocker = threading.Thread(target=block)
    blocker.start()
    told: list[str] = []

    def busy() -> bool:
        try:
            store.insert([new()])
        except StoreUnavailable as error:
            told.append(str(error))
        return bool(told)

    until(busy)
    assert "BUSY" in told[0]
    admin.script_kill()
    blocker.join()
    store.insert([new()])
    assert store.check() == []
    store.close()


@pytest.fixture
def replica(start: Start, server: Server) -> Server:
    replica = start("--replicaof", "127.0.0.1", str(server.port))
    until(lambda: client_of(replica).info("replication")["master_link_status"] == "up")
    return replica


def test_a_replica_is_no_place_to_write(server: Server, replica: Server) -> None:
    with pytest.raises(StoreUnavailable, match="read only"):
        open_store(replica.url)


@pytest.mark.parametrize(
    "form",
    ["redis://{}", "redis+cluster://{}", "redis+sentinel://{}/main"],
    ids=["server", "cluster", "sentinel"],
)
def test_nobody_at_the_address_is_unavailable(server: Server, form: str) -> None:
    server.kill()
    with pytest.raises(StoreUnavailable) as refusal:
        open_store(form.format(f"127.0.0.1:{server.port}"))
    assert len(str(refusal.value)) < 250


@pytest.mark.parametrize(
    ("form", "words"),
    [("redis://{}/99", "DB index"), ("redis+sentinel://{}/main", "SENTINEL")],
    ids=["database", "sentinel"],
)
def test_what_the_server_does_not_have_is_a_mistake_in_the_address(
    server: Server, form: str, words: str
) -> None:
    place = f"127.0.0.1:{server.port}"
    with pytest.raises(ConfigError, match=f"redis {place}/.*{words}"):
        open_store(form.format(place))


def test_a_server_that_speaks_otherwise_is_a_mistake_in_the_address() -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        try:
            with pytest.raises(ConfigError, match="expected a Redis or Valkey server"):
                open_store(f"redis://127.0.0.1:{other.server_port}")
        finally:
            other.shutdown()
            thread.join()


def test_a_wrong_password_is_a_mistake_in_the_address(start: Start) -> None:
    server = start("--requirepass", "secret")
    with pytest.raises(ConfigError):
        open_store(server.url)
    with pytest.raises(ConfigError):
        open_store(f"redis://:wrong@127.0.0.1:{server.port}")
    store = open_store(f"redis://:secret@127.0.0.1:{server.port}")
    store.insert([new()])
    store.close()


# --- durability ----------------------------------------------------------------------------------


def test_a_write_is_answered_when_enough_replicas_have_it(server: Server, replica: Server) -> None:
    store = open_store(f"{server.url}?durability=wait:1")
    stage = Stage(store, Time())
    stage.put_many(3)
    stage.complete(stage.claim())
    assert "1 replica" in store.health().durability
    assert client_of(replica).hlen("{mainspring}:body") == 3
    store.close()


def test_too_few_replicas_make_a_store_unavailable_and_a_repeat_is_known(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mainspring.engines.redis.client.WAIT_MILLISECONDS", 50)
    with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
        insert_twice(open_store(f"{server.url}?durability=wait:1"))
    store = open_store(server.url)
    assert len(everything(store)) == 1
    store.close()


def insert_twice(store: Store) -> None:
    job = new()
    try:
        for _ in range(2):
            try:
                store.insert([job])
            except MainspringError as error:
                last = error
        raise last
    finally:
        store.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--appendonly", "yes", "--appendfsync", "always"), "always"),
        (("--appendonly", "yes", "--appendfsync", "everysec"), "second"),
        (("--appendonly", "yes", "--appendfsync", "no"), "30 seconds"),
        (("--save", "60 1"), "snapshot"),
        ((), "everything is gone"),
        (("--rename-command", "CONFIG", ""), "may lose jobs"),
        (("--appendonly", "yes", "--rename-command", "CONFIG", ""), "not told"),
    ],
)
def test_health_says_in_words_what_an_answer_promises(
    start: Start, options: tuple[str, ...], words: str
) -> None:
    store = open_store(start(*options).url)
    health = store.health()
    assert words in health.durability
    assert health.version.startswith("Redis 7")
    assert bool(health.warnings) is ("--appendonly" not in options)
    store.close()
