"""Which URLs name a store, and what is said about the others."""

import os
from pathlib import Path

import pytest

from mainspring.engines import open_store
from mainspring.engines.sqlite.address import address
from mainspring.errors import ConfigError
from tests.contract.stage import new


def test_three_slashes_are_relative_and_four_absolute() -> None:
    assert address("sqlite:///jobs.db").path == os.path.join(os.getcwd(), "jobs.db")
    assert address("sqlite:////var/jobs.db").path == "/var/jobs.db"
    assert address("sqlite:///with%20space%3F.db").path == os.path.abspath("with space?.db")


@pytest.mark.parametrize("url", ["sqlite://:memory:", "sqlite:///:memory:"])
def test_a_store_in_memory_is_private_to_its_object(url: str) -> None:
    first, second = open_store(url), open_store(url)
    first.insert([new()])
    assert len(first.counts()) == 1
    assert second.counts() == {}
    first.close()
    second.close()


def test_durability_is_full_unless_it_is_said_to_be_relaxed(tmp_path: Path) -> None:
    words = []
    for query in ("", "?durability=full", "?durability=relaxed"):
        store = open_store(f"sqlite:///{tmp_path}/jobs.db{query}")
        words.append(store.health().durability.partition(":")[0])
        store.close()
    assert words == ["full", "full", "relaxed"]


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("mysql://x", "sqlite://, got 'mysql://x'"),
        ("jobs.db", "sqlite://, got 'jobs.db'"),
        ("", "expected one of "),
        ("sqlite://jobs.db", "expected sqlite:///relative.db"),
        ("sqlite://", "expected sqlite:///relative.db"),
        ("sqlite:///", "expected sqlite:///relative.db"),
        ("sqlite:///jobs.db?durability=some", "durability is full or relaxed, got 'some'"),
        ("sqlite:///jobs.db?durabilty=full", "no option but durability, got 'durabilty'"),
        ("sqlite:///jobs.db?timeout", "no option but durability, got 'timeout'"),
    ],
)
def test_a_url_that_names_no_store_is_refused_in_words(url: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        open_store(url)
    assert complaint in str(refusal.value)
