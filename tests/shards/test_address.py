"""The URL of shards: names, URLs as they are, and what is said of them."""

from pathlib import Path

import pytest

from mainspring.engines import open_store
from mainspring.engines.shards.address import address
from mainspring.engines.shards.placement import slot
from mainspring.errors import ConfigError


def test_urls_of_shards_are_taken_as_they_are_whatever_is_in_them() -> None:
    urls = {
        "a": "sqlite:////data/a%20b.db?durability=relaxed",
        "mail-2": "postgresql://ada:p%40ss+w@db:5432/jobs?sslmode=require&options=-c%20x%3Dy",
        "c": "redis+sentinel://:secret@one,two/main?db=2",
    }
    found = address("shards://" + " ".join(f"{name}={url}" for name, url in urls.items()))
    assert found.urls == urls
    assert (found.draining, found.partitioned) == (frozenset(), frozenset())


def test_a_url_may_go_over_many_lines_and_say_what_drains_and_what_is_partitioned() -> None:
    found = address(
        """shards://
        a=sqlite:///a.db
        b=sqlite:///b.db
        draining=b
        partitioned=events,big%20logs
        """
    )
    assert list(found.urls) == ["a", "b"]
    assert found.draining == {"b"}
    assert found.partitioned == {"events", "big logs"}


def test_a_url_may_be_in_a_variable() -> None:
    found = address("shards://a=env:DB_A b=sqlite:///b.db", {"DB_A": "postgresql://u:p@h/d"})
    assert found.urls["a"] == "postgresql://u:p@h/d"
    with pytest.raises(ConfigError, match="variable 'DB_A', which is not set"):
        address("shards://a=env:DB_A b=sqlite:///b.db", {})


def test_a_file_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "shards.toml"
    path.write_text(
        'draining = ["b"]\npartitioned = ["big logs"]\n'
        '[shards]\na = "sqlite:///a.db?durability=relaxed"\nb = "env:DB_B"\n'
    )
    found = address(f"shards:///{path}", {"DB_B": "sqlite:///b.db"})
    assert found.urls == {"a": "sqlite:///a.db?durability=relaxed", "b": "sqlite:///b.db"}
    assert (found.draining, found.partitioned) == ({"b"}, {"big logs"})


def clash() -> tuple[str, str]:
    """Two names that would give the same numbers."""
    names: dict[int, str] = {}
    for n in range(10_000):
        name = f"s{n}"
        if (other := names.setdefault(slot(name), name)) != name:
            return other, name
    raise AssertionError


ONE, OTHER = clash()


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("", "got no shard"),
        ("partitioned=a", "got no shard"),
        ("sqlite:///a.db", 'expected "shards://a=URL b=URL"'),
        ("a=sqlite:///a.db a=sqlite:///b.db", "'a' is there twice"),
        ("a=sqlite:///a.db b=sqlite:///a.db", "shards 'a' and 'b' are the same store"),
        ("a=shards:///more.toml", "not made of shards itself"),
        ("pg://u:secret@h/d", "got 'pg://…'"),
        ("pg://u:secret@h/d?x=y", "got 'pg://…'"),
        ("a=jobs.db", "shard 'a': expected the URL of a store, got 'jobs.db'"),
        ("A=sqlite:///a.db", "expected names of a-z"),
        (f"{'a' * 33}=sqlite:///a.db", "at most 32 characters"),
        ("a=sqlite:///a.db draining=c", "expected names of shards, got 'c'"),
        ("a=sqlite:///a.db draining=a", "expected a shard that takes new jobs"),
        (f"{ONE}=sqlite:///a.db {OTHER}=sqlite:///b.db", "the same numbers to jobs"),
        (" ".join(f"n{n}=sqlite:///{n}.db" for n in range(65)), "at most 64 shards, got 65"),
        ("a=mysql://x", "store URL: expected one of"),
        ("/nowhere.toml", "nowhere.toml: expected a readable TOML file"),
    ],
)
def test_what_cannot_be_is_refused_in_words(place: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        open_store(f"shards://{place}")
    assert complaint in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("shards = ['a']", "expected a table [shards]"),
        ("[shards]\na = 1", "expected a table [shards]"),
        ("draining = 'a'\n[shards]\na = 'sqlite:///a.db'", "draining: expected a list of names"),
        ("drainig = ['a']", "expected draining, partitioned, [shards], got 'drainig'"),
        ("[shards]\na = 'x'\na = 'y'", "expected a readable TOML file"),
    ],
)
def test_a_file_that_cannot_be_is_refused_in_words(
    tmp_path: Path, text: str, complaint: str
) -> None:
    (tmp_path / "shards.toml").write_text(text)
    with pytest.raises(ConfigError) as refusal:
        open_store(f"shards:///{tmp_path}/shards.toml")
    assert complaint in str(refusal.value)
