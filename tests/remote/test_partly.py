"""Servers behind a server: of several stores that are one, one is away, and the rest is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mainspring.engines import open_store
from mainspring.errors import PartlyUnavailable
from mainspring.job import Select, State, Succeeded
from mainspring.keys import Permission
from mainspring.lifecycle import decide
from mainspring.server.permissions.callers import Caller
from mainspring.server.permissions.seen import Seen
from mainspring.store import Claim, Grant, Presence, Settings
from tests.contract.stage import new
from tests.servers.mainspring import Server
from tests.shards.conftest import ALSO_IN_A, IN_A, IN_B

CLAIM = Claim(grant=Grant(token=7, worker="w", lease=60_000_000), limit=10, slots=10)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[Server]]:
    """Two for a shard each, and one in front of both."""
    behind = [Server(f"sqlite:///{tmp_path}/{name}.db") for name in "ab"]
    front = Server(f"shards://a={behind[0].url} b={behind[1].url}")
    yield [*behind, front]
    front.stop()
    for each in behind:
        each.stop()


def test_what_a_part_of_the_store_answers_crosses_and_so_does_what_it_missed(
    servers: list[Server],
) -> None:
    _, b, front = servers
    store = open_store(front.url)
    mine, theirs = new(queue=IN_A), new(queue=IN_B)
    store.insert([mine, theirs])
    held = {job.id: decide(job, Succeeded()) for job in store.exchange([], CLAIM).jobs}
    b.kill()
    with pytest.raises(PartlyUnavailable) as told:
        store.get([mine.id, theirs.id])
    first, second = told.value.answer
    assert (first.id, second, told.value.missed) == (mine.id, None, [theirs.id])
    with pytest.raises(PartlyUnavailable) as told:
        store.exchange([held[mine.id], held[theirs.id]])
    assert told.value.missed == [held[theirs.id]]
    assert told.value.answer.lost == ()
    with pytest.raises(PartlyUnavailable) as told:
        store.insert([more := new(queue=IN_A), late := new(queue=IN_B)])
    assert [each and each.id for each in told.value.answer] == [more.id, None]
    assert told.value.missed == [late]
    b.start()
    store.exchange([held[theirs.id]])
    assert {job.state for job in store.find(Select(ids=(mine.id, theirs.id)))} == {State.COMPLETED}
    store.close()


def test_of_a_part_of_the_store_a_key_for_some_names_is_told_no_more(
    servers: list[Server],
) -> None:
    _, b, front = servers
    store = open_store(front.store)
    seen = Seen(store, Caller("k", frozenset({Permission.ADMIN}), only=(ALSO_IN_A, IN_B)))
    mine, theirs, away = new(queue=ALSO_IN_A), new(queue=IN_A), new(queue=IN_B)
    store.insert([mine, theirs, away])
    held = {job.queue: job.token for job in store.exchange([], CLAIM).jobs}
    token, other = held[IN_A], held[IN_B]
    store.configure(IN_A, Settings(paused=True))
    b.kill()
    with pytest.raises(PartlyUnavailable) as told:
        seen.get([mine.id, theirs.id, away.id])
    first, second, third = told.value.answer
    assert (first.id, first.token, second, third) == (mine.id, None, None, None)
    with pytest.raises(PartlyUnavailable) as told:
        seen.held([token])
    assert {job.queue for job in told.value.answer} <= {ALSO_IN_A}
    me = Presence(id="w", host="h", pid=1, started=1, state="running", queues=(ALSO_IN_A,))
    with pytest.raises(PartlyUnavailable) as told:
        seen.heartbeat(me, [token, other], 60_000_000)
    assert told.value.answer.paused == ()
    store.close()
