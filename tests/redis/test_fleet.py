"""Several servers: a cluster whose slots move, and one that Sentinel puts in another's place."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from mainspring.engines import open_store
from mainspring.errors import StoreUnavailable
from mainspring.job import NewJob, State, Succeeded
from mainspring.lifecycle import decide
from tests.contract.stage import Stage, Time, assert_sound, everything, ids, new
from tests.redis.conftest import Start, client_of
from tests.servers.redis import Server, redis_program

PATIENCE = 30.0
SLOTS = 16384


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def persistently(act: Callable[[], object]) -> None:
    """Do what may be repeated, until it is done."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            act()
            return
        except StoreUnavailable:
            assert time.monotonic() < end
            time.sleep(0.05)


# --- cluster -------------------------------------------------------------------------------------


@pytest.fixture
def cluster(start: Start) -> list[Server]:
    """Three masters that share the slots."""
    nodes = [start("--cluster-enabled", "yes", "--cluster-node-timeout", "2000") for _ in range(3)]
    for at, node in enumerate(nodes):
        first, last = at * SLOTS // 3, (at + 1) * SLOTS // 3 - 1
        client_of(node).execute_command("CLUSTER ADDSLOTSRANGE", first, last)
        client_of(nodes[0]).execute_command("CLUSTER MEET", "127.0.0.1", node.port)

    def whole(node: Server) -> bool:
        told = client_of(node).execute_command("CLUSTER INFO")
        return told["cluster_state"] == "ok" and told["cluster_known_nodes"] == "3"

    until(lambda: all(map(whole, nodes)))
    return nodes


def cluster_url(nodes: list[Server]) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)


def test_a_store_lives_in_a_cluster(cluster: list[Server]) -> None:
    stage = Stage(open_store(cluster_url(cluster)), Time())
    for state in State:
        stage.bring(state, unique=str(state), tags=("t",))
    signal = stage.store.listen()
    while signal.wait(0.1):
        pass
    stage.put_many(2_000)
    assert signal.wait(PATIENCE)
    stage.complete(stage.claim(1_000, queues=("default",)))
    stage.heartbeat()
    stage.tidy()
    assert stage.store.workers(now=stage.now)
    assert stage.store.workers() is not None
    assert stage.store.health().version
    assert_sound(stage.store)
    stage.store.close()


def test_a_slot_that_moves_under_load_loses_and_doubles_nothing(cluster: list[Server]) -> None:
    store = open_store(cluster_url(cluster))
    stop = threading.Event()
    stored: list[bytes] = []
    done: list[bytes] = []

    def produce() -> None:
        while not stop.is_set():
            job: NewJob[None] = new()
            persistently(lambda job=job: store.insert([job]))  # type: ignore[misc]
            stored.append(job.id)

    def work() -> None:
        while not stop.is_set():
            stage = Stage(store, Time())
            wish = stage.wish(5)
            held = []
            persistently(lambda: held.append(store.exchange([], wish).jobs))  # noqa: B023
            for job in held[-1]:
                persistently(lambda job=job: store.exchange([decide(job, Succeeded())]))  # type: ignore[misc]
                done.append(job.id)

    threads = [threading.Thread(target=act) for act in (produce, work)]
    for thread in threads:
        thread.start()
    until(lambda: len(done) > 20)
    slot = client_of(cluster[0]).execute_command("CLUSTER KEYSLOT", "{mainspring}:meta")
    owner = slot * 3 // SLOTS
    for source, target in ((owner, (owner + 1) % 3), ((owner + 1) % 3, (owner + 2) % 3)):
        move(cluster, slot, cluster[source], cluster[target])
        before = len(done)
        until(lambda before=before: len(done) > before + 20)  # type: ignore[misc]
    stop.set()
    for thread in threads:
        thread.join()
    assert len(done) == len(set(done))
    assert sorted(ids(everything(store))) == sorted(stored)
    assert_sound(store)
    store.close()


def move(nodes: list[Server], slot: int, source: Server, target: Server) -> None:
    """Move a slot key by key, slowly."""
    names = [client_of(node).execute_command("CLUSTER MYID").decode() for node in (source, target)]
    client_of(target).execute_command("CLUSTER SETSLOT", slot, "IMPORTING", names[0])
    client_of(source).execute_command("CLUSTER SETSLOT", slot, "MIGRATING", names[1])
    while keys := client_of(source).execute_command("CLUSTER GETKEYSINSLOT", slot, 3):
        client_of(source).execute_command(
            "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys
        )
        time.sleep(0.02)
    for node in (target, source, *nodes):
        client_of(node).execute_command("CLUSTER SETSLOT", slot, "NODE", names[1])


# --- sentinel ------------------------------------------------------------------------------------


class Watched:
    """A master, a replica, and a Sentinel that watches them."""

    def __init__(self, start: Start) -> None:
        self.master = start("--repl-diskless-sync-delay", "0")
        self.replica = start("--replicaof", "127.0.0.1", str(self.master.port))
        until(lambda: client_of(self.replica).info("replication")["master_link_status"] == "up")
        self.sentinel = Sentinel(self.master)

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/main/0?durability=wait:1"


class Sentinel(Server):
    """A Sentinel that is quick to conclude."""

    def __init__(self, master: Server) -> None:
        self.master = master
        super().__init__(redis_program())

    def start(self) -> None:
        settings = self.folder / "sentinel.conf"
        settings.write_text(
            f"port {self.port}\ndir {self.folder}\n"
            f"sentinel monitor main 127.0.0.1 {self.master.port} 1\n"
            "sentinel down-after-milliseconds main 300\n"
            "sentinel failover-timeout main 3000\n"
        )
        self.run([str(self.program), str(settings), "--sentinel"])


@pytest.fixture
def watched(start: Start) -> Iterator[Watched]:
    watched = Watched(start)
    yield watched
    watched.sentinel.remove()


def test_a_store_follows_a_failover_and_keeps_what_was_acknowledged(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mainspring.engines.redis.client.WAIT_MILLISECONDS", 500)
    sentinel = redis.Redis(port=watched.sentinel.port, protocol=2)
    until(lambda: int(sentinel.execute_command("SENTINEL MASTER", "main")["num-slaves"]) == 1)
    store = open_store(watched.url)
    jobs = [new() for _ in range(50)]
    for job in jobs:
        store.insert([job])
    claimed = store.exchange([], Stage(store, Time()).wish(10)).jobs
    watched.master.kill()
    plain = watched.url.partition("?")[0]
    until(lambda: answers(plain))
    after = open_store(plain)
    assert sorted(ids(everything(after))) == sorted(ids(jobs))
    assert after.exchange([decide(job, Succeeded()) for job in claimed]).lost == ()
    with pytest.raises(StoreUnavailable):
        store.insert([new()])  # there is no replica left to acknowledge it
    assert after.check() == []
    for each in (store, after):
        each.close()


def answers(url: str) -> bool:
    """Whether there is a master that takes writes: `open` writes the schema's version."""
    try:
        open_store(url).close()
    except StoreUnavailable:
        return False
    return True
