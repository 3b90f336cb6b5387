"""The disk of the server fills up, and is given space again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mainspring import Mainspring
from tests.crash.power import full, volume
from tests.server.conftest import PROBLEM, Http, until


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with volume(tmp_path) as folder:
        yield folder


@pytest.fixture
def app(folder: Path) -> Iterator[Mainspring]:
    with Mainspring(f"sqlite:///{folder}/jobs.db") as app:
        yield app


def test_a_full_disk_is_told_nothing_is_lost_and_it_heals(http: Http, folder: Path) -> None:
    stored = []

    def put() -> Any:
        answer = http.post("/tasks", json={"type": "t", "payload": "x" * 100_000})
        if answer.status_code == 201:
            stored.append(answer.json()["task"]["id"])
        return answer

    assert put().status_code == 201
    with full(folder):
        until(lambda: put().status_code != 201)
        refused = put()
        assert (refused.status_code, refused.headers["content-type"]) == (507, PROBLEM)
        assert refused.json()["type"] == "urn:mainspring:problem:store-full"
        for id in stored:
            http.told(200, "GET", f"/tasks/{id}")
    until(lambda: put().status_code == 201)
    assert {task["id"] for task in http.told(200, "GET", "/tasks")["tasks"]} == set(stored)
