"""The judge itself is judged: an honest history passes, each kind of lie is convicted."""

from typing import Any

import pytest

from tests.crash.history import Ended, judge


def fact(t: int, op: str, mark: str = "a") -> dict[str, Any]:
    return {"t": t, "op": op, "mark": mark}


HONEST = [
    fact(1, "inserted"),
    fact(2, "begin"),
    fact(3, "fault", ""),
    fact(4, "begin"),
    fact(5, "end"),
]
DONE = Ended("a", "completed", 2, 3, ["worker lost"])


def test_an_honest_history_with_a_kill_is_not_convicted() -> None:
    verdict = judge(HONEST, [DONE])
    assert verdict.broken == []
    assert (verdict.inserted, verdict.begun, verdict.again, verdict.faults) == (1, 2, 1, 1)


@pytest.mark.parametrize(
    ("facts", "ended", "words"),
    [
        (HONEST, [], "acknowledged once, 0 jobs"),
        (HONEST, [DONE, DONE], "acknowledged once, 2 jobs"),
        (HONEST, [Ended("a", "running", 2, 3, ["x"])], "still running"),
        (HONEST[:4], [DONE], "never reached its end"),
        (HONEST, [Ended("a", "completed", 5, 3, ["x"] * 4)], "5 attempts, 4 are allowed"),
        (HONEST, [Ended("a", "completed", 1, 3, [])], "begun 2 times in 1 attempts"),
        (HONEST, [Ended("a", "completed", 2, 3, ["x", "y"])], "3 accepted ends"),
        ([f for f in HONEST if f["op"] != "fault"], [DONE], "nothing was killed"),
    ],
)
def test_a_lie_is_convicted(facts: list[dict[str, Any]], ended: list[Ended], words: str) -> None:
    assert any(words in sentence for sentence in judge(facts, ended).broken)
