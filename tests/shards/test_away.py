"""One shard is away: the others go on, nothing is lost, and it heals by itself."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mainspring.engines import open_store
from mainspring.engines.shards.shard import PAUSE
from mainspring.engines.shards.store import ShardsStore
from mainspring.errors import PartlyUnavailable, StoreUnavailable
from mainspring.ids import new_token
from mainspring.job import Claimed, Lost, Select, State, Succeeded
from mainspring.lifecycle import decide
from mainspring.store import Claim, Grant, Note, Presence, Pulse, Settings, Wanted
from tests.contract.stage import OOPS, everything, ids, new
from tests.shards.conftest import IN_A, IN_B
from tests.worker.faulty import FaultyStore

LEASE = 60_000_000

# Whether a shard answers is a matter of real time, so these tests leave time to the store.


@pytest.fixture
def b(store: ShardsStore) -> Iterator[FaultyStore]:
    """The second shard, which fails as it is told."""
    shard = store._ring.shards[1]
    faulty = FaultyStore(shard.store())
    shard._store = faulty  # type: ignore[assignment]
    yield faulty
    faulty.come_back()


EVERYTHING = (
    *("insert", "exchange", "heartbeat", "reclaim", "held", "upkeep", "cancel", "replay"),
    *("delete", "configure", "instruct", "get", "find", "counts", "queues", "position", "health"),
    *("workers", "statistics", "check", "history", "logs"),
)


def comes_back(store: ShardsStore, b: FaultyStore) -> None:
    """Until it is known to be back: before that, little patience is had with it."""
    b.come_back()
    end = time.monotonic() + 20
    while any(shard.away for shard in store.shards()):
        assert time.monotonic() < end, "it was not asked again"
        time.sleep(PAUSE)


def wish(limit: int = 100, token: int | None = None, lease: int = LEASE) -> Claim:
    grant = Grant(token=new_token() if token is None else token, worker="w", lease=lease)
    return Claim(grant=grant, limit=limit, slots=limit)


def beat(store: ShardsStore, *tokens: int, notes: tuple[Note, ...] = ()) -> Pulse:
    presence = Presence(id="w", host="h", pid=1, started=1, state="running")
    return store.heartbeat(presence, tokens, LEASE, notes)


@pytest.fixture
def held(store: ShardsStore) -> dict[str, Claimed]:
    """A running job of each shard, by its queue."""
    store.insert([new(queue=IN_A), new(queue=IN_B)])
    return {job.queue: job for job in store.exchange([], wish()).jobs}


# --- work ----------------------------------------------------------------------------------------


def test_jobs_of_the_other_shard_are_claimed_and_settled(
    store: ShardsStore, b: FaultyStore
) -> None:
    store.insert([new(queue=queue) for queue in (IN_A, IN_B) * 5])
    b.go_away(*EVERYTHING)
    jobs = store.exchange([], wish()).jobs
    assert [job.queue for job in jobs] == [IN_A] * 5
    assert store.exchange([decide(job, Succeeded()) for job in jobs]).lost == ()
    comes_back(store, b)
    assert len(store.exchange([], wish()).jobs) == 5


def test_what_could_not_be_written_is_named_and_can_be_repeated(
    store: ShardsStore, b: FaultyStore, held: dict[str, Claimed]
) -> None:
    store.insert([new(queue=IN_A), new(queue=IN_B)])
    ends = [decide(job, Succeeded()) for job in held.values()]
    b.go_away(*EVERYTHING)
    with pytest.raises(PartlyUnavailable, match="shard 'b': exchange fails on purpose") as caught:
        store.exchange(ends, wish())
    assert caught.value.missed == [decide(held[IN_B], Succeeded())]
    assert [job.queue for job in caught.value.answer.jobs] == [IN_A]
    comes_back(store, b)
    assert store.exchange(ends).lost == ()
    states = {record.id: record.state for record in everything(store)}
    assert states[held[IN_A].id] is states[held[IN_B].id] is State.COMPLETED


def test_one_acknowledgement_alone_fails_as_with_any_store(
    store: ShardsStore, b: FaultyStore, held: dict[str, Claimed]
) -> None:
    b.go_away("exchange")
    with pytest.raises(StoreUnavailable):
        store.exchange([decide(held[IN_B], Succeeded())])
    assert store.exchange([decide(held[IN_A], Succeeded())]).lost == ()


def test_when_all_are_away_the_whole_store_is(store: ShardsStore, b: FaultyStore) -> None:
    a = store._ring.shards[0]
    a._store = FaultyStore(a.store())  # type: ignore[assignment]
    a._store.go_away(*EVERYTHING)
    b.go_away(*EVERYTHING)
    with pytest.raises(StoreUnavailable) as caught:
        store.exchange([], wish())
    assert not isinstance(caught.value, PartlyUnavailable)
    with pytest.raises(StoreUnavailable):
        beat(store)
    a._store.come_back()
    comes_back(store, b)
    assert store.exchange([], wish()).jobs == []


def test_what_was_claimed_when_the_answer_was_lost_is_given_when_the_shard_is_back(
    store: ShardsStore, b: FaultyStore
) -> None:
    jobs = [new(queue=IN_B) for _ in range(3)]
    store.insert(jobs)
    b.commit_and_fail("exchange")
    assert store.exchange([], wish()).jobs == []
    time.sleep(PAUSE)
    got = store.exchange([], wish()).jobs
    assert sorted(ids(got)) == sorted(ids(jobs))
    assert [job.claims for job in got] == [1] * 3
    assert store.exchange([], wish()).jobs == []
    assert store.exchange([decide(job, Succeeded()) for job in got]).lost == ()


def test_a_claim_that_failed_everywhere_is_repeated_under_its_token(
    store: ShardsStore, b: FaultyStore
) -> None:
    a = store._ring.shards[0]
    a._store = FaultyStore(a.store())  # type: ignore[assignment]
    store.insert([new(queue=IN_A), new(queue=IN_B)])
    a._store.commit_and_fail("exchange")
    b.commit_and_fail("exchange")
    claim = wish()
    with pytest.raises(StoreUnavailable):
        store.exchange([], claim)
    time.sleep(PAUSE)
    got = store.exchange([], claim).jobs
    assert {job.queue for job in got} == {IN_A, IN_B}
    assert [job.claims for job in got] == [1, 1]
    assert store.exchange([], wish()).jobs == []


def test_a_heartbeat_renews_what_it_can_and_names_the_rest(
    store: ShardsStore, b: FaultyStore, held: dict[str, Claimed]
) -> None:
    b.go_away("heartbeat")
    tokens = [job.token for job in held.values()]
    with pytest.raises(PartlyUnavailable) as caught:
        beat(store, *tokens)
    assert caught.value.missed == [held[IN_B].token]
    assert caught.value.answer.lost == ()
    beat(store, held[IN_A].token)
    comes_back(store, b)
    beat(store, *tokens)


def test_progress_and_log_lines_of_a_shard_that_was_away_are_told_before_its_jobs_end(
    store: ShardsStore, b: FaultyStore, held: dict[str, Claimed]
) -> None:
    job = held[IN_B]
    b.go_away(*EVERYTHING)
    with pytest.raises(PartlyUnavailable):
        beat(store, job.token, notes=(Note(job.number, job.token, 5, "half way"),))
    comes_back(store, b)
    store.exchange([decide(job, Succeeded())])
    assert [line.text for line in store.logs(job.id)] == ["half way"]


def test_upkeep_and_takeover_go_on_in_the_other_shard(store: ShardsStore, b: FaultyStore) -> None:
    store.insert([new(queue=IN_A), new(queue=IN_B)])
    store.exchange([], wish(lease=0))
    b.go_away("upkeep", "reclaim")
    store.upkeep()
    grant = Grant(token=new_token(), worker="v", lease=LEASE)
    taken = store.reclaim(grant, 10)
    assert [job.queue for job in taken] == [IN_A]
    store.exchange([decide(job, Lost(OOPS)) for job in taken])
    comes_back(store, b)
    grant = Grant(token=new_token(), worker="v", lease=LEASE)
    assert [job.queue for job in store.reclaim(grant, 10)] == [IN_B]


# --- produce, operate, read ----------------------------------------------------------------------


def test_jobs_of_the_other_shard_are_stored_and_the_rest_is_safe_to_repeat(
    store: ShardsStore, b: FaultyStore
) -> None:
    jobs = [new(queue=IN_A), new(queue=IN_B), new(queue=IN_A)]
    b.go_away(*EVERYTHING)
    store.insert(jobs[:1])
    with pytest.raises(PartlyUnavailable, match="2 of 3 jobs were stored") as caught:
        store.insert(jobs)
    assert caught.value.missed == [jobs[1]]
    assert [answer and answer.id for answer in caught.value.answer] == [
        jobs[0].id,
        None,
        jobs[2].id,
    ]
    comes_back(store, b)
    assert [answer.repeated for answer in store.insert(jobs)] == [True, False, True]


def test_jobs_are_read_where_they_are_and_only_what_is_unknown_needs_all(
    store: ShardsStore, b: FaultyStore, held: dict[str, Claimed]
) -> None:
    b.go_away(*EVERYTHING)
    mine, other = held[IN_A].id, held[IN_B].id
    assert ids(filter(None, store.get([mine]))) == [mine]
    with pytest.raises(PartlyUnavailable) as caught:
        store.get([other, mine])
    assert caught.value.missed == [other]
    assert [record and record.id for record in caught.value.answer] == [None, mine]
    for verb in (store.counts, store.queues, store.check):
        with pytest.raises(StoreUnavailable, match="shard 'b'"):
            verb()
    assert any("shard 'b'" in warning for warning in store.health().warnings)
    assert [info.away != "" for info in store.shards()] == [False, True]


def test_operators_reach_what_answers_and_are_told_of_the_rest(
    store: ShardsStore, b: FaultyStore
) -> None:
    jobs = [new(queue=IN_A), new(queue=IN_B)]
    store.insert(jobs)
    b.go_away(*EVERYTHING)
    assert store.cancel(Select(ids=(jobs[0].id,))).ids == (jobs[0].id,)
    with pytest.raises(PartlyUnavailable):
        store.cancel(Select())
    with pytest.raises(PartlyUnavailable):
        store.configure("events", Settings(paused=True))
    comes_back(store, b)
    assert store.cancel(Select(states=(State.PENDING,))).ids == (jobs[1].id,)
    assert store.configure("events", Settings(paused=True)).paused


def test_a_worker_hears_what_is_wanted_from_whichever_shard_answers(
    store: ShardsStore, b: FaultyStore
) -> None:
    beat(store)
    assert store.instruct(["w", "nobody"], Wanted(paused=True)) == ["w"]
    b.go_away(*EVERYTHING)
    assert beat(store).wanted == Wanted(paused=True)
    change = Wanted(paused=False, reload=5)
    with pytest.raises(PartlyUnavailable, match="shard 'b'") as caught:
        store.instruct(["w"], change)
    assert caught.value.answer == ["w"]
    comes_back(store, b)
    assert beat(store).wanted == Wanted(paused=True, reload=5)
    assert store.instruct(["w"], change) == ["w"]
    assert beat(store).wanted == change


# --- real trouble --------------------------------------------------------------------------------


def test_a_store_opens_without_the_shard_that_is_away_and_takes_it_in_later(
    url: Callable[..., str], tmp_path: Path
) -> None:
    folder = tmp_path / "not mounted yet"
    place = url().replace(f"b=sqlite:///{tmp_path}", f"b=sqlite:///{tmp_path}/not%20mounted%20yet")
    store = open_store(place)
    signal = store.listen()
    assert ids(everything_in(store, IN_A)) == []
    with pytest.raises(StoreUnavailable, match="shard 'b'"):
        store.insert([new(queue=IN_B)])
    folder.mkdir()
    job = new(queue=IN_B)
    store.insert([job])
    assert ids(store.exchange([], wish()).jobs) == [job.id]
    while signal.wait(2):
        pass
    store.insert([new(queue=IN_B)])
    assert signal.wait(20)
    signal.close()
    assert store.check() == []
    store.close()


def everything_in(store: object, queue: str) -> list[Claimed]:
    return store.exchange([], wish()).jobs  # type: ignore[attr-defined,no-any-return]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program keeps the file locked."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def test_a_locked_shard_holds_up_the_others_for_a_moment_only(
    store: ShardsStore, tmp_path: Path
) -> None:
    store.insert([new(queue=queue) for queue in (IN_A, IN_B) * 20])
    with locked(tmp_path / "b.db"):
        done: list[Claimed] = []
        rounds = 0
        end = time.monotonic() + 20
        while len(done) < 20:
            assert time.monotonic() < end
            rounds += 1
            done += store.exchange([], wish(limit=1)).jobs
        assert {job.queue for job in done} == {IN_A}
    time.sleep(1)
    end = time.monotonic() + 20
    while len(done) < 40:
        assert time.monotonic() < end
        done += store.exchange([], wish()).jobs
    assert len(set(ids(done))) == 40
    assert [job.claims for job in done] == [1] * 40
