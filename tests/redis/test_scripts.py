"""Scripts: loaded by themselves, and there whole or not at all."""

import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from mainspring.cells import Add, Put
from mainspring.durations import DAY, HOUR, MINUTE, SECOND
from mainspring.engines import open_store
from mainspring.engines.redis import client as client_module
from mainspring.engines.redis.script import Script, script
from mainspring.ids import new_token
from mainspring.job import (
    Failed,
    HandedBack,
    NewJob,
    Select,
    Snoozed,
    State,
    Succeeded,
    TaskUnknown,
)
from mainspring.lifecycle import decide
from mainspring.posts import NewPost
from mainspring.store import Grant, Note, Settings, Store, Wanted
from tests.contract.stage import LEASE, OOPS, Stage, Time, everything, new, retries
from tests.redis.conftest import client_of
from tests.servers.redis import Server, in_folder, redis_url


def test_scripts_that_the_server_forgot_are_loaded_again(server: Server) -> None:
    store = open_store(server.url)
    stage = Stage(store, Time())
    verbs: list[Callable[[], object]] = [
        lambda: stage.put(),
        lambda: stage.claim(),
        lambda: stage.heartbeat(),
        lambda: store.instruct(["w1"], Wanted(paused=True)),
        lambda: store.upkeep(),
        lambda: store.cancel(Select()),
        lambda: store.counts(),
        lambda: store.configure("default", Settings(aging=5)),
        lambda: store.check(),
    ]
    for verb in verbs:
        client_of(server).script_flush()
        verb()
    assert stage.count(State.RUNNING) == 1
    store.close()


# --- every call broken in turn -------------------------------------------------------------------

WRITES = (
    *("DEL", "HDEL", "HINCRBY", "HSET", "INCRBY", "LTRIM", "PUBLISH", "RPUSH", "SADD", "SETRANGE"),
    *("SREM", "ZADD", "ZREM", "ZREMRANGEBYRANK"),
)
"""Commands that cannot fail, once the first of them did not."""

SHIM = """
local real, left, writing = redis, %d, false
local writes = {%s}
local redis = {pcall = real.pcall, call = function(command, ...)
  -- A write behind a write cannot fail; everything else may.
  if not (writing and writes[command]) then
    left = left - 1
    if left == 0 then error('broken on purpose at ' .. command) end
  end
  writing = writes[command]
  return real.call(command, ...)
end}
"""


def broken(at: int) -> Callable[[str], Script]:
    """Scripts whose call number `at` fails, the writes behind a first write left out."""
    shim = SHIM % (at, ", ".join(f"{name} = true" for name in WRITES))

    def find(name: str) -> Script:
        whole = script(name)
        text = shim + whole.text
        return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    return find


def full(stage: Stage) -> None:
    """A store in which something of everything waits to happen."""
    stage.store.configure("paused", Settings(paused=True))
    stage.put_many(2, queue="paused")
    parent = stage.put(policy=retries(1), task="parent")
    children = [
        new(queue="kids", priority=2).after(parent),
        new(queue="kids").after(parent, run_anyway=True),
        new(queue="kids", delay=HOUR).after(parent),
    ]
    stage.insert(*children, new(queue="kids").after(children[0]))
    stage.put(unique="k", unique_for=MINUTE, tags=("t",), key="tenant", headers={"a": "b"})
    stage.put(expires=SECOND)
    stage.put(expires=HOUR, delay=2 * SECOND)
    stage.put(priority=3, delay=SECOND)
    stage.put(queue="other", policy=retries(0))
    ends = [Put(key, b"1", ttl=SECOND) for key in ("over", "over too")]
    stage.store.kv_set([Put("a", b"1"), Put("b", b"2", ttl=HOUR), *ends], now=stage.now)
    stage.store.post([NewPost("t", b"1")] * 98, now=stage.now)


Act = Callable[[Stage], Any]


def settle_with(*outcomes: Any) -> tuple[Act, Act]:
    """All that can be claimed, settled one way or another, with a claim in the same step."""

    def prepare(stage: Stage) -> None:
        full(stage)
        stage.held = stage.claim()  # type: ignore[attr-defined]

    def act(stage: Stage) -> Any:
        held = stage.held  # type: ignore[attr-defined]
        ends = itertools.cycle(outcomes)
        changes = [decide(job, end) for job, end in zip(held, ends, strict=False)]
        return stage.store.exchange(changes, stage.wish(token=77), now=stage.now)

    return prepare, act


def ended(stage: Stage) -> None:
    full(stage)
    for held in stage.claim():
        stage.fail(held)
    stage.passes("1s")


def abandoned(stage: Stage) -> None:
    full(stage)
    stage.claim()
    stage.passes("16s")


def parked(stage: Stage) -> None:
    full(stage)
    held = stage.claim(token=5)
    for job in held[1:]:
        stage.end(job, TaskUnknown())
    stage.held = held[:1]  # type: ignore[attr-defined]


def notes(stage: Stage) -> Any:
    (held,) = stage.held  # type: ignore[attr-defined]
    told = [Note(held.number, held.token, 1, "a line"), Note(held.number, held.token, 2, "x", 5.0)]
    return stage.heartbeat(5, notes=told, tasks=("send", "parent"))


def instructed(stage: Stage) -> None:
    parked(stage)
    stage.heartbeat(5)
    stage.store.instruct(["w1"], Wanted(paused=True))
    stage.passes("1s")  # so that the next heartbeat is that of another life


def late(stage: Stage) -> None:
    full(stage)
    stage.passes("5s")


def old(stage: Stage) -> None:
    ended(stage)
    stage.time.passes("20d")


def flow(stage: Stage) -> None:
    full(stage)
    stage.parent = stage.bring(State.FAILED)  # type: ignore[attr-defined]
    first = NewJob(id=bytes(15) + b"1", task="a", payload=b"", queue="flow", tags=("x",))
    stage.jobs = [  # type: ignore[attr-defined]
        first,
        NewJob(id=bytes(15) + b"2", task="b", payload=b"", queue="flow", priority=1).after(first),
        NewJob(id=bytes(15) + b"3", task="b", payload=b"").after(stage.parent),  # type: ignore[attr-defined]
    ]


def insert_flow(stage: Stage) -> Any:
    return stage.insert(*stage.jobs)  # type: ignore[attr-defined]


def replace_and_more(stage: Stage) -> Any:
    other = NewJob(
        id=bytes(15) + b"4", task="a", payload=b"", unique="k", on_duplicate="replace", delay=5
    )
    return stage.insert(other, NewJob(id=bytes(15) + b"5", task="a", payload=b"", expires=DAY))


def plain(stage: Stage) -> Any:
    return stage.insert(
        *(NewJob(id=bytes(15) + bytes((n,)), task="a", payload=b"", queue="new") for n in range(3))
    )


SCENES: dict[str, tuple[Act, Act]] = {
    "insert": (full, plain),
    "insert a flow": (flow, insert_flow),
    "insert and replace": (full, replace_and_more),
    "successes": settle_with(Succeeded(b"1"), Succeeded()),
    "failures": settle_with(Failed(OOPS, permanent=True)),
    "all kinds of ends": settle_with(
        HandedBack(), Failed(OOPS, delay=SECOND), Succeeded(), Snoozed(SECOND)
    ),
    "claim": (late, lambda stage: stage.claim(token=77)),
    "claim some tasks": (late, lambda stage: stage.claim(token=77, tasks=("send",), alone=3)),
    "claim some priorities": (
        late,
        lambda stage: stage.claim(token=77, priorities=(1, 9), alone=3),
    ),
    "reclaim": (
        abandoned,
        lambda stage: stage.store.reclaim(
            Grant(token=78, worker="w2", lease=LEASE), 3, now=stage.now
        ),
    ),
    "heartbeat": (parked, notes),
    "first heartbeat": (instructed, notes),
    "instruct": (
        instructed,
        lambda stage: stage.store.instruct(["w1", "w2"], Wanted(stop=True)),
    ),
    "cancel": (full, lambda stage: stage.store.cancel(Select(), "no", now=stage.now)),
    "replay": (
        ended,
        lambda stage: stage.store.replay(Select(states=(State.FAILED,)), now=stage.now),
    ),
    "delete": (ended, lambda stage: stage.store.delete(Select(), now=stage.now)),
    "upkeep": (late, lambda stage: stage.tidy()),
    "prune": (old, lambda stage: stage.tidy()),
    "write entries": (
        late,
        lambda stage: stage.store.kv_set(
            [Put("a", b"3", ttl=HOUR), Put("b", b"4"), Put("over", b"5", expected=0)], now=stage.now
        ),
    ),
    "add to entries": (
        late,
        lambda stage: stage.store.kv_add(
            [Add("a", 1), Add("b", -1), Add("over", 7), Add("new", 1, HOUR)], now=stage.now
        ),
    ),
    "touch entries": (
        late,
        lambda stage: stage.store.kv_touch(["a", "b", "over"], HOUR, now=stage.now),
    ),
    "delete entries": (late, lambda stage: stage.store.kv_delete(["a", "over"], now=stage.now)),
    "post": (old, lambda stage: stage.store.post([NewPost("t", b"2")] * 3, now=stage.now)),
    "configure": (
        full,
        lambda stage: stage.store.configure("default", Settings(aging=5 * SECOND)),
    ),
}


@pytest.fixture
def stages(tmp_path: Path) -> Iterator[tuple[Stage, Stage]]:
    """Two stores with the same clocks."""
    stores = [open_store(in_folder(redis_url(), tmp_path / str(n))) for n in range(2)]
    time = Time()
    yield Stage(stores[0], time), Stage(stores[1], time)
    for store in stores:
        store.close()


def shape(store: Store) -> list[Any]:
    """Where every job stands, whoever it is, the entries and the posts."""
    posts = [(post.number, post.body, post.at) for post in store.posts({}).posts]
    jobs = [
        (job.number, job.state, job.attempt, job.claims, job.due, job.reason, job.progress)
        for job in everything(store)
    ]
    cells = [(cell.key, cell.value, cell.expires) for cell in store.kv_scan(now=Time().now)]
    return jobs + cells + posts


@pytest.mark.parametrize(("prepare", "act"), SCENES.values(), ids=SCENES.keys())
def test_a_script_that_breaks_at_any_call_leaves_nothing_half_written(
    stages: tuple[Stage, Stage], prepare: Act, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, twin = stages
    start = stage.time.now
    prepare(twin)
    act(twin)
    expected = shape(twin.store)
    stage.time.wall, stage.time.lease = start
    prepare(stage)
    for at in itertools.count(1):
        assert at < 1_000
        with monkeypatch.context() as patch:
            patch.setattr(client_module, "script", broken(at))
            try:
                act(stage)
                break
            except redis.ResponseError as error:
                assert "broken on purpose" in str(error)  # noqa: PT017
        assert stage.store.check() == []
    assert at > 2
    assert shape(stage.store) == expected
    assert stage.store.check() == []


def test_a_token_of_all_bits_survives(store: Store) -> None:
    stage = Stage(store, Time())
    for token in (2**63 - 1, -(2**63), -1, 0, new_token()):
        stage.put()
        held = stage.take(token=token)
        assert store.held([token]) == [held]
        assert stage.heartbeat(token).lost == ()
        assert stage.end(held, Succeeded()).lost == ()
