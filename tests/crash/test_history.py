"""The judge itself is judged: an honest history passes, each kind of lie is convicted."""

from dataclasses import replace
from typing import Any

import pytest

from tests.crash.history import Ended
from tests.crash.judge import judge

Facts = list[dict[str, Any]]


def fact(t: int, op: str, mark: str = "a", **more: Any) -> dict[str, Any]:
    return {"t": t, "op": op, "mark": mark, **more}


def begin(t: int, claim: int, mark: str = "a", pid: int = 11, **more: Any) -> dict[str, Any]:
    return fact(t, "begin", mark, claim=claim, pid=pid, parent=1, **more)


def end(t: int, claim: int, mark: str = "a") -> dict[str, Any]:
    return fact(t, "end", mark, claim=claim)


HONEST = [
    fact(1, "inserted"),
    fact(2, "begin"),
    fact(3, "fault", ""),
    fact(4, "begin"),
    fact(5, "end"),
]
DONE = Ended("a", "completed", 2, 3, ["worker lost"])

FENCED = [
    fact(1, "inserting"),
    fact(2, "inserted", start=1),
    begin(3, 1, pid=11),
    fact(4, "fault", "", hits=[11]),
    begin(6, 2, pid=12),
    end(7, 2),
    fact(8, "healed", "", of=4),
    end(9, 1),  # who stood still comes to its end as well, and is refused
]
TAKEN_OVER = Ended("a", "completed", 2, 3, ["worker lost"], 2, 2, [1])

ONCE = Ended("a", "completed", 1, 3, [], 1, 1)
TWICE = [ONCE, replace(ONCE, mark="b")]
FAMILY = [fact(1, "inserted"), fact(2, "inserted", "b", after=["a"])]
KEYS = [fact(2, "inserted", unique="k"), fact(6, "inserted", "b", unique="k", start=5)]
LINE = [fact(2, "inserted", line="l"), fact(4, "inserted", "b", line="l", start=3)]

CUT = [
    *LINE,
    # The process that ran a was killed before the function wrote down that it began.
    *(fact(6, "fault", ""), fact(8, "healed", "", of=6)),
    *(begin(9, 1, "b", attempt=1), end(10, 1, "b"), begin(12, 2, attempt=2), end(13, 2)),
]
CUT_SHORT = [Ended("a", "completed", 2, 3, ["WorkerLost"], 2, 2, [1]), replace(ONCE, mark="b")]


def test_an_honest_history_with_a_kill_is_not_convicted() -> None:
    verdict = judge(HONEST, [DONE])
    assert verdict.broken == []
    assert (verdict.inserted, verdict.begun, verdict.again, verdict.faults) == (1, 2, 1, 1)


@pytest.mark.parametrize(
    ("facts", "ended"),
    [
        (FENCED, [TAKEN_OVER]),
        # who stood still begins when its successor has begun already
        ([*FENCED[:2], *FENCED[3:], begin(7, 1, pid=11)], [TAKEN_OVER]),
        # a function that raised runs again
        (
            [HONEST[0], begin(2, 1), fact(3, "raised", claim=1), begin(4, 2), end(5, 2)],
            [replace(TAKEN_OVER, errors=["ValueError"])],
        ),
        # a child begins when its parent has ended
        ([*FAMILY, begin(3, 1), end(4, 1), begin(5, 1, "b"), end(6, 1, "b")], TWICE),
        # a key is taken again when its holder has ended; and nobody knows who was first
        ([*KEYS, begin(3, 1), end(4, 1), begin(7, 1, "b"), end(8, 1, "b")], TWICE),
        (
            [KEYS[0], fact(6, "inserted", "b", unique="k", start=1), begin(7, 1), end(8, 1)],
            [ONCE, Ended("b", "cancelled", 0, 3, [], 0)],
        ),
        # of two that were inserted at once either may be first
        (
            [
                *(LINE[0], fact(4, "inserted", "b", line="l", start=1)),
                *(begin(6, 1, "b"), begin(7, 1), end(8, 1), end(8, 1, "b")),
            ],
            TWICE,
        ),
        # the first was lost before it could write down that it began
        (CUT, CUT_SHORT),
        # cancelled while it waited, and while it ran
        ([HONEST[0], fact(2, "seen", state="cancelled")], [Ended("a", "cancelled", 0, 3, [], 0)]),
        ([HONEST[0], begin(2, 1)], [Ended("a", "cancelled", 1, 3, [], 1)]),
        # not before it was due
        ([HONEST[0] | {"due": 9.5}, begin(4, 1, wall=9.5), end(5, 1)], [ONCE]),
        # not answered, and there or not there
        ([fact(1, "inserting"), fact(2, "refused")], []),
        ([fact(1, "inserting"), fact(2, "refused"), begin(3, 1), end(4, 1)], [ONCE]),
    ],
)
def test_an_honest_history_is_not_convicted(facts: Facts, ended: list[Ended]) -> None:
    assert judge(facts, ended).broken == []


@pytest.mark.parametrize(
    ("facts", "ended", "words"),
    [
        (HONEST, [], "acknowledged once, 0 jobs"),
        (HONEST, [DONE, DONE], "acknowledged once, 2 jobs"),
        (HONEST, [Ended("a", "running", 2, 3, ["x"])], "still running"),
        (HONEST[:4], [DONE], "never reached its end"),
        (HONEST, [DONE, replace(ONCE, mark="ghost")], "nobody asked for it"),
        (HONEST, [Ended("a", "completed", 5, 3, ["x"] * 4)], "5 attempts, 4 are allowed"),
        (HONEST, [Ended("a", "completed", 1, 3, [])], "begun 2 times in 1 attempts"),
        (HONEST, [Ended("a", "completed", 2, 3, ["x", "y"])], "3 accepted ends"),
        (FENCED, [replace(TAKEN_OVER, failed_attempts=[1, 1])], "attempt 1 ended 2 times"),
        (FENCED, [replace(TAKEN_OVER, accepted=1)], "claim 1 was accepted after claim 2"),
        (FENCED, [replace(TAKEN_OVER, claims=3, accepted=3)], "ended under claim 3"),
        ([*FENCED, begin(9, 2, pid=12)], [TAKEN_OVER], "begun 2 times under claim 2"),
        ([f for f in HONEST if f["op"] != "fault"], [DONE], "no fault had met it"),
        (
            [f | {"hits": [99]} if f["op"] == "fault" else f for f in FENCED],
            [TAKEN_OVER],
            "no fault had met it",
        ),
        (
            [*FENCED[:3], fact(4, "fault", "", hits=[11]), begin(3, 2), end(7, 2)],
            [TAKEN_OVER],
            "no fault had met it",
        ),
        (
            [HONEST[0] | {"due": 10.0}, begin(4, 1, wall=9.5), end(5, 1)],
            [ONCE],
            "0.500000 s before it was due",
        ),
        ([*FAMILY, begin(3, 1), begin(4, 1, "b"), end(5, 1), end(6, 1, "b")], TWICE, "had ended"),
        ([*KEYS, begin(7, 1), end(8, 1), begin(9, 1, "b"), end(9, 1, "b")], TWICE, "held the key"),
        ([*LINE, begin(6, 1, "b"), begin(7, 1), end(8, 1), end(8, 1, "b")], TWICE, "before a"),
        # those that were fed with it were begun by others before the kill
        ([*CUT[:4], begin(5, 1, "b", attempt=1), *CUT[5:]], CUT_SHORT, "b: begun before a"),
        # it was no kill that ended the first, or it had not begun and was given back
        (CUT, [replace(CUT_SHORT[0], errors=["ValueError"]), CUT_SHORT[1]], "b: begun before a"),
        (
            [*CUT[:6], begin(12, 2, attempt=1), end(13, 2)],
            [Ended("a", "completed", 1, 3, [], 2, 2), CUT_SHORT[1]],
            "b: begun before a",
        ),
        (
            [HONEST[0], fact(2, "seen", state="cancelled"), begin(3, 1), end(4, 1)],
            [ONCE],
            "seen cancelled, in the end completed",
        ),
        (
            [HONEST[0], fact(2, "seen", state="cancelled"), begin(3, 1), end(4, 1)],
            [Ended("a", "cancelled", 1, 3, [], 1)],
            "begun after it was seen cancelled",
        ),
    ],
)
def test_a_lie_is_convicted(facts: Facts, ended: list[Ended], words: str) -> None:
    assert any(words in sentence for sentence in judge(facts, ended).broken)


def test_the_figures_of_a_history_are_told() -> None:
    second = 1_000_000_000
    facts = [fact(n * second, "inserted") for n in (1, 2, 5)]
    facts += [begin(6 * second, 1), fact(7 * second, "fault", "", hits=[11])]
    facts += [fact(8 * second, "healed", "", of=7 * second), begin(10 * second, 2, pid=12)]
    verdict = judge(facts, [])
    assert (verdict.again, verdict.recoveries, verdict.gap) == (1, [2.0], 3.0)
    assert verdict.is_evidence
    assert verdict.lost == 3


def test_first_executions_that_nobody_wrote_down_are_counted_by_fault() -> None:
    assert judge(CUT, CUT_SHORT).unwritten == {6: 1}


def test_a_history_that_nothing_disturbed_is_no_evidence() -> None:
    calm = [fact(1, "inserted"), begin(2, 1), end(3, 1)]
    assert judge(calm, [ONCE]).broken == []
    assert not judge([*calm, fact(4, "fault", "", hits=[11])], [ONCE]).is_evidence
