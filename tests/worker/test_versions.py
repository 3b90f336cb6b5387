"""Jobs of one version of a task, and workers of another."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mainspring import JobFailed, Mainspring, Retry, State, Tasks, current
from mainspring.job import Reason
from tests.worker.conftest import House, eventually
from tests.worker.workshop import add


def first() -> Tasks:
    """An app's tasks as they were."""
    tasks = Tasks()

    @tasks.task
    def greet(name: str) -> None: ...

    @tasks.task
    async def agreet(name: str) -> None: ...

    @tasks.batch()
    def count(words: list[str]) -> None: ...

    tasks.handler("raw", lambda payload: None)
    return tasks


def second() -> Tasks:
    """The same tasks as they are, each with a way from the old payloads to its own."""
    tasks = Tasks()

    @tasks.task(version=2)
    def greet(given: str, family: str) -> str:
        return f"{family}, {given}"

    @tasks.task(version=2)
    async def agreet(given: str, family: str) -> str:
        await asyncio.sleep(0)
        return f"{family}, {given}"

    @tasks.batch(version=2, wait=0)
    def count(words: list[tuple[str, int]]) -> list[int]:
        return [len(word) * times for word, times in words]

    tasks.handler("raw", lambda payload: payload, version=2)

    @greet.upgrade(from_=1)
    @agreet.upgrade(from_=1)
    def in_two(old: dict[str, Any]) -> dict[str, Any]:
        given, family = old["name"].split()
        return {"given": given, "family": family}

    @count.upgrade(from_=1)
    def once(old: str) -> tuple[str, int]:
        return old, 1

    @tasks["raw"].upgrade(from_=1)
    def wrapped(old: object) -> dict[str, object]:
        return {"was": old, "version": current().version}

    return tasks


def test_jobs_that_wait_since_before_are_run_by_the_new_code_beside_its_own(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    with Mainspring(url, first()) as app:
        name = {"name": "Ada Lovelace"}
        old = [app.enqueue(task, name) for task in ("greet", "agreet")]
        old += [app.enqueue("count", "abc"), app.enqueue("raw", [1])]
    with Mainspring(url, second()) as app:
        names = {"given": "Alan", "family": "Turing"}
        new = [app.enqueue(task, names) for task in ("greet", "agreet")]
        new += [app.enqueue("count", ["abc", 3]), app.enqueue("raw", [1])]
        with app.worker(in_process=True):
            found = [app.get(job.id).result(timeout=15) for job in old]
            assert found == ["Lovelace, Ada", "Lovelace, Ada", 3, {"was": [1], "version": 1}]
            assert [job.result(timeout=15) for job in new] == ["Turing, Alan"] * 2 + [9, [1]]


def test_an_old_worker_leaves_a_newer_job_alone_and_a_new_worker_runs_it(house: House) -> None:
    newer = Tasks()

    @newer.task(name="add", version=2)
    def add_three(a: int, b: int, c: int) -> int:
        return a + b + c

    with Mainspring(house.url, newer) as app:
        job = app.enqueue(add_three.job(1, 2, 3))
        old = house.start()
        assert add.job(1, 2).policy.version == 1
        assert house.app.enqueue(add.job(1, 2)).result(timeout=15) == 3
        eventually(lambda: job.refresh().record.reason == Reason.UNKNOWN_TASK)
        assert (job.state, job.attempt) == (State.SCHEDULED, 0)
        old.stop()
        with app.worker(in_process=True):
            assert job.result(timeout=15) == 6
        assert job.refresh().attempt == 1


def test_a_job_without_a_way_to_the_new_version_waits_for_a_worker_that_has_one(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    with Mainspring(url, first()) as app:
        old = app.enqueue("greet", {"name": "Ada Lovelace"})
    tasks = Tasks()

    @tasks.task(version=3)
    def greet(name: str) -> str:
        return name

    @greet.upgrade(from_=2)
    def same(old: dict[str, Any]) -> dict[str, Any]:
        return old

    with Mainspring(url, tasks) as app:
        job = app.get(old.id)
        with app.worker(in_process=True):
            eventually(lambda: job.refresh().record.reason == Reason.UNKNOWN_TASK)
        greet.upgrade(from_=1)(same)
        with app.worker(in_process=True):
            assert job.result(timeout=15) == "Ada Lovelace"


def test_an_item_of_a_batch_is_upgraded_outside_of_any_job(tmp_path: Path) -> None:
    tasks = Tasks()

    @tasks.batch(version=2, size=1)
    def index(numbers: list[int]) -> list[int]:
        assert current().number
        return numbers

    @index.upgrade(from_=1)
    def number_around(old: object) -> int:
        return current().number

    url = f"sqlite:///{tmp_path}/jobs.db"
    with Mainspring(url) as app:
        old = [app.enqueue("index") for _ in range(2)]
    with Mainspring(url, tasks) as app, app.worker(in_process=True):
        assert [app.get(job.id).result(timeout=15) for job in old] == [0, 0]


@pytest.mark.parametrize("kind", ["greet", "agreet", "count", "raw"])
def test_an_upgrade_that_raises_fails_the_attempt_as_the_function_would(
    tmp_path: Path, kind: str
) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    tasks = Tasks()
    once_more: Any = {"version": 2, "retry": Retry(max_retries=1, base=0.001)}
    names = {"given": "", "family": ""}

    @tasks.task(**once_more)
    def greet(given: str, family: str) -> None: ...

    @tasks.task(**once_more)
    async def agreet(given: str, family: str) -> None: ...

    @tasks.batch(wait=0, **once_more)
    def count(words: list[dict[str, str]]) -> None: ...

    tasks.handler("raw", lambda payload: None, **once_more)

    @tasks[kind].upgrade(from_=1)
    def broken(old: object) -> object:
        raise ValueError("not to be upgraded")

    with Mainspring(url) as app:
        job = app.enqueue(kind, {"name": "Ada"}, retry=once_more["retry"])
    with Mainspring(url, tasks) as app:
        job = app.get(job.id)
        beside = app.enqueue(kind, names)
        with app.worker(in_process=True):
            with pytest.raises(JobFailed, match="not to be upgraded"):
                job.result(timeout=15)
            assert beside.result(timeout=15) is None
        assert [error.attempt for error in job.errors()] == [1, 2]
