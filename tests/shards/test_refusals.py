"""What would need two shards is refused in words, and nothing is stored."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from mainspring.durations import SECOND
from mainspring.engines.shards.store import ShardsStore
from mainspring.errors import (
    IdConflict,
    LeaseLost,
    NotImmediate,
    TransactionError,
    UniqueTaken,
    UnknownDependency,
    Unsupported,
)
from mainspring.ids import new_id, new_token
from mainspring.job import Claimed, Edge, State, Succeeded
from mainspring.lifecycle import decide
from mainspring.store import Claim, Grant
from tests.contract.stage import Stage, everything, ids, new
from tests.shards.conftest import ALSO_IN_A, IN_A, IN_B


def refusal(act: Callable[[], object], kind: type[Exception] = Unsupported) -> str:
    with pytest.raises(kind) as caught:
        act()
    return str(caught.value)


# --- dependencies --------------------------------------------------------------------------------


def test_a_job_cannot_wait_for_one_of_another_shard(stage: Stage) -> None:
    parent = stage.put(queue=IN_B)
    told = refusal(lambda: stage.insert(new(queue=IN_A).after(parent)))
    assert f"queue {IN_B!r} in shard 'b'" in told
    assert f"queue {IN_A!r} in shard 'a'" in told
    assert ids(everything(stage.store)) == [parent.id]


def test_a_flow_over_queues_of_two_shards_is_not_stored_at_all(stage: Stage) -> None:
    first = new(queue=IN_A)
    told = refusal(lambda: stage.insert(first, new(queue=IN_B).after(first), new()))
    assert f"queue {IN_A!r} in shard 'a'" in told
    assert f"queue {IN_B!r} in shard 'b'" in told
    assert everything(stage.store) == []


def test_a_flow_over_queues_of_one_shard_is_as_anywhere(stage: Stage) -> None:
    first = new(queue=IN_A)
    second = new(queue=ALSO_IN_A).after(first)
    stage.insert(first, second, new(queue=IN_B))
    (held,) = stage.claim(queues=(IN_A,))
    stage.complete([held])
    assert stage.take(queues=(ALSO_IN_A,)).id == second.id


def test_a_flow_through_partitioned_queues_goes_to_one_shard(stage: Stage) -> None:
    for queue in (IN_A, IN_B, "logs"):
        first = new(queue=queue)
        chain = [first, new(queue="events").after(first)]
        chain.append(new(queue="logs").after(*chain))
        stage.insert(*chain)
        late = new(queue="events").after(chain[-1])
        stage.insert(late)
        for job in (*chain, late):
            held = stage.take()
            assert held.id == job.id
            stage.complete([held])


def test_waiting_for_what_does_not_exist_is_refused_as_anywhere(stage: Stage) -> None:
    for queue in (IN_A, "events"):
        with pytest.raises(UnknownDependency):
            stage.insert(new(queue=queue, edges=(Edge(new_id()),)))
    assert everything(stage.store) == []


def test_an_id_is_one_id_over_all_shards(stage: Stage) -> None:
    id = new_id()
    stage.put(queue=IN_A, id=id)
    with pytest.raises(IdConflict):
        stage.insert(new(queue=IN_B, id=id))
    other = new_id()
    with pytest.raises(IdConflict):
        stage.insert(new(queue=IN_A, id=other), new(queue=IN_B, id=other))
    assert ids(everything(stage.store)) == [id]


def test_a_refusal_by_one_shard_keeps_plain_jobs_out_of_the_other(stage: Stage) -> None:
    holder = stage.put(queue=IN_B, unique="k")
    for plain in (IN_A, "events"):
        with pytest.raises(UniqueTaken):
            stage.insert(new(queue=plain), new(queue=IN_B, unique="k", on_duplicate="error"))
    assert [job.id for job in everything(stage.store) if job.queue == IN_A] == []
    assert holder.id in ids(everything(stage.store))


def test_unique_keys_hold_within_the_shard_of_their_queue(stage: Stage) -> None:
    holder = stage.put(queue=IN_A, unique="k")
    answers = stage.insert(new(queue=ALSO_IN_A, unique="k"), new(queue=IN_B, unique="k"))
    assert [answer.duplicate_of for answer in answers] == [holder.id, None]


# --- transactions --------------------------------------------------------------------------------


@pytest.fixture
def begun(tmp_path: Path) -> Callable[[str], Any]:
    @contextmanager
    def begin(shard: str) -> Iterator[sqlite3.Connection]:
        path = tmp_path / f"{shard}.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    return begin


def test_a_callers_transaction_reaches_the_jobs_of_its_shard(stage: Stage, begun: Any) -> None:
    job = new(queue=IN_B)
    with begun("b") as connection:
        stage.store.insert([job], connection=connection, now=stage.now)
        connection.execute("COMMIT")
    assert stage.take().id == job.id


def test_a_callers_transaction_on_another_shard_is_refused(stage: Stage, begun: Any) -> None:
    with begun("a") as connection:
        told = refusal(lambda: stage.store.insert([new(queue=IN_B)], connection=connection))
    assert f"queue {IN_B!r} is in shard 'b'" in told
    assert "a.db" in told
    assert everything(stage.store) == []


def test_a_callers_transaction_cannot_reach_two_shards(stage: Stage, begun: Any) -> None:
    jobs = [new(queue=IN_A), new(queue=IN_B)]
    with begun("a") as connection:
        told = refusal(lambda: stage.store.insert(jobs, connection=connection))
        connection.execute("COMMIT")
    assert f"queue {IN_A!r} in shard 'a'" in told
    assert f"queue {IN_B!r} in shard 'b'" in told
    assert everything(stage.store) == []


def test_a_connection_without_a_transaction_is_told_so(stage: Stage, begun: Any) -> None:
    with begun("a") as connection:
        connection.execute("ROLLBACK")
        refusal(lambda: stage.store.insert([new(queue=IN_A)], connection=connection), NotImmediate)


def test_an_acknowledgement_beside_the_callers_own_transaction_is_refused_and_no_deadlock(
    store: ShardsStore, held: Claimed, begun: Any
) -> None:
    with begun("b") as connection:
        store.insert([new(queue=IN_B)], connection=connection)
        refusal(lambda: store.exchange([decide(held, Succeeded())]), TransactionError)
        connection.execute("COMMIT")
    assert store.exchange([decide(held, Succeeded())]).lost == ()


@pytest.fixture
def held(store: ShardsStore) -> Claimed:
    store.insert([new(queue=IN_B)])
    grant = Grant(token=new_token(), worker="w", lease=60 * SECOND)
    return store.exchange([], Claim(grant=grant, limit=1, slots=1)).jobs[0]


def test_a_jobs_own_transaction_reaches_its_shard_alone(store: ShardsStore, held: Claimed) -> None:
    effect = new(queue=IN_B)
    with store.transaction(held, decide(held, Succeeded()), lease=60 * SECOND) as connection:
        store.insert([effect], connection=connection)
        told = refusal(lambda: store.insert([new(queue=IN_A)], connection=connection))
        assert f"queue {IN_A!r} is in shard 'a'" in told
    found = {record.id: record.state for record in everything(store)}
    assert found == {held.id: State.COMPLETED, effect.id: State.PENDING}


def test_a_lost_lease_is_told_in_a_jobs_own_transaction(store: ShardsStore, held: Claimed) -> None:
    store.exchange([decide(held, Succeeded())])
    with (
        pytest.raises(LeaseLost),
        store.transaction(held, decide(held, Succeeded()), lease=60 * SECOND),
    ):
        pass
