"""What one may ask of workers: those that are meant hear it, and a slip is told."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mainspring import InvalidArguments, Mainspring, UnknownWorker
from mainspring.store import Presence, Wanted

HOSTS = {"a1": "left", "a2": "left", "b1": "right"}


@pytest.fixture
def app() -> Iterator[Mainspring]:
    """An app whose store has heard of three workers on two hosts."""
    with Mainspring("sqlite://:memory:") as app:
        for worker in HOSTS:
            heard(app, worker)
        yield app


def heard(app: Mainspring, worker: str) -> Wanted | None:
    """What the worker hears by a heartbeat."""
    presence = Presence(id=worker, host=HOSTS[worker], pid=1, started=1, state="running")
    return app.store.heartbeat(presence, [], 60_000_000).wanted


def everybody(app: Mainspring) -> dict[str, Wanted]:
    """Those who hear anything."""
    told = {worker: heard(app, worker) for worker in HOSTS}
    return {worker: wanted for worker, wanted in told.items() if wanted is not None}


def test_workers_are_paused_by_name_and_resumed_by_host(app: Mainspring) -> None:
    assert app.pause_workers("b1", "a1", "b1") == ["b1", "a1"]
    assert everybody(app) == {"a1": Wanted(paused=True), "b1": Wanted(paused=True)}
    assert app.resume_workers(host="left") == ["a1", "a2"]
    paused, going = Wanted(paused=True), Wanted(paused=False)
    assert everybody(app) == {"a1": going, "a2": going, "b1": paused}


def test_a_host_is_drained(app: Mainspring) -> None:
    assert app.drain_workers(host="right") == ["b1"]
    assert everybody(app) == {"b1": Wanted(stop=True)}


def test_workers_are_scaled(app: Mainspring) -> None:
    assert app.scale_workers("a1", least=2, most=8) == ["a1"]
    assert app.scale_workers("a2", least=256) == ["a2"]
    assert everybody(app) == {"a1": Wanted(processes=(2, 8)), "a2": Wanted(processes=(256, 256))}


def test_workers_are_reloaded_all_unless_some_are_named(app: Mainspring) -> None:
    before = time.time_ns() // 1000
    assert app.reload_workers("a1") == ["a1"]
    assert list(everybody(app)) == ["a1"]
    assert app.reload_workers() == ["a1", "a2", "b1"]
    for wanted in everybody(app).values():
        assert wanted.reload is not None
        assert before <= wanted.reload <= time.time_ns() // 1000


def test_to_reload_nobody_is_no_mistake() -> None:
    with Mainspring("sqlite://:memory:") as app:
        assert app.reload_workers() == []


@pytest.mark.parametrize("verb", ["pause_workers", "resume_workers", "drain_workers"])
def test_of_all_workers_at_once_nothing_is_asked_by_a_slip(app: Mainspring, verb: str) -> None:
    with pytest.raises(InvalidArguments, match="got neither"):
        getattr(app, verb)()
    with pytest.raises(InvalidArguments, match="got both"):
        getattr(app, verb)("a1", host="left")
    assert everybody(app) == {}


def test_a_worker_that_nobody_heard_of_is_named_and_nobody_is_told(app: Mainspring) -> None:
    with pytest.raises(UnknownWorker, match=r"'a3' was heard of lately; there are 'a1' on 'left'"):
        app.pause_workers("a1", "a3")
    with pytest.raises(UnknownWorker, match="host 'middle'"):
        app.drain_workers(host="middle")
    assert everybody(app) == {}


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"least": 0}, "least: expected 1 to 256, got 0"),
        ({"least": True}, "least: expected 1 to 256, got True"),
        ({"least": 1, "most": 257}, "most: expected 1 to 256, got 257"),
        ({"least": 1, "most": 1.5}, "most: expected 1 to 256, got 1.5"),
        ({"least": 3, "most": 2}, "least ≤ most, got 3 and 2"),
    ],
)
def test_bounds_that_cannot_be_are_refused(
    app: Mainspring, bounds: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidArguments, match=words):
        app.scale_workers("a1", **bounds)
    assert everybody(app) == {}


@pytest.mark.parametrize("name", ["", 7, "a\n"])
def test_a_name_that_can_be_nobodys_is_refused(app: Mainspring, name: Any) -> None:
    with pytest.raises(InvalidArguments, match="worker: expected 1 to 255"):
        app.pause_workers(name)
    with pytest.raises(InvalidArguments, match="host: expected 1 to 255"):
        app.pause_workers(host=name)


def test_every_verb_has_a_twin_that_is_awaited(app: Mainspring) -> None:
    async def ask() -> None:
        assert await app.apause_workers("a1") == ["a1"]
        assert await app.aresume_workers(host="left") == ["a1", "a2"]
        assert await app.adrain_workers("b1") == ["b1"]
        assert await app.ascale_workers("b1", least=1, most=2) == ["b1"]
        assert await app.areload_workers() == ["a1", "a2", "b1"]
        assert [worker.id for worker in await app.aworkers()] == ["a1", "a2", "b1"]

    asyncio.run(ask())
    wanted = heard(app, "b1")
    assert wanted is not None
    assert (wanted.stop, wanted.processes) == (True, (1, 2))
