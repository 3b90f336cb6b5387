"""Arguments, payloads and results at the edges of what can be stored: every engine takes the same,
gives the same back, and refuses the same before anything is stored."""

import sys
from pathlib import Path
from typing import Any

import pytest

from mainspring import Mainspring, Tasks
from mainspring.errors import MainspringError
from mainspring.job import NewJob

pytestmark = [pytest.mark.crash]


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


TAKEN: dict[str, Any] = {
    "nothing": None,
    "an empty text": "",
    "an empty object": {},
    "no bytes": b"",
    "any bytes": bytes(range(256)),
    "a zero in a text": "a\0b",
    "a zero in a name": {"a\0": 1},
    "escapes": "\x1b[31m \u2028 \ufeff \U0001f600",
    "the largest integers": [2**63 - 1, -(2**63), 2**64 - 1],
    "small numbers": [5e-324, -0.0, 1.7976931348623157e308],
    "many names": {f"name {n}": n for n in range(50_000)},
    "what looks like a bracket": "}]'\"\\$1%s{{",
}
REFUSED: dict[str, Any] = {
    "not a number": float("nan"),
    "infinity": [float("inf")],
    "half a pair": "\ud800",
    "half a pair as a name": {"\udfff": 1},
    "an integer of 5,000 digits": 10**4_999,
    "nested without end": deep(sys.getrecursionlimit() * 100),
    "more than a megabyte": "x" * 1_000_001,
    "an object of a class": object(),
    "itself": (lambda loop: (loop.append(loop), loop)[1])([]),
}


def echo() -> Tasks:
    tasks = Tasks()

    @tasks.task(name="echo")
    def echo(value: Any = None) -> Any:
        return value

    return tasks


def test_what_can_be_stored_comes_back_the_same_from_every_engine(url: str) -> None:
    with Mainspring(url, echo()) as app:
        jobs = {
            name: app.enqueue("echo", {"value": value})
            for name, value in TAKEN.items()
            if not isinstance(value, bytes)
        }
        with app.worker(in_process=True):
            for name, job in jobs.items():
                assert job.result(timeout=30) == TAKEN[name], name
        for name, value in TAKEN.items():
            job = app.enqueue("unknown here", value)
            assert app.get(job.id).payload == value, name
        assert app.check() == []


def test_what_cannot_be_stored_is_refused_by_every_engine_in_the_same_words(
    url: str, tmp_path: Path
) -> None:
    told = []
    for place in (url, "sqlite://:memory:"):
        with Mainspring(place, echo()) as app:
            words = {}
            for name, value in REFUSED.items():
                with pytest.raises(MainspringError) as refusal:
                    app.enqueue("echo", {"value": value})
                words[name] = str(refusal.value)[:200].split(" at 0x")[0]
            told.append(words)
            assert app.counts() == {}
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"NaN",
        b'{"value": 1e400}',
        b'{"value": 1, "value": 2}',
        b"[" * 10**5,
    ],
    ids=["empty", "cut off", "no text", "no number", "too large", "twice", "deep"],
)
def test_what_others_have_stored_and_nobody_can_read_stops_nobody(url: str, payload: bytes) -> None:
    with Mainspring(url, echo()) as app:
        job = app.enqueue("echo", {})
        bad = NewJob(id=bytes(16), task="echo", payload=payload, policy=job.record.policy)
        app.store.insert([bad])
        good = app.enqueue("echo", {"value": "good"})
        with app.worker(in_process=True):
            assert good.result(timeout=30) == "good"
        assert app.check() == []
