"""What `mainspring doctor` tells of a server."""

import json
import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from mainspring.cli import run
from tests.servers.pgbouncer import pooled_url
from tests.servers.postgres import server_url

Doctor = Callable[[str], dict[str, Any]]


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Doctor:
    def call(url: str) -> dict[str, Any]:
        capsys.readouterr()
        assert run(["--url", url, "doctor", "--json"]) == 0
        facts: dict[str, Any] = json.loads(capsys.readouterr().out)
        return facts

    return call


def test_versions_place_clock_sizes_and_durability_are_told(
    doctor: Doctor, url: str, schema: str
) -> None:
    facts = doctor(f"{url}&prefix=shop_")
    assert re.match(r"PostgreSQL \d+\.\d+", facts["engine"])
    assert facts["place"] == f"schema {schema}, tables shop_*; no pooler between"
    assert facts["schema"] >= 1
    assert facts["durability"].startswith("none: a crash of the machine may destroy")
    assert any("fsync is off" in each for each in facts["advice"])
    assert abs(facts["figures"]["clock_offset_seconds"]) < 60
    assert facts["figures"]["size_bytes"] > 0


def test_a_user_whose_commits_are_not_waited_for_is_told(doctor: Doctor, url: str) -> None:
    facts = doctor(f"{url}&options=-csynchronous_commit%3Doff")
    assert any("synchronous_commit is off: set it to on" in each for each in facts["advice"])


def test_a_pooler_and_what_to_do_about_it_are_told(doctor: Doctor, schema: str) -> None:
    facts = doctor(f"{pooled_url()}&schema={schema}")
    assert facts["place"] == f"schema {schema}; through a pooler"
    assert any("give a URL past any pooler as listen=" in each for each in facts["advice"])


def test_a_transaction_that_stays_open_is_told(doctor: Doctor, url: str) -> None:
    with psycopg.connect(server_url()) as forgotten:
        forgotten.execute("SELECT 1")
        facts = doctor(url)
    assert facts["figures"]["oldest_transaction_seconds"] > 0
