"""What the versions of a task promise, and how payloads get from one to the next."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring import InvalidArguments, Retry, TaskError, Tasks, UnknownTask
from mainspring.upgrades import Upgrades

tasks = Tasks()


@tasks.task(version=3)
def send(to: str, kilograms: float) -> None: ...


@send.upgrade(from_=2)
def in_kilograms(old: dict[str, Any]) -> dict[str, Any]:
    return {"to": old["to"], "kilograms": old["grams"] / 1000}


@send.upgrade(from_=1)
def with_a_destination(old: dict[str, Any]) -> dict[str, Any]:
    return {"to": "here", **old}


def test_jobs_carry_the_version_of_their_task_whatever_else_is_said_of_them() -> None:
    assert send.version == 3
    assert send.job("there", 1.5).policy.version == 3
    assert send.using(retry=Retry(max_retries=7), timeout=3).job("there", 1.5).policy.version == 3
    assert Tasks().task(in_kilograms).job({}).policy.version == 1


def test_an_upgrade_stays_the_function_it_was() -> None:
    assert with_a_destination({"grams": 1}) == {"to": "here", "grams": 1}


@pytest.mark.parametrize(
    ("version", "payload"),
    [
        (1, b'{"grams": 1500}'),
        (2, b'{"to": "here", "grams": 1500}'),
        (3, b'{"to": "here", "kilograms": 1.5}'),
    ],
)
def test_an_old_payload_goes_through_every_version_up_to_the_tasks_own(
    version: int, payload: bytes
) -> None:
    given = send.decode(payload, version)
    assert (given.to, given.kilograms) == ("here", 1.5)


def test_a_call_without_arguments_is_an_empty_object_to_its_upgrade() -> None:
    tasks = Tasks()

    @tasks.task(version=2)
    def ping(times: int) -> None: ...

    @ping.upgrade(from_=1)
    def once(old: dict[str, Any]) -> dict[str, Any]:
        return {"times": 1 + len(old)}

    assert ping.decode(b"null", 1).times == 1
    assert ping.decode(b"{}", 1).times == 1


def test_a_batch_upgrades_items_and_a_handler_its_whole_payload() -> None:
    tasks = Tasks()

    @tasks.batch(version=2)
    def index(items: list[tuple[str, int]]) -> None: ...

    @index.upgrade(from_=1)
    def of_some_size(old: str) -> tuple[str, int]:
        return old, len(old)

    tasks.handler("image", lambda payload: payload, version=2)

    @tasks["image"].upgrade(from_=1)
    def in_an_object(old: bytes) -> dict[str, int]:
        return {"bytes": len(old)}

    assert index.decode(b'"abc"', 1) == ("abc", 3)
    assert tasks["image"].decode(b"\x00abc", 1) == {"bytes": 3}


def test_versions_that_no_upgrade_leads_away_from_cannot_be_run() -> None:
    tasks = Tasks()

    @tasks.task(version=4)
    def ping() -> None: ...

    assert ping.versions == range(4, 5)
    ping.upgrade(from_=1)(dict)
    ping.upgrade(from_=3)(dict)
    assert ping.versions == range(3, 5)
    with pytest.raises(UnknownTask, match=r"version 1 cannot be run without upgrade\(from_=2\)"):
        ping.decode(b"{}", 1)
    with pytest.raises(UnknownTask, match="version 5 is newer than the task's, 4"):
        ping.decode(b"{}", 5)


@pytest.mark.parametrize(
    ("from_", "function", "words"),
    [
        (3, dict, "expected a version before the task's own, which is 3; say .*version=4"),
        (7, dict, "expected a version before the task's own"),
        (0, dict, "expected a version, from 1"),
        ("1", dict, "expected a version, from 1"),
        (True, dict, "expected a version, from 1"),
        (2, dict, "there is one already"),
        (1, 3, "expected a plain def that takes the old payload, got 3"),
        (1, lambda: {}, "expected a function of the old payload alone"),
        (1, lambda old, more: {}, "expected a function of the old payload alone"),
    ],
)
def test_mistakes_in_an_upgrade_are_told_where_it_is_declared(
    from_: Any, function: Any, words: str
) -> None:
    task = Tasks().task(version=3)(send.function)
    task.upgrade(from_=2)(dict)
    with pytest.raises(TaskError, match=words) as caught:
        task.upgrade(from_=from_)(function)
    assert f"task 'send': upgrade(from_={from_!r}): " in str(caught.value)
    assert task.versions == range(2, 4)


def test_an_upgrade_cannot_be_a_coroutine_function() -> None:
    async def later(old: dict[str, Any]) -> dict[str, Any]:
        return old

    with pytest.raises(TaskError, match="expected a plain def"):
        Tasks().task(version=2)(send.function).upgrade(from_=1)(later)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (None, r"what upgrade\(from_=1\) returned: expected an object of named arguments, got No"),
        ([1], r"upgrade\(from_=1\) returned: expected an object of named arguments, got list"),
        ({"to": object()}, r"upgrade\(from_=1\) returned: an object of type object cannot be"),
        ({"to": "here", "kilograms": "x"}, "kilograms: expected `float`, got `str`"),
        ({"to": "here"}, "missing required field `kilograms`"),
    ],
)
def test_what_an_upgrade_returns_is_checked_and_would_be_wrong_another_time_too(
    returned: Any, words: str
) -> None:
    task = Tasks().task(version=2)(send.function)
    task.upgrade(from_=1)(lambda old: returned)
    with pytest.raises(InvalidArguments, match=words) as caught:
        task.decode(b"{}", 1)
    assert caught.value.permanent


@pytest.mark.parametrize("payload", [b"{", b"[1]", b"\x00raw", b"\xff"])
def test_a_payload_that_is_no_object_reaches_no_upgrade(payload: bytes) -> None:
    task = Tasks().task(version=2)(send.function)
    task.upgrade(from_=1)(lambda old: pytest.fail("called"))
    with pytest.raises(InvalidArguments) as caught:
        task.decode(payload, 1)
    assert caught.value.permanent


def step(version: int) -> Callable[[list[int]], list[int]]:
    return lambda passed: [*passed, version]


@given(st.integers(1, 30), st.sets(st.integers(1, 29)), st.integers(1, 40))
def test_a_version_can_be_run_exactly_if_each_step_from_it_is_there_and_each_is_taken_once(
    own: int, declared: set[int], version: int
) -> None:
    upgrades = Upgrades("t", "here", own, named=False)
    for from_ in declared & set(range(1, own)):
        upgrades.add(from_, step(from_))
    way = list(range(version, own))
    assert (version in upgrades.versions) == (version <= own and set(way) <= declared)
    if version in upgrades.versions:
        assert msgspec.json.decode(upgrades.apply(b"[]", version)) == way
    else:
        with pytest.raises(UnknownTask):
            upgrades.apply(b"[]", version)
